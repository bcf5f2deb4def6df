"""
Tests for :mod:`echochat.client.waiters`.
"""

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from echochat.client.waiters import Waiters


class WaitersTests(SynchronousTestCase):
    """
    Each of those who wait is told once, whatever those do who were told before.
    """

    def setUp(self) -> None:
        self.waiters: Waiters[int] = Waiters()

    def test_fired(self) -> None:
        """
        All are told, in the order in which they came; who comes later waits for the next time.
        """
        told: list[str] = []
        for name in "ab":
            self.waiters.add().addCallback(lambda value, name: told.append(f"{name}{value}"), name)
        self.waiters.fire(1)
        self.assertEqual(told, ["a1", "b1"])
        later = self.waiters.add()
        self.assertNoResult(later)
        self.waiters.fire(2)
        self.assertEqual(self.successResultOf(later), 2)

    def test_failed(self) -> None:
        """
        When it will not come each is given an exception of its own.
        """
        both = [self.waiters.add(), self.waiters.add()]
        self.waiters.fail(lambda: ValueError("gone"))
        one, other = (self.failureResultOf(each, ValueError).value for each in both)
        self.assertIsNot(one, other)

    def test_cancelled(self) -> None:
        """
        Who gives up is not told, and not counted.
        """
        one, other = self.waiters.add(), self.waiters.add()
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.assertEqual(len(self.waiters), 1)
        self.waiters.fire(1)
        self.assertEqual(self.successResultOf(other), 1)

    def test_cancelled_by_another(self) -> None:
        """
        Who is told may cancel those who are about to be.
        """
        first, second, third = (self.waiters.add() for _ in range(3))
        first.addCallback(lambda _: second.cancel())
        self.waiters.fire(1)
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.successResultOf(third), 1)

    def test_waits_again(self) -> None:
        """
        Who is told may wait again, without end.
        """
        again: list[Deferred[int]] = []
        self.waiters.add().addCallback(lambda _: again.append(self.waiters.add()))
        self.waiters.fire(1)
        (waiter,) = again
        self.assertNoResult(waiter)
        self.assertEqual(len(self.waiters), 1)
