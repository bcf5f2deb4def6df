"""
The control socket: the operator's commands, in the grammar of the line protocol.
"""

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport

from echochat.chat import ban_book
from echochat.daemon.control import ControlFactory, ControlProtocol
from echochat.identity.files import FileRefused
from echochat.server.control import commands
from echochat.server.operations import Operations
from tests.server.house import ELSEWHERE, HouseTestCase
from tests.wire.examples import reproducible

SCRIPT = (
    b"/ping\r\n/kick#a 192.0.2.7\n/ban 192.0.2.7 60\r\n/unban#b 192.0.2.7\r\n/unban 192.0.2.7\n"
    b"/reload#r\r\nhello\r\n" + b"x" * 5000 + b"\r\n/kick \xff\r\n/kick#z carol\r\n"
)
ANSWER = (
    rb"/err unknown-command [^\r\n]+\r\n/ok#a kick 0\r\n/ok ban 0\r\n/ok#b unban\r\n/err bad-arguments [^\r\n]+\r\n"
    rb"/info#r the moon: reloaded\r\n/ok#r reload 1\r\n/err unknown-command [^\r\n]+\r\n/err line-too-long [^\r\n]+\r\n"
    rb"/err bad-encoding [^\r\n]+\r\n/ok#z kick 0\r\n"
)


