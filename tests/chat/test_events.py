"""
Tests for :mod:`echochat.chat.events`.
"""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.events import Draft, Event, encode_drafts, encode_events, format_time
from echochat.wire import answers
from tests.wire.examples import reproducible

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029"), max_size=40)


class TimeTests(SynchronousTestCase):
    """
    A subscriber is told in UTC when something was published.
    """

    def test_form(self) -> None:
        """
        RFC 3339, with milliseconds, and ``Z``.
        """
        self.assertEqual(format_time(0), "1970-01-01T00:00:00.000Z")
        self.assertEqual(format_time(1_700_000_000_007), "2023-11-14T22:13:20.007Z")

    @reproducible
    @given(st.lists(st.sampled_from([0, 1, 999, 1_000]) | st.integers(0, 4_102_444_800_000), min_size=1))
    def test_any_time(self, times: list[int]) -> None:
        """
        Every millisecond is told exactly, also right after another one, or the same again.
        """
        for time in times:
            moment = datetime.strptime(format_time(time), "%Y-%m-%dT%H:%M:%S.%f%z")
            since = moment - datetime.fromtimestamp(0, UTC)
            self.assertEqual(since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000, time)


class EncodeTests(SynchronousTestCase):
    """
    What was published is what is delivered.
    """

    def test_lines(self) -> None:
        """
        A line for each event, in their order, whatever its text looks like.
        """
        drafts = [Draft("lobby", "alice", "  {name} %s /bye \\r", None, 5), Draft("@bob", "A.b", "", "x", 1_000)]
        self.assertEqual(
            encode_drafts(drafts, range(7, 9)),
            b"/event lobby 7 1970-01-01T00:00:00.005Z alice   {name} %s /bye \\r\r\n"
            b"/event @bob 8 1970-01-01T00:00:01.000Z A.b \r\n",
        )
        self.assertEqual(encode_drafts([], []), b"")

    def test_as_many_positions(self) -> None:
        """
        A draft without a position is not told of under another one's.
        """
        with self.assertRaises(ValueError):
            encode_drafts([Draft("lobby", "alice", "hi", None, 0)] * 2, [1])

    @reproducible
    @given(st.lists(st.tuples(TEXTS, st.integers(1, 1 << 63), st.integers(0, 4_102_444_800_000))))
    def test_live_and_past_are_the_same(self, events: list[tuple[str, int, int]]) -> None:
        """
        An event looks the same when it is new and when it comes out of the history, and a client reads what was
        published, byte for byte.
        """
        drafts = [Draft("lobby", "alice", text, None, time) for text, _, time in events]
        stored = [Event(position, "lobby", "alice", text, time) for text, position, time in events]
        lines = encode_events(stored)
        self.assertEqual(encode_drafts(drafts, [position for _, position, _ in events]), lines)
        self.assertEqual(
            [answers.parse_answer(line) for line in lines.decode().split("\r\n")[:-1]],
            [answers.Event("lobby", position, format_time(time), "alice", text) for text, position, time in events],
        )
