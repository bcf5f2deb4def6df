"""
Tests for :mod:`echochat.wire.answers`.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.wire.answers import (
    Answer,
    Bye,
    Drain,
    Echo,
    Err,
    Event,
    Gap,
    Here,
    Info,
    Joined,
    Ok,
    Parted,
    Past,
    TopicLine,
    UnreadableAnswer,
    parse_answer,
)
from tests.wire.examples import WORDS, reproducible

_LABELS = st.none() | st.text("azAZ09._-", min_size=1, max_size=64)
_NAMES = st.text("azAZ09", min_size=1, max_size=8)
_TOPICS = _NAMES | _NAMES.map("@{}".format)
_NUMBERS = st.integers(0, 1 << 63)
_TEXTS = WORDS | WORDS.map(" {} ".format)
_TIMES = st.just("2026-01-31T23:59:59.999Z")

ANSWERS: st.SearchStrategy[Answer] = st.one_of(
    st.builds(Echo, _TEXTS | WORDS.map("/{}".format)),
    st.builds(Ok, _NAMES, _TEXTS, _LABELS),
    st.builds(Err, _NAMES, _TEXTS, _LABELS),
    st.builds(Info, _TEXTS, _LABELS),
    st.builds(Event, _TOPICS, _NUMBERS, _TIMES, _NAMES, _TEXTS),
    st.builds(Past, _TOPICS, _NUMBERS, _TIMES, _NAMES, _TEXTS, _LABELS),
    st.builds(Gap, _TOPICS, _NUMBERS, _NUMBERS),
    st.builds(Joined, _TOPICS, _NAMES),
    st.builds(Parted, _TOPICS, _NAMES),
    st.builds(Here, _TOPICS, _NAMES, _LABELS),
    st.builds(TopicLine, _TOPICS, _NUMBERS, _NUMBERS, _LABELS),
    st.builds(Drain, _NUMBERS),
    st.builds(Bye, _NAMES, _TEXTS),
)


class AnswersTests(SynchronousTestCase):
    """
    A client understands what a server of this version says.
    """

    def test_as_in_the_protocol(self) -> None:
        """
        Each answer is the line that the protocol's page shows.
        """
        time = "2026-01-31T23:59:59.999Z"
        for answer, line in (
            (Echo("HELLO"), "HELLO"),
            (Echo(""), ""),
            (Echo("/ETC"), "//ETC"),
            (Ok("help"), "/ok help"),
            (Ok("whoami", "bob guest", "x.1"), "/ok#x.1 whoami bob guest"),
            (Err("bad-name", "choose another"), "/err bad-name choose another"),
            (Err("bad-name", "choose another", "x"), "/err#x bad-name choose another"),
            (Info("/ping  is it there?", "x"), "/info#x /ping  is it there?"),
            (Event("lobby", 7, time, "bob", " a  b "), f"/event lobby 7 {time} bob  a  b "),
            (Past("lobby", 7, time, "bob", "", "x"), f"/past#x lobby 7 {time} bob "),
            (Gap("lobby", 3, 7), "/gap lobby 3 7"),
            (Joined("lobby", "bob"), "/join lobby bob"),
            (Parted("lobby", "bob"), "/part lobby bob"),
            (Here("@bob", "bob", "x"), "/here#x @bob bob"),
            (TopicLine("lobby", 0, 2), "/topic lobby 0 2"),
            (Drain(5), "/drain 5"),
            (Bye("idle", "no line came"), "/bye idle no line came"),
        ):
            self.assertEqual(answer.encode(), f"{line}\r\n".encode())
            self.assertEqual(parse_answer(line), answer)

    @reproducible
    @given(ANSWERS)
    def test_read_as_written(self, answer: Answer) -> None:
        """
        What the server writes is one line, and is read as what it was.
        """
        line = answer.encode().decode()
        self.assertEqual(line.count("\n"), 1)
        self.assertEqual(parse_answer(line.removesuffix("\r\n")), answer)

    @reproducible
    @given(WORDS | WORDS.map("/{}".format))
    def test_an_echo_is_never_control(self, text: str) -> None:
        """
        No text can forge a control line: an echo never has a single leading ``/``.
        """
        line = Echo(text).encode().decode()
        self.assertFalse(line.startswith("/") and not line.startswith("//"))

    def test_unreadable(self) -> None:
        """
        A control line that this version does not have, or with a part missing or malformed, is told as such.
        """
        for line in (
            "/",
            "/nosuch",
            "/OK ping",
            "/ok",
            "/ok ",
            "/ok  ping",
            "/err",
            "/bye",
            "/ok# ping",
            "/ok#ä ping",
            "/ok#a#b ping",
            "/ok\tping",
            "/event",
            "/event lobby",
            "/event lobby 7 2026-01-31T23:59:59.999Z bob",
            "/event lobby x 2026-01-31T23:59:59.999Z bob text",
            "/event lobby -7 2026-01-31T23:59:59.999Z bob text",
            "/past lobby 1_0 2026-01-31T23:59:59.999Z bob text",
            "/past lobby ٧ 2026-01-31T23:59:59.999Z bob text",
            "/gap lobby 3",
            "/gap lobby 3 7 9",
            "/gap lobby +3 7",
            "/join lobby",
            "/join lobby bob alice",
            "/part",
            "/here lobby",
            "/topic lobby 0",
            "/topic lobby 0 x",
            "/drain",
            "/drain soon",
            "/drain  5",
        ):
            error = self.assertRaises(UnreadableAnswer, parse_answer, line)
            self.assertEqual(error.args, (line,))

    @reproducible
    @given(
        st.builds(
            "/{}{}{}".format,
            st.sampled_from(["ok", "err", "event", "past", "gap", "join", "here", "topic", "drain", "bye"]),
            st.sampled_from(["", " ", "#x ", "#"]),
            st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(" 0123456789")),
        )
    )
    def test_any_line(self, line: str) -> None:
        """
        Whatever a server sends is an answer or is unreadable; nothing else is raised.
        """
        try:
            answer = parse_answer(line)
        except UnreadableAnswer:
            return
        self.assertIsInstance(answer, Answer)
