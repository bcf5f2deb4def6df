"""
Tests for :mod:`echochat.history.jetstream.recovery`.
"""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echochat.history.jetstream.recovery import LONGEST, Recovery


class RecoveryTests(SynchronousTestCase):
    """
    It goes on until it has succeeded, or is stopped.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.attempts: list[Deferred[None]] = []
        self.failures: list[Failure] = []
        self.recovery = Recovery(self.attempt, self.failures.append, self.clock)

    def attempt(self) -> "Deferred[None]":
        """
        What is tried.
        """
        self.attempts.append(Deferred())
        return self.attempts[-1]

    def test_an_attempt_that_others_cancel(self) -> None:
        """
        An attempt whose question was let go of by somebody else is made again.
        """
        self.recovery.begin()
        self.clock.advance(0)
        self.attempts[0].cancel()
        self.clock.advance(LONGEST)
        self.assertEqual(len(self.attempts), 2)
        self.attempts[1].callback(None)
        self.recovery.begin()
        self.clock.advance(0)
        self.assertEqual(len(self.attempts), 3)

    def test_stopped(self) -> None:
        """
        One that is stopped is not made again, until it is begun.
        """
        self.recovery.begin()
        self.clock.advance(0)
        self.recovery.stop()
        self.clock.advance(LONGEST)
        self.assertEqual(len(self.attempts), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.recovery.begin()
        self.clock.advance(0)
        self.assertEqual(len(self.attempts), 2)
