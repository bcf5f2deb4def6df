"""
Tests for :mod:`echochat.balancer.journal`.
"""

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from echochat.balancer.journal import SINGLE, WINDOW, Journal


class JournalTests(SynchronousTestCase):
    """
    Each line is logged once, in order.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.journal = Journal(self.clock)

    def test_few(self) -> None:
        """
        Few are logged as they come, each in an event of its own.
        """
        with capturedLogs() as captured:
            for number in range(3 * SINGLE):
                self.journal.add(f"line {number}")
                self.clock.advance(WINDOW / (SINGLE - 1))
        self.assertEqual([formatEvent(each) for each in captured], [f"line {number}" for number in range(3 * SINGLE)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many(self) -> None:
        """
        Of many the first are, too, and the others follow in one event.
        """
        with capturedLogs() as captured:
            for number in range(1_000):
                self.journal.add(f"line {number}")
            self.assertEqual(len(captured), SINGLE)
            self.clock.advance(WINDOW)
            self.assertEqual(len(captured), SINGLE + 1)
            self.journal.add("line 1000")
        lines = "\n".join(formatEvent(each) for each in captured).split("\n")
        self.assertEqual(lines, [f"line {number}" for number in range(1_001)])

    def test_stopped(self) -> None:
        """
        At the end nothing is left.
        """
        with capturedLogs() as captured:
            for number in range(SINGLE + 2):
                self.journal.add(f"{{line}} {number}")
            self.journal.stop()
            self.journal.stop()
        self.assertEqual(formatEvent(captured[-1]), f"{{line}} {SINGLE}\n{{line}} {SINGLE + 1}")
        self.assertEqual(self.clock.getDelayedCalls(), [])
