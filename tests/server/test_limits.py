"""
What may be set of how much one connection, guest or user may do, and what changes when it is set anew.
"""

from twisted.trial.unittest import SynchronousTestCase

from echochat.server.settings import ServerSettings
from tests.server.house import HouseTestCase
from tests.server.room import Room


class RoomLimitTests(SynchronousTestCase):
    """
    What guests and connections may do.
    """

    def test_subscriptions(self) -> None:
        """
        ``--subscriptions``: one more is refused, and tells how many there may be. Set anew it holds for the next one;
        those that there are stay.
        """
        room = Room(settings=ServerSettings(first_line=0, subscriptions=2))
        client = room.connect()
        room.ask(client, "/sub a\n/sub b")
        self.assertEqual(room.ask(client, "/sub c"), ["/err too-many subscriptions of a connection: 2"])
        room.factory.apply(ServerSettings(first_line=0, subscriptions=3))
        self.assertTrue(room.ask(client, "/sub c")[0].startswith("/ok sub c "))
        room.factory.apply(ServerSettings(first_line=0, subscriptions=1))
        self.assertEqual(room.ask(client, "/sub d"), ["/err too-many subscriptions of a connection: 1"])
        self.assertEqual(room.ask(client, "/unsub a\n/unsub b\n/unsub c"), [f"/ok unsub {each}" for each in "abc"])
        room.empty()

    def test_guests(self) -> None:
        """
        ``--guest-burst`` and ``--guest-rate``: so many at once, and so many a second; 0: as many as one likes. Set anew
        they hold for new connections.
        """
        room = Room(settings=ServerSettings(first_line=0, guest_burst=2, guest_rate=0.5))
        first = room.connect("203.0.113.7")
        answers = room.ask(first, "/pub t 1\n/pub t 2\n/pub t 3")
        self.assertEqual(answers[:2], ["/ok pub t 1", "/ok pub t 2"])
        self.assertRegex(answers[2], r"\A/err slow-down [^\n]*: try again in 2\.0 seconds\Z")
        room.factory.apply(ServerSettings(first_line=0, guest_rate=0))
        self.assertTrue(room.ask(first, "/pub t 3")[0].startswith("/err slow-down "))
        second = room.connect("203.0.113.7")
        answers = room.ask(second, "/pub t x\n" * 50)
        self.assertEqual(len([each for each in answers if each.startswith("/ok pub t ")]), 50)
        room.empty()


class HouseLimitTests(HouseTestCase):
    """
    What those may do who log in.
    """

    def test_login_attempts(self) -> None:
        """
        ``--login-attempts``: so many failures end the connection, with their number.
        """
        house = self.open({"alice": "right"}, settings=ServerSettings(login_attempts=1))
        visitor = house.connect()
        answer = visitor.say(b"/login alice wrong\r\n")
        self.assertRegex(answer, rb"\A/err login-failed [^\r\n]+\r\n/bye login-failures 1 logins failed [^\r\n]+\r\n\Z")
        self.assertTrue(visitor.lost)

    def test_user_topics(self) -> None:
        """
        ``--user-topics``, set anew, holds for what is followed from then on.
        """
        house = self.open({"alice": "right"}, settings=ServerSettings(user_topics=1))
        visitor = house.connect()
        visitor.log_in()
        self.assertIn(b"/ok sub a ", visitor.say(b"/sub a\r\n"))
        self.refused(visitor.say(b"/sub b\r\n"), b"too-many")
        house.factory.apply(ServerSettings(user_topics=2, guests="no"))
        self.assertIn(b"/ok sub b ", visitor.say(b"/sub b\r\n"))
