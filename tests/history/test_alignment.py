"""
Tests for :mod:`echochat.history.alignment`.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.history.alignment import already_there, digest
from echochat.history.records import Event
from tests.wire.examples import reproducible

EVENTS = st.lists(st.integers(0, 2**40), unique=True, max_size=20)


def digests(numbers: list[int]) -> bytes:
    """
    What stands for events that have these as their texts.
    """
    return b"".join(digest(Event(1, "lobby", "alice", str(number), 1_000)) for number in numbers)


class AlreadyThereTests(SynchronousTestCase):
    """
    A copy goes on exactly where the one before it stopped.
    """

    @settings(reproducible, max_examples=100)
    @given(EVENTS, EVENTS, EVENTS, st.integers(0, 20), st.integers(0, 20))
    def test_finds_the_end_of_the_copy(
        self, old: list[int], new: list[int], newer: list[int], source_lost: int, target_lost: int
    ) -> None:
        """
        Whatever retention has taken of the beginning of either since, and whatever was published behind.
        """
        everything = list(dict.fromkeys([*old, *new, *newer]))
        copied = everything[: len({*old, *new})]
        source, target = everything[source_lost:], copied[target_lost:]
        overlap = [number for number in source if number in target]
        expected = source.index(target[-1]) + 1 if overlap else 0
        if source and target and not overlap:
            self.assertIsNone(already_there(digests(source), digests(target)))
        else:
            self.assertEqual(already_there(digests(source), digests(target)), expected)

    def test_others_are_noticed(self) -> None:
        """
        A target with events that the source does not have is not a copy of it.
        """
        self.assertIsNone(already_there(digests([1, 2, 3]), digests([1, 2, 9])))
        self.assertIsNone(already_there(digests([1, 2, 3]), digests([9])))
        self.assertIsNone(already_there(digests([1, 2, 3]), digests([1, 3])))

    def test_repetitions(self) -> None:
        """
        Events that are alike are counted.
        """
        self.assertEqual(already_there(digests([1, 1, 1, 1]), digests([1, 1])), 2)

    def test_not_across_events(self) -> None:
        """
        The end of one digest and the beginning of the next stand for nothing.
        """
        source = bytes(range(24))
        self.assertIsNone(already_there(source, source[4:12]))
