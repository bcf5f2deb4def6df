"""
Tests for L{tests.checker.cluster.silences}: which time without events belongs to which fault.
"""

from twisted.trial.unittest import SynchronousTestCase

from tests.checker.cluster.silences import Silences


class SilencesTests(SynchronousTestCase):
    """
    Subscribers that get something at certain times, and faults at others.
    """

    def test_longest(self) -> None:
        """
        For each subscriber the longest counts, and of both the median, the 99th percentile and the longest are told.
        """
        silences = Silences({"a": [0, 1, 2, 5, 6], "b": [0, 1, 2, 3, 6]}, [("kill", 0.5)], 6)
        self.assertEqual(str(silences), "all p50 3.00, p99 3.00, max 3.00; kill p50 3.00, p99 3.00, max 3.00")

    def test_belongs_to_the_fault(self) -> None:
        """
        It belongs to the fault after which it began, by kind.
        """
        silences = Silences({"a": [0, 2, 2.5, 3, 7, 8]}, [("kill", 1), ("stop", 3)], 8)
        self.assertIn("kill p50 1.00, p99 1.00, max 1.00; stop p50 4.00", str(silences))

    def test_over_two_faults(self) -> None:
        """
        One that lasts longer than until the next fault belongs to both, to the second as far as it came after that.
        """
        silences = Silences({"a": [0, 10]}, [("kill", 1), ("stop", 4)], 10)
        self.assertIn("kill p50 9.00, p99 9.00, max 9.00; stop p50 6.00", str(silences))

    def test_until_the_end(self) -> None:
        """
        Who gets nothing any more has been without events until the end; what comes when publishing has ended, and who
        comes then, does not count.
        """
        silences = Silences({"a": [0, 1, 9], "auditor": [9]}, [("kill", 1)], 8)
        self.assertEqual(str(silences), "all p50 7.00, p99 7.00, max 7.00; kill p50 7.00, p99 7.00, max 7.00")

    def test_never(self) -> None:
        """
        Who never got anything has been without events from the first fault to the end.
        """
        silences = Silences({"a": [], "b": [0, 1, 2, 3]}, [("kill", 1)], 3)
        self.assertEqual(silences.longest, 2)

    def test_none(self) -> None:
        """
        Without faults there is nothing to tell.
        """
        self.assertEqual(str(Silences({"a": [0, 1]}, [], 1)), "all none")
