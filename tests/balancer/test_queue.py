"""
Tests for :mod:`echochat.balancer.queue`.
"""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echochat.balancer.queue import WaitedInVain, WaitingLine


class WaitingLineTests(SynchronousTestCase):
    """
    First come, first served; nobody waits for longer than the time.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.line: WaitingLine[str] = WaitingLine(self.clock, 2, 5)

    def test_serve(self) -> None:
        """
        They stand in the order in which they came, and who is served gets the place.
        """
        first, second = self.line.join("first"), self.line.join("second")
        self.assertEqual((list(self.line), self.line.has_room), (["first", "second"], False))
        self.line.serve("second", 1)
        self.assertEqual(self.successResultOf(second), 1)
        self.assertNoResult(first)
        self.assertEqual((list(self.line), self.line.has_room), (["first"], True))

    def test_go_while_it_is_looked_at(self) -> None:
        """
        Those who wait may come and go while the line is gone through.
        """
        self.line.join("first")
        self.line.join("second")
        for waiting in self.line:
            self.line.serve(waiting, None)
            self.line.join(f"after {waiting}")
        self.assertEqual(list(self.line), ["after first", "after second"])

    def test_too_late(self) -> None:
        """
        Each waits for its own time.
        """
        first = self.line.join("first")
        self.clock.advance(3)
        second = self.line.join("second")
        self.clock.advance(2)
        self.failureResultOf(first, WaitedInVain)
        self.assertNoResult(second)
        self.line.patience = 1
        self.clock.advance(1)
        self.failureResultOf(second, WaitedInVain)
        self.assertEqual((len(self.line), self.line.patience), (0, 1))

    def test_refuse_and_stop(self) -> None:
        """
        Who is refused is told why, and nothing is left behind.
        """
        first, second = self.line.join("first"), self.line.join("second")
        self.line.refuse("first", ValueError("no"))
        self.failureResultOf(first, ValueError)
        self.line.stop(KeyError("never"))
        self.failureResultOf(second, KeyError)
        self.assertEqual((len(self.line), self.clock.getDelayedCalls()), (0, []))
