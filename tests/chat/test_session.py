"""
Tests for :mod:`echochat.chat.session`.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.effects import Close, Publish
from echochat.chat.policy import Allowance
from echochat.wire.answers import Bye
from echochat.wire.telnet import TelnetFilter
from tests.chat.conversation import Conversation, make_commons
from tests.wire.examples import ENDS, MESSAGES, NEGOTIATION, PIECES, STREAMS, reproducible, segmented

LIMIT = 40

_TOPIC_COMMANDS = st.sampled_from(
    [
        b"/pub lobby hi\n",
        b"/pub#1 lobby  hi\r\n",
        b"/pub lobby\n",
        b"/pub lobby a\n/pub#2 lobby  b \r\n/pub x \n",
        b"/pub lobby a\n/pub @bob b\n/pub !\n",
        b"/say lobby a\x1bb\n",
        b"/msg bob hey\n",
        b"/sub lobby last=3\n",
        b"/part#x lobby\n",
        b"/history lobby\r\0",
        b"/who lobby\n",
        b"/topics\n",
        b"/login bob right\n",
        b"/token#t wrong\r\n",
    ]
)

CONVERSATIONS = st.lists(PIECES | _TOPIC_COMMANDS, max_size=24).map(b"".join)


class MessageTests(SynchronousTestCase):
    """
    Messages are answered in capitals, in their order, ended as they were.
    """

    def test_ends(self) -> None:
        """
        An echo is ended exactly as its message was.
        """
        self.assertEqual(Conversation().say(b"a\nb\r\nc\r\0\n"), b"A\nB\r\nC\r\0\n")

    def test_escaped(self) -> None:
        """
        A message that begins with ``//`` is answered escaped in the same way.
        """
        self.assertEqual(Conversation().say(b"//etc\n///\r\n//\n"), b"//ETC\n///\r\n//\n")

    def test_not_utf_8(self) -> None:
        """
        A line that is not UTF-8 is refused, be it a message or a command, and the conversation goes on.
        """
        conversation = Conversation()
        for line in (b"caf\xe9\n", b"/ping caf\xe9\n", b"CLOSE SOCKET \xff\n"):
            self.assertEqual(conversation.say(line), b"/err bad-encoding a line is UTF-8 text\r\n")
        self.assertEqual(conversation.say(b"ok\n"), b"OK\n")

    def test_too_long(self) -> None:
        """
        A line that is too long is refused once, with the limit, and whatever is in it is not done.
        """
        conversation = Conversation(max_line=16)
        answer = conversation.say(b"one\nCLOSE SOCKET 0123", b"456789 CLOSE SOCKET", b"\ntwo\n")
        self.assertEqual(
            answer, b"ONE\n/err line-too-long a line may have 16 bytes, and the rest of this one is dropped\r\nTWO\n"
        )

    def test_unfinished_line(self) -> None:
        """
        A line without its end is not answered, nor counted.
        """
        conversation = Conversation()
        self.assertEqual(conversation.say(b"a\nb"), b"A\n")
        self.assertEqual(conversation.session.lines, 1)

    def test_counts_lines(self) -> None:
        """
        Every line counts, however it was answered.
        """
        conversation = Conversation(max_line=16)
        for segment in (b"a\n", b"b\nc\r\n", b"/ping\n", b"x" * 17, b"\n", b"\xff\n", b"d\r\0"):
            conversation.say(segment)
        self.assertEqual(conversation.session.lines, 7)
        self.assertEqual(conversation.session.echoed, 2)

    def test_started(self) -> None:
        """
        The conversation has begun with the first line, not with the first byte.
        """
        conversation = Conversation()
        conversation.say(b"hel")
        self.assertFalse(conversation.session.started)
        conversation.say(b"lo\n")
        self.assertTrue(conversation.session.started)

    @reproducible
    @given(st.lists(st.tuples(MESSAGES, ENDS)), st.data())
    def test_capitals(self, messages: list[tuple[str, bytes]], data: st.DataObject) -> None:
        """
        Every message's answer is ``str.upper()`` of it, with the message's own end, however the messages arrive.
        """
        segments = data.draw(segmented(st.just(b"".join([text.encode() + end for text, end in messages]))))
        conversation = Conversation(telnet=TelnetFilter())
        conversation.say(*segments)
        self.assertEqual(conversation.sent, b"".join([text.upper().encode() + end for text, end in messages]))
        self.assertEqual(conversation.session.lines, len(messages))


class CloseTests(SynchronousTestCase):
    """
    A conversation ends when it was asked to, and not a line later.
    """

    def test_close_socket(self) -> None:
        """
        ``CLOSE SOCKET`` anywhere in a message ends it: what came before is answered, it and what follows are not.
        """
        for line in (b"CLOSE SOCKET\n", b"please CLOSE SOCKET now\r\n", b"//CLOSE SOCKET\r\0", b"xCLOSE SOCKETx\n"):
            conversation = Conversation()
            self.assertEqual(conversation.say(b"a\nb\n" + line + b"c\n", b"d\n"), b"A\nB\n")
            self.assertEqual(conversation.closed, Close("CLOSE SOCKET"))
            self.assertEqual(conversation.session.lines, 3)

    def test_only_exactly_that(self) -> None:
        """
        Another letter case, two spaces, or a command with these words in it end nothing.
        """
        conversation = Conversation()
        conversation.say(b"close socket\nCLOSE  SOCKET\nCLOSE\nSOCKET\n/ping CLOSE SOCKET\n")
        self.assertEqual(conversation.sent, b"CLOSE SOCKET\nCLOSE  SOCKET\nCLOSE\nSOCKET\n/ok ping CLOSE SOCKET\r\n")
        self.assertIsNone(conversation.closed)

    def test_http(self) -> None:
        """
        A browser that was aimed at the port is told off, and nothing that it sends is done.
        """
        conversation = Conversation()
        conversation.say(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n/nick evil\r\nhello\r\n", b"hello\r\n")
        self.assertEqual(conversation.sent, b"/bye protocol this port speaks lines, not HTTP\r\n")
        self.assertEqual(conversation.session.name, "guest-1")

    def test_http_too_long(self) -> None:
        """
        A browser cannot hide its request line by making it longer than a line may be.
        """
        conversation = Conversation(max_line=64)
        conversation.say(b"POST /" + b"x" * 64 + b" HTTP/1.1\r\nHost: a\r\n\r\n/nick evil\r\n")
        self.assertEqual(
            conversation.sent,
            b"/err line-too-long a line may have 64 bytes, and the rest of this one is dropped\r\n"
            b"/bye protocol this port speaks lines, not HTTP\r\n",
        )
        self.assertEqual(conversation.session.name, "guest-1")

    def test_who_is_no_browser(self) -> None:
        """
        ``Host:`` closes nothing but what began with a line that was too long.
        """
        for beginning in (b"", b"hello\n", b"x" * 65 + b"\nhello\n"):
            conversation = Conversation(max_line=64)
            conversation.say(beginning)
            self.assertEqual(conversation.say(b"Host: who is it?\n"), b"HOST: WHO IS IT?\n")
            self.assertEqual(conversation.say(b"/ping\nHost: x\n"), b"/ok ping\r\nHOST: X\n")

    def test_http_later(self) -> None:
        """
        Only the first line can be a browser's.
        """
        conversation = Conversation()
        conversation.say(b"\nGET / HTTP/1.1\r\n")
        self.assertEqual(conversation.sent, b"\nGET / HTTP/1.1\r\n")

    def test_waits_for_replies(self) -> None:
        """
        What was asked before the end is answered before the end, however long that takes.
        """
        conversation = Conversation(prompt=False)
        conversation.say(b"/pub lobby hi\na\nCLOSE SOCKET\nb\n")
        self.assertEqual(conversation.sent, b"")
        self.assertIsNone(conversation.closed)
        conversation.perform_next()
        self.assertEqual(conversation.sent, b"/ok pub lobby 1\r\nA\n")
        self.assertEqual(conversation.closed, Close("CLOSE SOCKET"))

    def test_end_frees_the_name(self) -> None:
        """
        Whoever has gone leaves the name to others, and replies that come too late go nowhere.
        """
        commons = make_commons()
        conversation, other = Conversation(commons, prompt=False), Conversation(commons)
        conversation.say(b"/nick bob\n/pub lobby hi\n")
        self.assertIn(b"/err name-taken ", other.say(b"/nick BOB\n"))
        conversation.session.end()
        self.assertEqual(other.say(b"/nick BOB\n"), b"/ok nick BOB\r\n")
        before = conversation.sent
        conversation.perform_next()
        self.assertEqual(conversation.say(b"hello\n"), b"")
        self.assertEqual(conversation.sent, before)

    def test_nothing_is_answered_behind_the_end(self) -> None:
        """
        When the server has closed on its own account, what still comes is not answered, whichever way it comes.
        """
        for ending in ("end", "take_no_more"):
            conversation = Conversation()
            conversation.say(b"a\n", b"b\n")
            getattr(conversation.session, ending)()
            self.assertIsNone(conversation.session.answer(b"c\n"))
            self.assertEqual(conversation.session.receive(b"c\n"), [])
            conversation.session.settle()
            self.assertIsNone(conversation.session.answer(b"c\n"))
            self.assertEqual(conversation.session.replies.take(), b"")
            self.assertEqual(conversation.session.lines, 2)

    def test_take_no_more(self) -> None:
        """
        Lines that wait for their turn are not taken when nothing is to be taken any more; what was asked before is
        answered.
        """
        conversation = Conversation(prompt=False)
        conversation.say(b"/pub lobby hi\n/nick bob\nx\n")
        conversation.session.take_no_more()
        conversation.perform_next()
        self.assertEqual(conversation.sent, b"/ok pub lobby 1\r\n")
        self.assertFalse(conversation.session.holds)

    def test_end_of_one_without_a_name(self) -> None:
        """
        Whoever never asked for a name has none to give back.
        """
        commons = make_commons()
        Conversation(commons).session.end()
        self.assertEqual(Conversation(commons).say(b"/whoami\n"), b"/ok whoami guest-1 guest\r\n")


class OrderTests(SynchronousTestCase):
    """
    Replies come in the order of the lines, whichever of them is known first.
    """

    def test_message_behind_a_publish(self) -> None:
        """
        An echo does not overtake an acknowledgement.
        """
        conversation = Conversation(prompt=False)
        conversation.say(b"a\n/pub lobby hi\nb\n", b"c\n")
        self.assertEqual(conversation.sent, b"A\n")
        conversation.perform_next()
        self.assertEqual(conversation.sent, b"A\n/ok pub lobby 1\r\nB\nC\n")
        self.assertEqual(conversation.say(b"d\n"), b"D\n")
        self.assertEqual(conversation.session.echoed, 1)

    def test_publishes_in_a_row_are_one_request(self) -> None:
        """
        Publishes with nothing between them are stored together; an answer between them begins a new request.
        """
        conversation = Conversation(prompt=False)
        conversation.say(b"/pub a 1\n/msg bob 2\n/pub a\n/pub a 3\nx\n/pub a 4\n")
        runs = [[draft.text for draft in each.drafts] for each in conversation.effects if isinstance(each, Publish)]
        self.assertEqual(runs, [["1", "2"], ["3"], ["4"]])

    def test_whoever_asks_waits_for_what_was_said(self) -> None:
        """
        A question about what others see is asked when everything before it is done, and nothing overtakes it.
        """
        conversation = Conversation(prompt=False)
        conversation.say(b"/pub lobby hi\n/history lobby\n/pub lobby again\nx\n")
        self.assertEqual(len(conversation.effects), 1)
        self.assertTrue(conversation.session.holds)
        conversation.say(b"y\n")
        conversation.perform_next()
        self.assertEqual(conversation.sent, b"/ok pub lobby 1\r\n")
        self.assertEqual(len(conversation.effects), 2)
        conversation.perform_next()
        self.assertFalse(conversation.session.holds)
        conversation.perform_next()
        self.assertEqual(conversation.sent, b"/ok pub lobby 1\r\n/ok ReadPast 1\r\n/ok pub lobby 2\r\nX\nY\n")

    def test_what_waits(self) -> None:
        """
        Every command that sees or changes what others do waits until what was said before it is done, and what comes
        behind it waits until it is done itself.
        """
        for line in (
            b"/nick bob\n",
            b"/login root right\n",
            b"/token right\n",
            b"/sub lobby\n",
            b"/unsub lobby\n",
            b"/history lobby\n",
            b"/who lobby\n",
            b"/topics\n",
        ):
            conversation = Conversation(prompt=False)
            conversation.say(b"/pub lobby hi\n" + line + b"/whoami\n/pub lobby hi\n")
            self.assertEqual(len(conversation.effects), 1, line)
            self.assertEqual(conversation.sent, b"")
            conversation.perform_next()
            self.assertEqual(conversation.session.holds, not line.startswith(b"/nick"))
            while conversation.performing:
                conversation.perform_next()
            first, answer, whoami, second = conversation.sent.splitlines()
            self.assertEqual((first, second), (b"/ok pub lobby 1", b"/ok pub lobby 2"))
            self.assertTrue(whoami.startswith(b"/ok whoami "), line)
            self.assertTrue(answer.startswith(b"/ok "), line)

    def test_what_does_not_wait(self) -> None:
        """
        Messages, publishes, and commands that tell of nothing but the server are taken at once.
        """
        conversation = Conversation(prompt=False)
        conversation.say(b"/pub lobby hi\nx\n/ping\n/help ping\n/msg bob hi\n/nosuch\n/whoami\n")
        self.assertFalse(conversation.session.holds)
        self.assertEqual(len(conversation.effects), 2)

    def test_plain_messages_wait_too(self) -> None:
        """
        A chunk of messages behind a question is not answered before it.
        """
        conversation = Conversation(prompt=False)
        conversation.say(b"/who lobby\n", b"x\n", b"y\n")
        self.assertEqual(conversation.sent, b"")
        conversation.perform_next()
        self.assertEqual(conversation.sent, b"/ok ListFollowers 0\r\nX\nY\n")
        self.assertEqual(conversation.say(b"z\n"), b"Z\n")

    def test_many_replies(self) -> None:
        """
        A few short lines can ask for much: no more than a bounded part of it is made before that is sent.
        """
        asked = 500
        expected = Conversation().say(b"/help\n") * asked + b"X\n"
        session = Conversation().session
        effects = session.receive(b"/help\n" * asked + b"x\n")
        sent = longest = 0
        while session.can_go_on:
            self.assertIsNone(session.answer(b"too early\n"))
            part = session.replies.take()
            longest = max(longest, len(part))
            self.assertEqual(part, expected[sent : sent + len(part)])
            sent += len(part)
            effects += session.go_on()
        self.assertEqual(session.replies.take(), expected[sent:])
        self.assertEqual(effects, [])
        self.assertLess(longest, 70_000)
        self.assertGreater(len(expected), 500_000)

    def test_too_fast(self) -> None:
        """
        Whoever publishes more than guests may is told when to try again, and what else they say is answered.
        """
        conversation = Conversation(allowance=Allowance(2, 0.5, 0))
        conversation.say(b"/pub a 1\n/pub a 2\n/pub#x a 3\nhello\n")
        self.assertEqual(
            conversation.sent,
            b"/ok pub a 1\r\n/ok pub a 2\r\n"
            b"/err#x slow-down you publish faster than guests may: try again in 2.0 seconds\r\nHELLO\n",
        )


class SegmentTests(SynchronousTestCase):
    """
    How the bytes were cut on their way makes no difference.
    """

    @reproducible
    @given(segmented(CONVERSATIONS), st.sampled_from(["yes", "echo", "no"]), st.booleans(), st.data())
    def test_any_segments(self, segments: list[bytes], guests: str, polite: bool, data: st.DataObject) -> None:
        """
        Replies, end and count of lines are the same for any segments, and for any delay of what replies wait for:
        whether bytes still come while lines are held (TLS may have some) or not.
        """
        at_once = Conversation(make_commons(guests), max_line=LIMIT, telnet=TelnetFilter())
        if segments:
            at_once.say(b"".join(segments))
        conversation = Conversation(make_commons(guests), max_line=LIMIT, telnet=TelnetFilter(), prompt=False)
        for segment in segments:
            while conversation.performing and (
                (polite and conversation.session.holds) or data.draw(st.booleans(), "perform")
            ):
                conversation.perform_next()
            if conversation.closed is None:
                conversation.say(segment)
        while conversation.performing:
            conversation.perform_next()
        self.assertEqual(conversation.sent, at_once.sent)
        self.assertEqual(conversation.closed, at_once.closed)
        self.assertEqual(conversation.session.lines, at_once.session.lines)
        self.assertFalse(conversation.session.holds)

    @reproducible
    @given(st.lists(STREAMS, max_size=4))
    def test_answer_is_a_short_cut(self, chunks: list[bytes]) -> None:
        """
        What is answered as a whole is answered as it would have been line by line.
        """
        quick, slow = (Conversation(max_line=LIMIT, telnet=TelnetFilter()) for _ in range(2))
        for conversation in (quick, slow):
            conversation.say(b"hello\n")
        for chunk in filter(None, chunks):
            answer = quick.session.answer(chunk)
            if answer is None:
                quick.say(chunk)
            else:
                quick.sent += answer
            slow._perform(slow.session.receive(chunk))
        self.assertEqual(quick.sent, slow.sent)
        self.assertEqual(quick.session.lines, slow.session.lines)

    @reproducible
    @given(st.lists(st.tuples(MESSAGES.map(str.encode), NEGOTIATION), min_size=1))
    def test_telnet(self, lines: list[tuple[bytes, bytes]]) -> None:
        """
        Negotiation between lines, and within them, goes unnoticed.
        """
        plain, typed = Conversation(telnet=TelnetFilter()), Conversation(telnet=TelnetFilter())
        for text, command in lines:
            plain.say(text + b"\r\n")
            typed.say(command + text[: len(text) // 2] + command + text[len(text) // 2 :] + b"\r" + command + b"\n")
        self.assertEqual(typed.sent, plain.sent)

    def test_what_is_a_short_cut(self) -> None:
        """
        Plain messages behind the first line are answered as a whole; nothing is that is not whole or has its reply
        waiting.
        """
        conversation = Conversation(telnet=TelnetFilter(), max_line=16, prompt=False)
        session = conversation.session
        self.assertIsNone(session.answer(b"hello\n"))
        conversation.say(b"hello\n")
        self.assertEqual(session.answer(b"a\nb\r\n"), b"A\nB\r\n")
        for chunk in (b"a\nb", b"/ping\n", b"0123456\n0123456\n\n"):
            self.assertIsNone(session.answer(chunk))
        for beginning, ending in ((b"a", b"\n"), (b"\xff\xfb", b"\x01a\n")):
            conversation.say(beginning)
            self.assertIsNone(session.answer(b"b\n"))
            conversation.say(ending)
            self.assertEqual(session.answer(b"b\n"), b"B\n")
        conversation.say(b"/pub lobby hi\n")
        self.assertIsNone(session.answer(b"b\n"))
        conversation.perform_next()
        self.assertEqual(session.answer(b"b\n"), b"B\n")
        conversation.say(b"CLOSE SOCKET\n")
        self.assertIsNone(session.answer(b"b\n"))


class GuestTests(SynchronousTestCase):
    """
    Where guests may not do everything, they are told to log in, and may do the rest when they have.
    """

    REFUSED = b"/err not-logged-in log in first: /login NAME SECRET, or /token TOKEN\r\n"

    def test_echo_only(self) -> None:
        """
        Guests may have only what harms nobody: echo, names, and what tells of the server.
        """
        conversation = Conversation(make_commons("echo"))
        conversation.say(b"hello\n")
        self.assertEqual(
            conversation.say(b"a\nb\n", b"c\n/nick bob\n/whoami\n"),
            b"A\nB\nC\n/ok nick bob\r\n/ok whoami bob guest\r\n",
        )
        for line in (
            b"/pub a b\n",
            b"/msg a b\n",
            b"/sub a\n",
            b"/unsub a\n",
            b"/history a\n",
            b"/who a\n",
            b"/topics\n",
        ):
            self.assertEqual(conversation.say(line), self.REFUSED)
        self.assertEqual(
            conversation.say(b"/pub#1 a b\n/pub#2 a c\n"),
            b"".join(self.REFUSED.replace(b"/err", b"/err#%d" % n) for n in (1, 2)),
        )

    def test_nothing(self) -> None:
        """
        Guests may have nothing but the way in and out, whichever way their messages arrive.
        """
        conversation = Conversation(make_commons("no"))
        self.assertEqual(conversation.say(b"a\n", b"b\n", b"c\nd\n/nick bob\n"), self.REFUSED * 5)
        self.assertEqual(conversation.say(b"/ping\n/whoami\n/help ping\n").count(b"/ok "), 3)
        conversation.say(b"CLOSE SOCKET\n")
        self.assertEqual(conversation.closed, Close("CLOSE SOCKET"))

    def test_after_login(self) -> None:
        """
        Whoever has logged in may do everything: what was typed behind the login waits for it.
        """
        for guests in ("yes", "echo", "no"):
            conversation = Conversation(make_commons(guests), prompt=False)
            conversation.say(b"/login#x root right\na\n/pub lobby hi\n", b"b\n/whoami\n")
            self.assertEqual(conversation.sent, b"")
            conversation.perform_next()
            conversation.perform_next()
            self.assertEqual(
                conversation.sent,
                b"/ok#x login root\r\nA\n/ok pub lobby 1\r\nB\n/ok whoami root password\r\n",
            )
            self.assertEqual(conversation.session.answer(b"c\n"), b"C\n")

    def test_after_a_failed_login(self) -> None:
        """
        Who could not log in is a guest as before.
        """
        conversation = Conversation(make_commons("no"), prompt=False)
        conversation.say(b"/token wrong\na\n")
        conversation.perform_next()
        self.assertEqual(conversation.sent, b"/err login-failed no\r\n" + self.REFUSED)
        self.assertIsNone(conversation.session.answer(b"c\n"))


class ByeTests(SynchronousTestCase):
    """
    A server that closes on its own account says why.
    """

    def test_codes(self) -> None:
        """
        What the client asked for needs no ``/bye``; HTTP gets one that says not to come back.
        """
        for line, bye in (
            (b"CLOSE SOCKET\n", None),
            (b"/quit\n", None),
            (b"GET / HTTP/1.1\r\n", Bye("protocol", "this port speaks lines, not HTTP")),
        ):
            conversation = Conversation()
            conversation.say(line)
            assert conversation.closed is not None
            self.assertEqual(conversation.closed.bye, bye)
