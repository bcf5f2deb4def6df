"""
Tests for :mod:`echochat.identity.hashing`.
"""

import os
import sys
import threading

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, gatherResults
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.identity.hashing import THREADS, WAITING, HashingBusy, HashingPool
from tests.identity.doubles import ThreadsByHand, cheap_hash


class HashingPoolTests(SynchronousTestCase):
    """
    However many log in at once, the work that waits is bounded.
    """

    def setUp(self) -> None:
        self.threads = ThreadsByHand()
        self.hashing = self.threads.hashing
        self.phc = cheap_hash(b"secret")

    def test_answers(self) -> None:
        """
        The right password is right, any other is wrong.
        """
        right = self.hashing.verify(self.phc, b"secret")
        wrong = self.hashing.verify(self.phc, b"Secret")
        self.assertNoResult(right)
        self.threads.run()
        self.assertTrue(self.successResultOf(right))
        self.assertFalse(self.successResultOf(wrong))

    def test_nothing_is_started_until_it_is_needed(self) -> None:
        """
        A checker that is never asked has no threads and asks for no reactor; they are started once.
        """
        self.assertFalse(self.threads.running)
        self.hashing.verify(self.phc, b"")
        self.hashing.verify(self.phc, b"")
        self.assertTrue(self.threads.running)
        self.assertEqual(len(self.threads.triggers), 1)

    def test_full_queue(self) -> None:
        """
        What does not fit is refused at once, with an error of its own; when there is room again, it is taken again.
        """
        checks = [self.hashing.verify(self.phc, b"secret") for _ in range(THREADS + WAITING)]
        self.failureResultOf(self.hashing.verify(self.phc, b"secret"), HashingBusy)
        self.threads.run()
        self.assertEqual([self.successResultOf(check) for check in checks], [True] * len(checks))
        self.assertEqual(self.hashing.active, 0)
        again = self.hashing.verify(self.phc, b"secret")
        self.threads.run()
        self.assertTrue(self.successResultOf(again))

    def test_who_has_gone_costs_nothing(self) -> None:
        """
        A check that was cancelled before its turn is not done, and gives its place back.
        """
        check = self.hashing.verify(self.phc, b"secret")
        check.cancel()
        self.failureResultOf(check, CancelledError)
        self.threads.run()
        self.assertEqual((self.threads.checked, self.hashing.active), ([], 0))

    def test_stops_with_the_reactor(self) -> None:
        """
        At the end what waits is not checked any more, and nothing new is begun.
        """
        waiting = self.hashing.verify(self.phc, b"secret")
        for trigger in self.threads.triggers:
            trigger()
        self.threads.run()
        self.assertEqual(self.threads.checked, [])
        self.failureResultOf(waiting, HashingBusy)
        self.failureResultOf(self.hashing.verify(self.phc, b"secret"), HashingBusy)

    def test_broken_check(self) -> None:
        """
        An error of ours in a check reaches whoever waits for it, and its place is free again.
        """

        def check(phc: str, password: bytes) -> bool:
            raise ZeroDivisionError

        hashing = HashingPool(lambda: self.threads, check, self.threads)  # type: ignore[arg-type]  # a double
        broken = hashing.verify(self.phc, b"secret")
        self.threads.run()
        self.failureResultOf(broken, ZeroDivisionError)
        self.assertEqual(hashing.active, 0)


class RealThreadsTests(TestCase):
    """
    On real threads.
    """

    async def test_beside_the_reactor(self) -> None:
        """
        Checks are done on a thread or two of lower priority than the reactor's, and their results come on the
        reactor's.
        """
        seen: set[tuple[int, int]] = set()

        def check(phc: str, password: bytes) -> bool:
            seen.add((threading.get_ident(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
            return True

        hashing = HashingPool(lambda: reactor, check)
        self.addCleanup(hashing.stop)
        before = os.getpriority(os.PRIO_PROCESS, 0)
        results: list[int] = []
        checks = [hashing.verify("", b"") for _ in range(THREADS + WAITING)]
        await gatherResults([check.addCallback(lambda ok: results.append(threading.get_ident())) for check in checks])
        self.assertEqual(set(results), {threading.get_ident()})
        self.assertLessEqual(len({thread for thread, _ in seen}), THREADS)
        self.assertNotIn(threading.get_ident(), {thread for thread, _ in seen})
        if sys.platform == "linux":
            self.assertEqual({priority for _, priority in seen}, {10})
        self.assertEqual(os.getpriority(os.PRIO_PROCESS, 0), before)
