"""
Tests for L{tests.checker.ledger}: the checker notices every way to break a promise.
"""

from twisted.trial.unittest import SynchronousTestCase

from tests.checker.ledger import Ledger, Verdict


class LedgerTests(SynchronousTestCase):
    """
    The comparison of what was acknowledged with what was seen.
    """

    def setUp(self) -> None:
        self.ledger = Ledger()
        for position, text in enumerate(("a", "b", "c"), 1):
            self.ledger.publishing("t", text)
            self.ledger.stored(text, position)

    def judge(self, *sights: list[tuple[int, str]], gaps: tuple[tuple[int, int], ...] = ()) -> Verdict:
        for number, events in enumerate(sights):
            sight = self.ledger.sight(f"s{number}", "t")
            sight.events.extend(events)
            sight.gaps.extend(gaps)
        return self.ledger.judge()

    def test_clean(self) -> None:
        """
        Everything seen once and in order is a clean verdict.
        """
        verdict = self.judge([(1, "a"), (2, "b"), (3, "c")], [(1, "a"), (2, "b"), (3, "c")])
        self.assertTrue(verdict.is_clean)
        self.assertEqual((verdict.acknowledged, verdict.delivered), (3, 6))

    def test_lost(self) -> None:
        """
        An acknowledged event that one subscriber did not get is lost.
        """
        verdict = self.judge([(1, "a"), (2, "b"), (3, "c")], [(1, "a"), (3, "c")])
        self.assertEqual(verdict.lost, 1)
        self.assertFalse(verdict.is_clean)

    def test_lost_by_all(self) -> None:
        """
        It is lost when nobody got it, too, and when it was the last.
        """
        self.assertEqual(self.judge([(1, "a"), (2, "b")], [(1, "a"), (2, "b")]).lost, 2)

    def test_gap_excuses(self) -> None:
        """
        What a gap covers is not lost; what is outside it is.
        """
        self.assertTrue(self.judge([(3, "c")], gaps=((0, 2),)).is_clean)
        self.assertEqual(self.judge([(3, "c")], gaps=((1, 2),)).lost, 0)

    def test_gap_does_not_excuse_more(self) -> None:
        """
        A gap begins behind its first position.
        """
        self.assertEqual(self.judge([(3, "c")], gaps=((1, 2),)).lost, 1)

    def test_doubled(self) -> None:
        """
        An event that came twice is doubled.
        """
        self.assertEqual(self.judge([(1, "a"), (2, "b"), (2, "b"), (3, "c")]).doubled, 1)

    def test_stored_twice(self) -> None:
        """
        A text at two positions is doubled, though each came once.
        """
        self.assertEqual(self.judge([(1, "a"), (2, "b"), (3, "c"), (4, "c")]).doubled, 1)

    def test_reordered(self) -> None:
        """
        An event behind a later one is reordered.
        """
        self.assertEqual(self.judge([(1, "a"), (3, "c"), (2, "b")]).reordered, 1)

    def test_contradicted(self) -> None:
        """
        Another event than was acknowledged, or than another subscriber saw, at a position is a contradiction.
        """
        self.ledger.publishing("t", "d")
        self.assertEqual(self.judge([(1, "a"), (2, "d"), (3, "c")]).contradicted, 1)

    def test_invented(self) -> None:
        """
        An event that nobody published is invented.
        """
        self.assertEqual(self.judge([(1, "a"), (2, "b"), (3, "c"), (4, "z")]).invented, 1)

    def test_unacknowledged(self) -> None:
        """
        An event that was stored without being acknowledged may be there, for all.
        """
        self.ledger.publishing("t", "d")
        everything = [(1, "a"), (2, "b"), (3, "c"), (4, "d")]
        verdict = self.judge(everything, everything)
        self.assertTrue(verdict.is_clean)
        self.assertEqual(verdict.unacknowledged, 1)

    def test_unstated(self) -> None:
        """
        One that is there for some, and not for others, is an unstated gap.
        """
        self.ledger.publishing("t", "d")
        verdict = self.judge([(1, "a"), (2, "b"), (3, "c"), (4, "d")], [(1, "a"), (2, "b"), (3, "c")])
        self.assertEqual(verdict.unstated, 1)
        self.assertFalse(verdict.is_clean)
