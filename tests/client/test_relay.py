"""
A chat in a pipe, without the pipe.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.client.relay import Incoming, Outgoing, SigningIn, harmless_block
from tests.wire.examples import reproducible


def pour(stage: Outgoing | Incoming, data: bytes, size: int) -> bytes:
    """
    Put all of the data through, in chunks of a size.
    """
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join([stage.feed(chunk) for chunk in chunks]) + stage.end()


class OutgoingTests(SynchronousTestCase):
    """
    The input reaches the server up to the line that ends the conversation, and the replies due are known.
    """

    def test_lines(self) -> None:
        """
        Every line goes as it is, whatever it is, and each will be answered.
        """
        outgoing = Outgoing()
        text = b"hello\n/ping x\n//etc\n\n\xff\r\n"
        self.assertEqual(pour(outgoing, text, 4), text)
        self.assertEqual(outgoing.expected, 5)
        self.assertFalse(outgoing.finished)

    def test_last_line_without_end(self) -> None:
        """
        A last line that the input does not end is ended, for the server would not take it for a message.
        """
        outgoing = Outgoing()
        self.assertEqual(pour(outgoing, b"a\nb", 1), b"a\nb\n")
        self.assertEqual(outgoing.expected, 2)

    def test_empty_input(self) -> None:
        """
        Of nothing nothing is made.
        """
        outgoing = Outgoing()
        self.assertEqual(outgoing.end(), b"")
        self.assertEqual(outgoing.expected, 0)

    def test_closing_message(self) -> None:
        """
        After the message that closes the connection nothing is sent, and it is not answered itself.
        """
        for closing in (b"CLOSE SOCKET\n", b"please CLOSE SOCKET now\r\n", b"//CLOSE SOCKET\n"):
            outgoing = Outgoing()
            self.assertEqual(pour(outgoing, b"a\n" + closing + b"b\nc", 3), b"a\n" + closing)
            self.assertEqual((outgoing.expected, outgoing.finished), (1, True))

    def test_closing_message_at_the_end(self) -> None:
        """
        The closing message is known as such where the input does not end it, too.
        """
        outgoing = Outgoing()
        self.assertEqual(pour(outgoing, b"CLOSE SOCKET", 5), b"CLOSE SOCKET\n")
        self.assertEqual((outgoing.expected, outgoing.finished), (0, True))

    def test_quit(self) -> None:
        """
        Nor is anything sent after /quit, which is answered.
        """
        for quitting in (b"/quit\n", b"/QUIT#l \r\n"):
            outgoing = Outgoing()
            self.assertEqual(pour(outgoing, b"a\n" + quitting + b"CLOSE SOCKET\n", 100), b"a\n" + quitting)
            self.assertEqual((outgoing.expected, outgoing.finished), (2, True))

    def test_lines_that_do_not_close(self) -> None:
        """
        A command with these words in it, other cases of them, and longer verbs close nothing.
        """
        outgoing = Outgoing()
        text = b"/ping CLOSE SOCKET\nclose socket\nCLOSE  SOCKET\n//quit\n/quitter\nCLOSE\nSOCKET\n"
        self.assertEqual(pour(outgoing, text, 100), text)
        self.assertEqual((outgoing.expected, outgoing.finished), (7, False))

    def test_giant_line(self) -> None:
        """
        A line too long for the server goes through in pieces and is one line; what follows is looked at again.
        """
        outgoing = Outgoing()
        giant = b"x" * 300_000
        self.assertEqual(pour(outgoing, giant + b"\na\nCLOSE SOCKET\nb\n", 10_000), giant + b"\na\nCLOSE SOCKET\n")
        self.assertEqual(outgoing.expected, 2)
        outgoing = Outgoing()
        self.assertEqual(pour(outgoing, giant, 10_000), giant + b"\n")
        self.assertEqual(outgoing.expected, 1)

    @settings(reproducible, max_examples=100)
    @given(st.lists(st.sampled_from([b"a", b"\n", b"/", b"CLOSE ", b"SOCKET", b"/quit\n", b"\r"])), st.integers(1, 9))
    def test_any_segmentation(self, parts: list[bytes], size: int) -> None:
        """
        However the input is cut, the same bytes go out and the same number of replies is due.
        """
        text = b"".join(parts)
        whole, cut = Outgoing(), Outgoing()
        self.assertEqual(pour(whole, text, len(text) + 1), pour(cut, text, size))
        self.assertEqual((whole.expected, whole.finished), (cut.expected, cut.finished))


class IncomingTests(SynchronousTestCase):
    """
    The server's lines reach the output with the ends of lines that a pipe has, and the replies are counted.
    """

    def test_ends_of_lines(self) -> None:
        """
        Control lines lose the server's CR; an echo keeps the end that its message had.
        """
        incoming = Incoming()
        stream = b"A\n/ok ping x\r\nB\r\n//C\r\n"
        self.assertEqual(pour(incoming, stream, 5), b"A\n/ok ping x\nB\r\n//C\r\n")
        self.assertEqual(incoming.replies, 4)

    def test_only_replies_count(self) -> None:
        """
        Items, events and farewells pass, and answer nothing.
        """
        incoming = Incoming()
        stream = b"/info a\r\n/ok#l help\r\n/event t 1 x y z\r\n/drain 5\r\n/err bad-text no\r\n/bye slow you\r\n"
        self.assertEqual(pour(incoming, stream, 7), stream.replace(b"\r", b""))
        self.assertEqual(incoming.replies, 2)
        self.assertEqual(incoming.bye, "slow you")

    def test_hidden(self) -> None:
        """
        The reply to a question of ours is not the user's.
        """
        incoming = Incoming(hidden=b"/ok#ours quit")
        self.assertEqual(pour(incoming, b"A\n/ok quit\r\n/ok#ours quit\r\n", 100), b"A\n/ok quit\n")
        self.assertEqual(incoming.replies, 2)

    def test_unfinished_line(self) -> None:
        """
        What the server could still say of a line when it went is not held back.
        """
        incoming = Incoming()
        self.assertEqual(pour(incoming, b"A\nB", 100), b"A\nB")
        self.assertEqual(incoming.replies, 1)

    def test_giant_line(self) -> None:
        """
        A line of any length passes, in bounded memory, and is one reply.
        """
        incoming = Incoming()
        giant = b"/" * 3_000_000 + b"\n"
        passed = [incoming.feed(giant[start : start + 65_536]) for start in range(0, len(giant), 65_536)]
        self.assertEqual(b"".join(passed), giant)
        self.assertLess(max(map(len, passed)), 1_300_000)
        self.assertEqual(incoming.replies, 1)


class SigningInTests(SynchronousTestCase):
    """
    The answer to a login is known among whatever comes around it, and not passed on.
    """

    def test_accepted(self) -> None:
        """
        However the stream is cut, the answer is taken out of it, and all else goes on, also the line behind it.
        """
        for answer in (b"/ok login alice\r\n", b"/ok#l.1 token alice\n"):
            for size in (1, 7, 100):
                stream = b"/drain 5\r\n" + answer + b"/bye draining x\r\nrest"
                signing_in, passed = SigningIn(), b""
                for start in range(0, len(stream), size):
                    chunk = stream[start : start + size]
                    passed += chunk if signing_in.answered else signing_in.feed(chunk)
                self.assertEqual(passed + signing_in.end(), b"/drain 5\r\n/bye draining x\r\nrest")
                self.assertEqual((signing_in.answered, signing_in.refusal), (True, None))

    def test_refused(self) -> None:
        """
        A refusal is kept with its reason, if there is one.
        """
        for answer, refusal in (
            (b"/err login-failed no \xff\r\n", "login-failed no \ufffd"),
            (b"/err#l slow-down wait\n", "slow-down wait"),
            (b"/err\r\n", ""),
        ):
            signing_in = SigningIn()
            self.assertEqual(signing_in.feed(answer), b"")
            self.assertEqual((signing_in.answered, signing_in.refusal), (True, refusal))

    def test_unanswered(self) -> None:
        """
        A connection that ends before the answer has no refusal, and nothing of what came is lost.
        """
        signing_in = SigningIn()
        self.assertEqual(signing_in.feed(b"/bye banned x\r\n/okay\n/err"), b"/bye banned x\r\n/okay\n")
        self.assertEqual(signing_in.end(), b"/err")
        self.assertEqual((signing_in.answered, signing_in.refusal), (False, None))


class HarmlessBlockTests(SynchronousTestCase):
    """
    What reaches a terminal is made harmless, line by line.
    """

    def test_block(self) -> None:
        """
        The ends of lines stay, a CR before them is no danger and not shown, everything else that acts is visible.
        """
        self.assertEqual(harmless_block(b"\x1b[2J\r\nB\xff\n"), "^[[2J\nB\ufffd\n".encode())
