"""
What a person types in a chat, and what is shown.
"""

import re

from echochat.client.conversation import HELP, Conversation
from echochat.client.rendering import Fragment
from tests.client.in_memory import ReconnectingTestCase

_TIME = "2026-01-02T03:04:05.678Z"


class ConversationTests(ReconnectingTestCase):
    """
    Lines become messages, publishes and commands, and what comes of them is shown.
    """

    def setUp(self) -> None:
        super().setUp()
        self.shown: list[str] = []
        self.left = False
        self.title: str | None = None
        self.conversation = Conversation(self.client, self)
        self.let_in()

    # Called by the conversation

    def show(self, *fragments: Fragment) -> None:
        self.shown.append("".join(text for _, text in fragments))

    def leave(self) -> None:
        self.left = True

    def retitle(self, topic: str | None) -> None:
        self.title = topic

    # Ours

    def types(self, line: str) -> list[str]:
        """
        Type a line; return what the server hears of it, without the labels, which are random.
        """
        self.conversation.typed(line)
        return [re.sub(r"^(/\w+)#\S+", r"\1", heard) for heard in self.server.hears()]

    def sees(self) -> list[str]:
        """
        What was shown since this was asked last.
        """
        shown, self.shown = self.shown, []
        return shown

    def joins(self, topic: str) -> None:
        self.assertEqual(self.types(f"/join {topic}"), [f"/history {topic} last=10"])
        self.server.says(f"/ok history {topic} 0")
        (sub,) = self.server.hears()
        self.assertEqual(sub, f"/sub {topic} after=0 presence=on")
        self.confirm(sub)

    def acknowledge(self, line: str) -> None:
        """
        Type a line that is published, and acknowledge it.
        """
        self.conversation.typed(line)
        (heard,) = self.server.hears()
        head, topic = heard.split(" ")[:2]
        self.server.says(f"/ok#{head.removeprefix('/pub#')} pub {topic} 7")

    def test_messages(self) -> None:
        """
        Without a topic a line is echoed, one that is escaped without its escape.
        """
        self.assertEqual(self.types("hello"), ["hello"])
        self.assertEqual(self.types("//etc"), ["//etc"])
        self.assertEqual(self.types(""), [""])
        self.server.says("HELLO", "//ETC", "")
        self.assertEqual(self.sees(), ["HELLO", "/ETC", ""])

    def test_commands(self) -> None:
        """
        What is not about this client goes to the server, and its items and its closing line are shown.
        """
        self.assertEqual(self.types("/who lobby"), ["/who lobby"])
        self.server.says("/here lobby alice", "/here lobby bob", "/ok who lobby 2")
        self.assertEqual(self.sees(), ["alice", "bob", "who lobby 2"])
        self.assertEqual(self.types("/topics"), ["/topics"])
        self.server.says("/topic lobby 17 2", "/ok topics 1")
        self.assertEqual(self.sees(), ["lobby  2 subscribed, up to 17", "topics 1"])
        self.assertEqual(self.types("/nope"), ["/nope"])
        self.server.says("/err unknown-command there is no /nope")
        self.assertEqual(self.sees(), ["unknown-command: there is no /nope"])

    def test_slips(self) -> None:
        """
        What cannot be sent at all is told, and nothing is sent.
        """
        for line in (
            "/ping#?",
            "/ 1",
            "/join",
            "/join lobby nonsense=1",
            "/join no/topic",
            "/join lobby last=x",
            "/say lobby",
            "/msg alice",
            "/part",
            "/part lobby",
            "/join a after=1 last=2",
            "/join a epoch=e1",
            "/join a after=-1",
        ):
            self.assertEqual(self.types(line), [], line)
            self.assertEqual(len(self.sees()), 1, line)

    def test_usage(self) -> None:
        """
        What is incomplete is answered with how it is typed, under the name that was used.
        """
        for typed in ("/say", "/pub lobby"):
            self.types(typed)
            self.assertEqual(self.sees(), [f"type {typed.split()[0]} TOPIC TEXT"])
        options = "[last=N] [after=POS] [epoch=E] [presence=off]"
        for typed in ("/join", "/sub"):
            self.types(typed)
            self.assertEqual(self.sees(), [f"type {typed} TOPIC {options}"])

    def test_topic(self) -> None:
        """
        With a topic lines are published there, and shown when they come back among the others'.
        """
        self.joins("lobby")
        self.assertEqual(self.title, "lobby")
        self.assertEqual(self.types("hello /all"), ["/pub lobby hello /all"])
        self.assertEqual(self.types("//etc"), ["/pub lobby /etc"])
        self.acknowledge("hello again")
        self.assertEqual(self.sees(), [])
        self.server.says("/join lobby bob", f"/event lobby 1 {_TIME} bob hi", "/part lobby bob", "/gap lobby 1 5")
        seen = self.sees()
        self.assertEqual(seen[0], "-- bob is in lobby")
        self.assertRegex(seen[1], r"\A\d\d:\d\d bob  hi\Z")
        self.assertEqual(seen[2], "-- bob has left lobby")
        self.assertEqual(seen[3], "-- what lobby had from 2 to 5 is lost --")

    def test_two_topics(self) -> None:
        """
        Lines go to the topic joined last; what comes from another says so.
        """
        self.joins("one")
        self.joins("two")
        self.assertEqual(self.types("x"), ["/pub two x"])
        self.server.says(f"/event one 1 {_TIME} bob hi", f"/event two 2 {_TIME} bob hi")
        first, second = self.sees()
        self.assertRegex(first, r"\[one\] bob  hi\Z")
        self.assertNotIn("[", second)
        self.assertEqual(self.types("/join one"), [])
        self.assertEqual((self.title, self.types("x")), ("one", ["/pub one x"]))
        self.assertEqual(self.types("/part"), ["/unsub one"])
        self.assertEqual(self.title, "two")
        self.assertEqual(self.types("/part two"), ["/unsub two"])
        self.assertIsNone(self.title)
        self.assertEqual(self.types("x"), ["x"])

    def test_join_with_options(self) -> None:
        """
        Who knows the options of the protocol can use them.
        """
        self.assertEqual(self.types("/sub lobby after=5 epoch=e1 presence=off"), ["/sub lobby after=5 epoch=e1"])
        self.assertEqual(self.types("/join other last=3"), ["/history other last=3"])

    def test_join_again(self) -> None:
        """
        Joining what one has joined makes it the topic to talk in; with options it begins anew, as they say. With wrong
        ones nothing changes.
        """
        self.joins("lobby")
        self.assertEqual(self.types("/join lobby"), [])
        self.assertEqual(self.types("/join lobby after=x"), [])
        self.assertEqual(self.sees(), ["that is no whole number: x"])
        self.assertEqual(self.title, "lobby")
        self.assertEqual(self.types("/join lobby last=1"), ["/unsub lobby", "/history lobby last=1"])
        self.server.says("/ok unsub lobby", f"/past lobby 7 {_TIME} bob seven", "/ok history lobby 1")
        (sub,) = self.server.hears()
        self.assertEqual(sub, "/sub lobby after=6 presence=on")
        self.confirm(sub)
        self.server.says(f"/event lobby 7 {_TIME} bob seven")
        (seen,) = self.sees()
        self.assertRegex(seen, r"bob  seven\Z")
        self.assertEqual((self.title, self.types("x")), ("lobby", ["/pub lobby x"]))

    def test_refused_topic(self) -> None:
        """
        A topic that one may not read is not joined.
        """
        self.joins("lobby")
        self.types("/join @bob")
        self.server.says("/err denied an inbox is read by its owner only")
        self.assertEqual(self.sees(), ["@bob: denied: an inbox is read by its owner only"])
        self.assertEqual(self.title, "lobby")

    def test_elsewhere(self) -> None:
        """
        What is said elsewhere would not be seen, so it is told that it was said.
        """
        self.acknowledge("/say lobby hi")
        self.assertEqual(self.sees(), ["-- said in lobby"])
        self.acknowledge("/msg bob hi")
        self.assertEqual(self.sees(), ["-- sent to bob"])
        self.joins("lobby")
        self.acknowledge("/say lobby hi")
        self.assertEqual(self.sees(), [])

    def test_refused_publish(self) -> None:
        """
        What could not be published is told.
        """
        self.joins("lobby")
        self.conversation.typed("hi")
        (heard,) = self.server.hears()
        self.server.says(f"/err#{heard.split(' ')[0].removeprefix('/pub#')} denied not here")
        self.assertEqual(self.sees(), ["denied: not here"])

    def test_help(self) -> None:
        """
        The help has what this client does, and what the server says of itself.
        """
        self.assertEqual(self.types("/help"), ["/help"])
        self.server.says("/info /ping [TEXT]  is the server there?", "/ok help")
        self.assertEqual(self.sees(), [*HELP, "/ping [TEXT]  is the server there?", "help"])
        self.assertEqual(self.types("/help ping"), ["/help ping"])
        self.assertEqual(self.sees(), [])

    def test_names(self) -> None:
        """
        A name that was taken is kept on later connections.
        """
        self.assertEqual(self.types("/nick alice"), ["/nick alice"])
        self.server.says("/ok nick alice")
        self.assertEqual(self.sees(), ["-- you are alice"])
        self.drop()
        self.let_in("guest-2", kept="alice")

    def test_account(self) -> None:
        """
        Who has logged in is logged in on later connections, before anything else is done there.
        """
        self.joins("lobby")
        self.assertEqual(self.types("/login alice my secret"), ["/login alice my secret"])
        self.server.says("/ok login alice")
        self.assertEqual(self.sees(), ["-- you are alice"])
        self.drop()
        self.server.accept()
        self.server.says("/ok whoami guest-2 guest")
        self.assertEqual(self.server.hears(), ["/whoami", "/login alice my secret"])
        self.server.says("/ok login alice")
        self.assertEqual(self.server.hears(), ["/sub lobby after=0 epoch=e1 presence=on"])

    def test_leaving(self) -> None:
        """
        /quit leaves, and CLOSE SOCKET says that the end of the connection is wanted.
        """
        self.types("/quit")
        self.assertTrue(self.left)
        self.assertTrue(self.conversation.leaving)
        self.conversation.leaving = False
        self.types("please CLOSE SOCKET")
        self.assertTrue(self.conversation.leaving)
        self.server.breaks()
        self.assertEqual(self.sees(), [])

    def test_close_socket_in_a_topic(self) -> None:
        """
        In a topic these words are a text like any other.
        """
        self.joins("lobby")
        self.assertEqual(self.types("CLOSE SOCKET"), ["/pub lobby CLOSE SOCKET"])
        self.assertFalse(self.conversation.leaving)

    def test_said_without_a_connection(self) -> None:
        """
        What is said while the server is away is told to be waiting, and said when it is back.
        """
        self.joins("lobby")
        self.server.breaks()
        self.conversation.typed("hi")
        self.assertEqual(self.sees(), ["-- to be said when the server is back: hi"])
        self.clock.advance(0.1)
        self.let_in()
        self.assertRegex(self.server.hears()[-1], r"\A/pub#\S+ lobby hi\Z")

    def test_lost_message(self) -> None:
        """
        A message whose connection ended is told to be not done.
        """
        self.types("hello")
        self.server.breaks()
        self.assertRegex(self.sees()[0], r"\Anot done: ")
