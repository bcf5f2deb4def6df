"""
The client core: what a request looks like on the wire, and which reply belongs to which.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.client import core
from echochat.client.core import (
    Answered,
    ClientCore,
    ProtocolViolation,
    Request,
    encode_command,
    encode_message,
)
from echochat.wire.answers import Answer, Bye, Drain, Echo, Err, Event, Gap, Info, Joined, Ok, Parted, Past
from echochat.wire.commands import parse_command
from tests.wire.examples import reproducible

NEWS: tuple[Answer, ...] = (
    Event("lobby", 7, "2026-01-02T03:04:05.678Z", "alice", "hi  there"),
    Gap("lobby", 1, 6),
    Joined("lobby", "bob"),
    Parted("lobby", "bob"),
    Drain(9),
    Bye("idle", "nothing was said"),
)


class EncodingTests(SynchronousTestCase):
    """
    One request is one line, and the line means what the caller meant.
    """

    def test_message(self) -> None:
        """
        A message is its text and a line feed.
        """
        self.assertEqual(encode_message("straße").line, "straße\n".encode())

    def test_leading_slash_is_text(self) -> None:
        """
        A text that looks like a command, or like an escaped message, is still sent as text.
        """
        self.assertEqual(encode_message("/quit").line, b"//quit\n")
        self.assertEqual(encode_message("//x").line, b"///x\n")

    def test_line_break_is_refused(self) -> None:
        """
        No text can smuggle in a second line, which would shift every later reply by one.
        """
        for text in ("a\nb", "a\r", "\r\n", "a\r\0b"):
            self.assertRaises(ValueError, encode_message, text)
            self.assertRaises(ValueError, encode_command, "ping", text)

    def test_half_a_character_is_refused(self) -> None:
        """
        What UTF-8 cannot write is an error here, not a broken line at the server.
        """
        self.assertRaises(ValueError, encode_message, "\ud800")

    def test_command(self) -> None:
        """
        Verb, label and arguments reach the server's own reader as they were given, a text with its spaces.
        """
        request = encode_command("pub", "lobby", "  two  spaces ", label="run-1.2")
        command = parse_command(request.line.decode().removesuffix("\n"))
        self.assertEqual((command.verb, command.label), ("pub", "run-1.2"))
        self.assertEqual(command.rest, "lobby   two  spaces ")

    def test_command_without_arguments(self) -> None:
        """
        A bare verb has nothing behind it.
        """
        self.assertEqual(encode_command("whoami").line, b"/whoami\n")

    def test_nonsense_is_refused(self) -> None:
        """
        What the server could only answer with an error never leaves.
        """
        self.assertRaises(ValueError, encode_command, "two words")
        self.assertRaises(ValueError, encode_command, "")
        self.assertRaises(ValueError, encode_command, "ping", label="a b")
        self.assertRaises(ValueError, encode_command, "ping", label="")


class MatchingTests(SynchronousTestCase):
    """
    Every reply finds its request, whatever comes between.
    """

    def setUp(self) -> None:
        self.core = ClientCore()

    def asked(self, *requests: Request) -> tuple[Request, ...]:
        for request in requests:
            self.core.sent(request)
        return requests

    def test_in_order(self) -> None:
        """
        Labelled and unlabelled requests of a pipeline are answered in the order in which they were sent.
        """
        one, two, three, four = self.asked(
            encode_message("a"),
            encode_command("ping", label="x"),
            encode_command("ping"),
            encode_message("/b"),
        )
        arrivals = list(self.core.feed(b"A\n/ok#x ping\r\n/err slow-down wait\r\n//B\n"))
        self.assertEqual(
            arrivals,
            [
                Answered(one, Echo("A")),
                Answered(two, Ok("ping", "", "x")),
                Answered(three, Err("slow-down", "wait")),
                Answered(four, Echo("/B")),
            ],
        )
        self.assertEqual(self.core.unanswered, 0)

    def test_news_between(self) -> None:
        """
        Events, gaps, presence and farewells are given where they came, and take no request's answer.
        """
        request, *_ = self.asked(encode_message("a"), encode_message("b"))
        stream = b"".join(news.encode() for news in NEWS)
        self.assertEqual(list(self.core.feed(stream + b"A\n")), [*NEWS, Answered(request, Echo("A"))])
        self.assertEqual(self.core.unanswered, 1)

    def test_items(self) -> None:
        """
        The items of a reply belong to it, with an event among them that does not.
        """
        (request,) = self.asked(encode_command("history", "lobby", label="h"))
        past = Past("lobby", 1, "2026-01-02T03:04:05.678Z", "alice", "hi", "h")
        arrivals = list(self.core.feed(past.encode() + NEWS[0].encode() + b"/ok#h history lobby 1\r\n"))
        self.assertEqual(arrivals, [NEWS[0], Answered(request, Ok("history", "lobby 1", "h"))])
        self.assertEqual(request.items, [past])

    def test_unlabelled_refusal(self) -> None:
        """
        A line that the server could not even read is refused without its label, and is still the oldest one.
        """
        (request,) = self.asked(encode_command("ping", label="x"))
        self.assertEqual(
            list(self.core.feed(b"/err line-too-long 65536\r\n")), [Answered(request, Err("line-too-long", "65536"))]
        )

    def test_refusal_of_the_connection(self) -> None:
        """
        A server that turns the connection away before anything was asked is heard.
        """
        self.assertEqual(list(self.core.feed(b"/err too-many connections\r\n")), [Err("too-many", "connections")])

    def test_unknown_control_line(self) -> None:
        """
        A newer server's lines are passed over, and what is known around them is read.
        """
        (request,) = self.asked(encode_message("a"))
        arrivals = list(self.core.feed(b"/sparkle 1 2\r\n/event x\r\nA\n"))
        self.assertEqual(arrivals, [Answered(request, Echo("A"))])

    def test_give_up(self) -> None:
        """
        What the end of the connection leaves unanswered is handed back once, oldest first.
        """
        asked = self.asked(encode_message("a"), encode_message("b"))
        self.assertEqual(self.core.give_up(), list(asked))
        self.assertEqual(self.core.give_up(), [])

    @settings(reproducible, max_examples=100)
    @given(st.data())
    def test_any_segmentation(self, data: st.DataObject) -> None:
        """
        However the network cuts the stream, the same arrivals come out.
        """
        whole = b"A\r\n/info#l one\r\n" + NEWS[0].encode() + "/ok#l help\r\nSTRASSE é\n".encode()
        core = ClientCore()
        for request in (encode_message("a"), encode_command("help", label="l"), encode_message("straße é")):
            core.sent(request)
        cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)))))
        closings: list[object] = []
        for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            closings += [
                (arrival.closing, arrival.request.items) if isinstance(arrival, Answered) else arrival
                for arrival in core.feed(whole[start:end])
            ]
        self.assertEqual(
            closings,
            [
                (Echo("A"), []),
                NEWS[0],
                (Ok("help", "", "l"), [Info("one", "l")]),
                (Echo("STRASSE é"), []),
            ],
        )


class ViolationTests(SynchronousTestCase):
    """
    What is not an echochat server is told from one, in bounded memory.
    """

    def refuses(self, stream: bytes, *requests: Request) -> str:
        core = ClientCore(max_answer=100)
        for request in requests:
            core.sent(request)
        return str(self.assertRaises(ProtocolViolation, list, core.feed(stream)))

    def test_answer_to_nothing(self) -> None:
        """
        A greeting, of an SSH server for instance, is not taken for an answer.
        """
        self.assertIn("is it an echochat server?", self.refuses(b"SSH-2.0-OpenSSH\r\n"))

    def test_replies_out_of_order(self) -> None:
        """
        A reply under another's label, or of the other kind, is never given to the wrong request.
        """
        labelled = encode_command("ping", label="x")
        self.assertIn("does not answer", self.refuses(b"/ok#y ping\r\n", labelled))
        self.assertIn("does not answer", self.refuses(b"/ok ping\r\n", labelled))
        self.assertIn("does not answer", self.refuses(b"/info#y text\r\n", labelled))
        self.assertIn("does not answer", self.refuses(b"ECHO\r\n", encode_command("ping")))
        self.assertIn("does not answer", self.refuses(b"/ok ping\r\n", encode_message("/x")))

    def test_item_of_nothing(self) -> None:
        """
        An item that no command asked for is not kept.
        """
        self.assertIn("answers nothing", self.refuses(b"/info text\r\n"))

    def test_line_too_long(self) -> None:
        """
        A line without an end is refused at the limit, before its end comes.
        """
        self.assertIn("more than 100 bytes", self.refuses(b"x" * 102, encode_message("x")))

    def test_not_utf8(self) -> None:
        """
        Bytes that are no text are refused, not guessed at.
        """
        self.assertIn("UTF-8", self.refuses(b"\xff\n", encode_message("x")))

    def test_endless_items(self) -> None:
        """
        A reply whose items never end is refused before it has filled the memory.
        """
        self.patch(core, "MAX_ITEMS", 50)
        self.assertIn("more than 50 bytes", self.refuses(b"/info x\r\n" * 100, encode_command("help")))

    def test_what_came_before(self) -> None:
        """
        The replies before the violation are given first.
        """
        core = ClientCore()
        request = encode_message("a")
        core.sent(request)
        arrivals = core.feed(b"A\nB\n")
        self.assertEqual(next(arrivals), Answered(request, Echo("A")))
        self.assertRaises(ProtocolViolation, next, arrivals)
