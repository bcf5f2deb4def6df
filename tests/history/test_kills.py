"""
The history under ``kill -9``, in a real process.
"""

import os
import random

from twisted.trial.unittest import SynchronousTestCase

from tests.history.ordeal import Ordeal

KILLS = 10
SEED = 4


class KillTests(SynchronousTestCase):
    """
    A process that dies loses nothing that it acknowledged.
    """

    def test_killed_in_mid_append(self) -> None:
        """
        However often it is killed, everything acknowledged is there, once, in order, at the position that was told;
        what was not acknowledged is sent again under its label, and is there once too.
        """
        ordeal = Ordeal(os.path.realpath(self.mktemp()))
        choose = random.Random(SEED)
        for _ in range(KILLS):
            victim = ordeal.start()
            victim.until("acked", choose.randrange(1, 300))
            victim.kill()
        self.assertGreater(len(ordeal.acknowledged), KILLS)
        self.assertEqual(ordeal.verdict(), [])

    def test_the_verdict_finds_loss(self) -> None:
        """
        The test above can fail: a number that was acknowledged and is not there is reported, and so is a wrong
        position.
        """
        ordeal = Ordeal(os.path.realpath(self.mktemp()))
        victim = ordeal.start()
        victim.until("acked", 10)
        self.assertEqual(victim.stop(), 0)
        self.assertEqual(ordeal.verdict(), [])
        last = max(ordeal.acknowledged)
        ordeal.acknowledged[last + 1] = 10_000
        ordeal.acknowledged[1] += 1
        self.assertEqual(len(ordeal.verdict()), 2)
