"""
Tests for :mod:`echochat.wire.telnet`.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.wire.telnet import TelnetFilter
from tests.wire.examples import NEGOTIATION, STREAMS, reproducible, segmented


class TelnetFilterTests(SynchronousTestCase):
    """
    Who types into telnet is understood, and nobody else notices that telnet exists.
    """

    def test_plain_bytes_are_untouched(self) -> None:
        """
        What has no 0xFF in it passes as the same object.
        """
        data = b"hello\r\n\0\xf0\xfe"
        self.assertIs(TelnetFilter().feed(data), data)

    def test_commands_are_removed(self) -> None:
        """
        Negotiation (RFC 854), subnegotiation with all that is in it, and the commands without an option are no text.
        """
        telnet = TelnetFilter()
        for command in (
            b"\xff\xfb\x01",
            b"\xff\xfc\x01",
            b"\xff\xfd\x01",
            b"\xff\xfe\x01",
            b"\xff\xfa\x18\0xterm\xff\xf0",
            b"\xff\xfa\x1f\0\xff\xff\0\x18\xff\xf0",
            b"\xff\xfa\x1f\xff\xfa\n\xff\xf1\xff\xf0",
            *(bytes([0xFF, number]) for number in range(236, 250)),
        ):
            self.assertEqual(telnet.feed(b"he" + command + b"llo"), b"hello")
            self.assertTrue(telnet.between_commands)

    def test_doubled_is_one(self) -> None:
        """
        Two 0xFF are one, as RFC 854 has it.
        """
        self.assertEqual(TelnetFilter().feed(b"a\xff\xffb\xff\xff\xff\xff"), b"a\xffb\xff\xff")

    def test_no_command(self) -> None:
        """
        A 0xFF before what is no command stays, so that the line is refused as bad text.
        """
        for follower in (0x00, 0x0A, 0x61, 235):
            sent = bytes([0xFF, follower])
            self.assertEqual(TelnetFilter().feed(sent), sent)

    def test_unfinished_command_waits(self) -> None:
        """
        A command in several segments is removed as if it had come in one.
        """
        for command in (b"\xff\xfb\x01", b"\xff\xf1", b"\xff\xfa\x18\0xterm\xff\xff\xff\xf0"):
            telnet = TelnetFilter()
            self.assertEqual(telnet.feed(b"a"), b"a")
            for index in range(len(command) - 1):
                self.assertEqual(telnet.feed(command[index : index + 1]), b"")
                self.assertFalse(telnet.between_commands)
            self.assertEqual(telnet.feed(command[-1:] + b"b"), b"b")
            self.assertTrue(telnet.between_commands)

    def test_endless_subnegotiation_takes_no_memory(self) -> None:
        """
        Nothing of a subnegotiation is kept.
        """
        telnet = TelnetFilter()
        telnet.feed(b"\xff\xfa")
        for _ in range(100):
            self.assertEqual(telnet.feed(b"x" * 1_000 + b"\xff"), b"")
        self.assertEqual(telnet._pending, b"\xff")

    @reproducible
    @given(segmented())
    def test_any_segments(self, segments: list[bytes]) -> None:
        """
        However a stream is cut into segments, the same text comes out.
        """
        telnet, at_once = TelnetFilter(), TelnetFilter()
        self.assertEqual(b"".join([telnet.feed(each) for each in segments]), at_once.feed(b"".join(segments)))
        self.assertEqual(telnet.between_commands, at_once.between_commands)
        self.assertLessEqual(len(telnet._pending), 2)

    @reproducible
    @given(st.lists(st.tuples(st.text(), NEGOTIATION)))
    def test_text_between_commands(self, parts: list[tuple[str, bytes]]) -> None:
        """
        UTF-8 text comes out as it was, whatever commands are between.
        """
        sent = b"".join([text.encode() + command for text, command in parts])
        self.assertEqual(TelnetFilter().feed(sent), b"".join([text.encode() for text, _ in parts]))

    @reproducible
    @given(STREAMS)
    def test_escaped(self, stream: bytes) -> None:
        """
        Whatever a client sends with each 0xFF doubled arrives.
        """
        self.assertEqual(TelnetFilter().feed(stream.replace(b"\xff", b"\xff\xff")), stream)
