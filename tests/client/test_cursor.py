"""
Where a subscription continues.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.client.cursor import Cursor, Replaced
from echochat.wire.answers import Event, Gap, Joined
from tests.wire.examples import reproducible


def event(position: int) -> Event:
    return Event("t", position, "2026-01-02T03:04:05.678Z", "alice", "x")


class CursorTests(SynchronousTestCase):
    """
    Nothing is asked for twice, nothing is left out.
    """

    def test_from_now_on(self) -> None:
        """
        A new subscription asks for nothing old; once confirmed, it continues from there, also if nothing came yet.
        """
        cursor = Cursor()
        self.assertEqual(cursor.options(), [])
        cursor.began(17, "e1")
        self.assertEqual(cursor.options(), ["after=17", "epoch=e1"])

    def test_after_each_event(self) -> None:
        """
        It continues behind the last event.
        """
        cursor = Cursor()
        cursor.began(17, "e1")
        self.assertTrue(cursor.takes(event(20)))
        self.assertEqual(cursor.options(), ["after=20", "epoch=e1"])

    def test_given_position(self) -> None:
        """
        A caller's own position is used, and trusted where the caller knows no log; the topic's head changes nothing.
        """
        cursor = Cursor(5)
        self.assertEqual(cursor.options(), ["after=5"])
        cursor.began(17, "e1")
        self.assertEqual(cursor.options(), ["after=5", "epoch=e1"])
        self.assertEqual(Cursor(5, "e0").options(), ["after=5", "epoch=e0"])

    def test_gap(self) -> None:
        """
        Behind a gap it continues behind the gap.
        """
        cursor = Cursor(5, "e1")
        cursor.began(17, "e1")
        self.assertTrue(cursor.takes(Gap("t", 5, 9)))
        self.assertEqual(cursor.options(), ["after=9", "epoch=e1"])
        self.assertTrue(cursor.takes(event(10)))

    def test_another_log(self) -> None:
        """
        In another log everything is new, positions that the old one had too; the gap that tells of it moves nothing.
        """
        cursor = Cursor(50, "e1")
        cursor.began(9, "e2")
        self.assertEqual(cursor.takes(Gap("t", 50, 9)), Replaced("t", 50, 9))
        self.assertEqual(cursor.options(), ["after=0", "epoch=e2"])
        self.assertTrue(cursor.takes(event(3)))
        self.assertEqual(cursor.options(), ["after=3", "epoch=e2"])
        self.assertEqual(cursor.takes(Gap("t", 3, 8)), Gap("t", 3, 8))
        self.assertEqual(cursor.options(), ["after=8", "epoch=e2"])

    def test_beginning_with_nothing(self) -> None:
        """
        What was removed before one began is not told as lost; what is lost later is.
        """
        cursor = Cursor()
        cursor.start(None)
        self.assertEqual(cursor.options(), ["after=0"])
        cursor.began(9, "e1")
        self.assertFalse(cursor.takes(Gap("t", 0, 9)))
        self.assertEqual((cursor.position, cursor.repeated), (9, 0))
        self.assertTrue(cursor.takes(event(10)))
        self.assertTrue(cursor.takes(Gap("t", 10, 12)))
        cursor.start(None)
        self.assertTrue(cursor.takes(event(3)))
        self.assertTrue(cursor.takes(Gap("t", 3, 4)))
        cursor.start(5)
        self.assertTrue(cursor.takes(Gap("t", 5, 7)))

    def test_repeated(self) -> None:
        """
        What had been seen is dropped, and counted.
        """
        cursor = Cursor(5, "e1")
        cursor.began(9, "e1")
        self.assertEqual(
            [cursor.takes(event(position)) for position in (5, 6, 6, 4, 7)], [None, event(6), None, None, event(7)]
        )
        self.assertEqual((cursor.position, cursor.repeated), (7, 3))

    def test_presence(self) -> None:
        """
        Who comes and goes has no position.
        """
        cursor = Cursor(5, "e1")
        self.assertTrue(cursor.takes(Joined("t", "bob")))
        self.assertEqual(cursor.position, 5)

    @settings(reproducible, max_examples=100)
    @given(st.lists(st.integers(1, 100), unique=True).map(sorted), st.lists(st.integers(0, 100)).map(sorted))
    def test_any_interruptions(self, log: list[int], drops: list[int]) -> None:
        """
        Wherever connections end, the consumer sees the whole log once, in order.
        """
        cursor = Cursor(0, "e1")
        seen: list[int] = []
        for last_sent in [*drops, 100]:
            cursor.began(log[-1] if log else 0, "e1")
            asked = int(cursor.options()[0].removeprefix("after="))
            for position in log:
                if asked < position <= last_sent and cursor.takes(event(position)):
                    seen.append(position)
        self.assertEqual(seen, log)
        self.assertEqual(cursor.repeated, 0)
