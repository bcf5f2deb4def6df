"""
How long a client waits before it tries again.
"""

import random

from twisted.trial.unittest import SynchronousTestCase

from echochat.wire.backoff import Backoff


class BackoffTests(SynchronousTestCase):
    """
    Quick at first, patient later, and never in step with others.
    """

    def test_longest_waits(self) -> None:
        """
        The bound doubles from 100 ms to 20 s, and stays there however many attempts there are.
        """
        backoff = Backoff(lambda least, most: most)
        self.assertEqual(
            [backoff.next_delay() for _ in range(10)], [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20.0, 20.0]
        )
        self.assertEqual({backoff.next_delay() for _ in range(10_000)}, {20.0})

    def test_full_jitter(self) -> None:
        """
        A wait is anything from nothing to the bound.
        """
        delays = []
        for seed in range(500):
            backoff = Backoff(random.Random(seed).uniform)
            for _ in range(5):
                backoff.next_delay()
            delays.append(backoff.next_delay())
        self.assertLess(min(delays), 0.1)
        self.assertGreater(max(delays), 3.1)
        self.assertLessEqual(max(delays), 3.2)

    def test_success(self) -> None:
        """
        After a success the waits are short again.
        """
        backoff = Backoff(lambda least, most: most)
        for _ in range(20):
            backoff.next_delay()
        backoff.reset()
        self.assertEqual(backoff.next_delay(), 0.1)
