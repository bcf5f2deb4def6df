"""
How much a user may follow, on all connections together.
"""

from echochat.server.settings import ServerSettings
from tests.server.house import HouseTestCase, Visitor

ALICE = {"alice": "right"}


class InterestsTests(HouseTestCase):
    """
    What a user follows on all connections together is limited.
    """

    def setUp(self) -> None:
        self.open(ALICE, guests="yes", settings=ServerSettings(user_topics=3))

    def follow(self, *topics: str, name: str = "alice") -> Visitor:
        """
        One more connection of a user, which follows these topics.
        """
        visitor = self.house.connect()
        if name == "alice":
            visitor.log_in()
        for topic in topics:
            self.assertIn(f"/ok sub {topic} ".encode(), visitor.say(f"/sub {topic}\r\n".encode()))
        return visitor

    def test_many_connections(self) -> None:
        """
        One topic more than allowed is refused on whichever connection; a topic that one of them follows is not.
        """
        self.follow("a", "b")
        second = self.follow("b", "c", "c")
        self.refused(second.say(b"/sub#x d\r\n"), b"too-many", b"x")
        self.refused(self.follow("a").say(b"/sub d\r\n"), b"too-many")

    def test_room_again(self) -> None:
        """
        There is room when no connection of the user follows a topic any more.
        """
        first, second = self.follow("a", "b"), self.follow("b", "c")
        first.vanish()
        self.assertIn(b"/ok sub d ", second.say(b"/sub d\r\n"))
        self.refused(second.say(b"/sub e\r\n"), b"too-many")
        self.assertIn(b"/ok sub e ", second.say(b"/unsub b\r\n/sub e\r\n"))

    def test_guests(self) -> None:
        """
        Guests are limited by connection only. What one followed who then logs in goes on, and counts.
        """
        guest = self.follow("a", "b", "c", "d", "e", name="guest")
        guest.log_in()
        self.refused(guest.say(b"/sub f\r\n"), b"too-many")
        self.refused(guest.say(b"/unsub a\r\n/unsub b\r\n/sub f\r\n").splitlines(True)[-1], b"too-many")
        self.assertIn(b"/ok sub f ", guest.say(b"/unsub c\r\n/sub f\r\n"))