class ControlTests(HouseTestCase):
    """
    One operator's connection.
    """

    def setUp(self) -> None:
        self.open()
        self.stops = 0
        self.operations = Operations(self.house.factory, self.stop)
        self.protocol = self.connect()

    def stop(self) -> None:
        self.stops += 1

    def connect(self) -> ControlProtocol:
        """
        An operator connects.
        """
        protocol = ControlFactory(commands(self.operations)).buildProtocol(None)
        protocol.makeConnection(StringTransport())
        return protocol

    def say(self, data: bytes) -> bytes:
        """
        Send a segment.

        :return: what came since.
        """
        transport: Any = self.protocol.transport
        transport.clear()
        self.protocol.dataReceived(data)
        self.house.settle()
        answer: bytes = transport.value()
        return answer

    def test_says_nothing_first(self) -> None:
        """
        The operator speaks first.
        """
        self.assertEqual(self.say(b""), b"")

    def test_status(self) -> None:
        """
        An item for each figure, and how many there were.
        """
        self.house.connect()
        answer = self.say(b"/status\r\n")
        lines = answer.split(b"\r\n")[:-1]
        self.assertIn(b"/info connections: 1", lines)
        self.assertEqual(lines[-1], b"/ok status %d" % (len(lines) - 1))
        self.assertRegex(self.say(b"/STATUS#7\n"), rb"\A(/info#7 [^\r\n]+: [^\r\n]+\r\n)+/ok#7 status \d+\r\n\Z")

    def test_reload(self) -> None:
        """
        What was reloaded, by name; and an error when something was kept, after all items.
        """
        self.operations.reloads.add("the moon", lambda: None)
        self.assertEqual(self.say(b"/reload\r\n"), b"/info the moon: reloaded\r\n/ok reload 1\r\n")

        def refuse() -> None:
            raise FileRefused("it is broken")

        self.operations.reloads.add("the sun", refuse)
        answer = self.say(b"/reload#x\r\n")
        self.assertRegex(
            answer,
            rb"\A/info#x the moon: reloaded\r\n/info#x the sun: kept as it was: it is broken\r\n"
            rb"/err#x unavailable 1 of 2 [^\r\n]+\r\n\Z",
        )

    def test_kick_ban_unban(self) -> None:
        """
        Names and addresses; how many connections were closed.
        """
        one, other = self.house.connect(ELSEWHERE), self.house.connect()
        other.say(b"/nick mallory\r\n")
        self.assertEqual(self.say(b"/kick 192.0.2.7\r\n"), b"/ok kick 1\r\n")
        self.assertEqual(self.say(b"/ban  Mallory  30.5\r\n"), b"/ok ban 1\r\n")
        self.assertEqual((one.lost, other.lost), (True, True))
        self.assertIn("mallory", self.house.factory.bans)
        self.house.wait(30.5)
        self.assertNotIn("mallory", self.house.factory.bans)
        self.assertEqual(self.say(b"/ban mallory\r\n/unban mallory\r\n"), b"/ok ban 0\r\n/ok unban\r\n")
        self.refused(self.say(b"/unban mallory\r\n"), b"bad-arguments")

    def test_too_many_bans(self) -> None:
        """
        Where no one else can be banned the operator is told, and nothing is done; those who are stay banned.
        """
        self.patch(ban_book, "MOST_RECORDS", 2)
        visitor = self.house.connect()
        visitor.say(b"/nick mallory\r\n")
        self.assertEqual(self.say(b"/ban a\r\n/ban b 60\r\n"), b"/ok ban 0\r\n/ok ban 0\r\n")
        self.refused(self.say(b"/ban mallory\r\n"), b"too-many")
        self.assertFalse(visitor.lost)
        for who, banned in (("a", True), ("b", True), ("mallory", False)):
            self.assertEqual(who in self.house.factory.bans, banned)
        self.assertEqual(self.say(b"/unban a\r\n/ban mallory\r\n"), b"/ok unban\r\n/ok ban 1\r\n")

    def test_ways_to_write_who(self) -> None:
        """
        Names in any letter case, addresses in any form, with the zone that systems print with some of them.
        """
        for who in (b"Mallory", b"guest-7_x.y", b"192.0.2.7", b"2001:DB8:0::1", b"::ffff:192.0.2.7", b"fe80::1%eth0"):
            answer = self.say(b"/kick %s\r\n/ban %s\r\n/unban %s\r\n" % (who, who, who))
            self.assertEqual(answer, b"/ok kick 0\r\n/ok ban 0\r\n/ok unban\r\n", who)

    def test_move(self) -> None:
        """
        All are asked, or so many; what is no number is refused.
        """
        for _ in range(3):
            self.house.connect().say(b"hello\r\n")
        self.assertEqual(self.say(b"/move#m 30\r\n"), b"/ok#m move 3\r\n")
        self.assertEqual(self.say(b"/move 2 0.5\r\n"), b"/ok move 2\r\n")
        self.assertEqual(self.say(b"/move 0 0\r\n"), b"/ok move 0\r\n")
        for wrong in (b"", b" soon", b" -1", b" nan", b" 1 2 3", b" -1 5", b" 1.5 5"):
            self.refused(self.say(b"/move%s\r\n" % wrong), b"bad-arguments")

    def test_drain(self) -> None:
        """
        The server is stopped, once.
        """
        self.assertEqual(self.say(b"/drain#d\r\n"), b"/ok#d drain\r\n")
        self.assertEqual(self.stops, 1)

    def test_bad_arguments(self) -> None:
        """
        What makes no sense is refused, and nothing is done.
        """
        visitor = self.house.connect()
        visitor.say(b"/nick mallory\r\n")
        for line in (
            b"/kick",
            b"/kick  ",
            b"/kick a b",
            b"/ban",
            b"/ban mallory never",
            b"/ban mallory 0",
            b"/ban mallory -1",
            b"/ban mallory nan",
            b"/ban mallory inf",
            b"/ban mallory 1e99",
            b"/ban mallory 1 2",
            b"/ban 192.0.2.0/24",
            b"/ban 192.0.2.7:7007 60",
            b"/ban mallory!",
            b"/kick 2001:db8::/32",
            b"/unban bob,alice",
            b"/unban",
            b"/unban a b",
            b"/status now",
            b"/reload certificates",
            b"/drain 5",
            b"/kick#! mallory",
            b"/drain#",
        ):
            self.refused(self.say(line + b"\r\n"), b"bad-arguments")
        self.assertFalse(visitor.lost)
        self.assertNotIn("mallory", self.house.factory.bans)
        self.assertEqual([*self.house.factory.bans.book.records], [])
        self.assertEqual(self.stops, 0)

    def test_unknown(self) -> None:
        """
        What is no command here: messages, commands of the line protocol, nothing at all. The explanation lists what
        there is.
        """
        for line in (b"", b"hello", b"status", b"xdrain", b"xdrain#l", b"//status", b"/", b"/pub t x", b"/help"):
            answer = self.say(line + b"\r\n")
            self.refused(answer, b"unknown-command")
            self.assertIn(b"/unban", answer)
        self.assertEqual(self.stops, 0)
        self.refused(self.say(b"/nosuch#l\r\n"), b"unknown-command", b"l")

    @settings(reproducible, max_examples=50)
    @given(st.lists(st.integers(0, len(SCRIPT)), max_size=20))
    def test_any_segmentation(self, cuts: list[int]) -> None:
        """
        However the bytes are cut into segments, the answers are the same.
        """
        self.operations = Operations(self.house.factory, self.stop)
        self.operations.reloads.add("the moon", lambda: None)
        self.protocol = self.connect()
        places = [0, *sorted(cuts), len(SCRIPT)]
        answer = b"".join(self.say(SCRIPT[start:end]) for start, end in pairwise(places) if start < end)
        self.assertRegex(answer, rb"\A" + ANSWER + rb"\Z")

    def test_one_after_the_other(self) -> None:
        """
        A command waits until the one before it has been answered.
        """
        waiting: Deferred[None] = Deferred()
        self.operations.reloads.add("the moon", lambda: waiting)
        self.assertEqual(self.say(b"/reload#1\r\n/kick#2 a\r\n"), b"")
        waiting.callback(None)
        transport: Any = self.protocol.transport
        self.assertEqual(transport.value(), b"/info#1 the moon: reloaded\r\n/ok#1 reload 1\r\n/ok#2 kick 0\r\n")

    def test_operators_do_not_wait_for_each_other(self) -> None:
        """
        On another connection one is served meanwhile.
        """
        waiting: Deferred[None] = Deferred()
        self.operations.reloads.add("the moon", lambda: waiting)
        self.say(b"/reload\r\n")
        self.protocol = self.connect()
        self.assertEqual(self.say(b"/kick a\r\n"), b"/ok kick 0\r\n")
        waiting.callback(None)

    def test_a_bug(self) -> None:
        """
        A command that breaks closes the operator's connection, and is logged; the server goes on.
        """

        def break_down() -> dict[str, str | int | float]:
            raise RuntimeError("a bug")

        self.patch(self.operations, "status", break_down)
        self.assertEqual(self.say(b"/status\r\n"), b"")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        transport: Any = self.protocol.transport
        self.assertTrue(transport.disconnecting)
        self.assertEqual(self.house.connect().say(b"hello\r\n"), b"HELLO\r\n")
