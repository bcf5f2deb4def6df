"""
Tests for :mod:`echochat.net.handoff.census`.
"""

from unittest import TestCase

from echochat.net.handoff.census import Census


class CensusTests(TestCase):
    """
    The sum over all workers is told when it changes, and only then.
    """

    def test_told_when_it_changes(self) -> None:
        """
        ... whichever worker's count it is that does, or is gone with it.
        """
        told: list[int] = []
        census = Census(told.append)
        census.count(b"a", 0)
        census.gone(b"b")
        self.assertEqual(told, [])
        census.count(b"a", 3)
        census.count(b"b", 2)
        census.count(b"b", 2)
        self.assertEqual(told, [3, 5])
        census.only([b"a", b"c"])
        census.only([b"a"])
        census.gone(b"a")
        self.assertEqual(told, [3, 5, 3, 0])
