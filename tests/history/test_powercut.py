"""
The history when the machine stops, simulated by :mod:`tests.history.powercut`.
"""

import os
import random

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.history import powercut
from tests.history.ordeal import Ordeal

CUTS = 3
SEED = 5


class PowerCutTests(SynchronousTestCase):
    """
    An acknowledgement means on disk, not in the kernel's memory.
    """

    def setUp(self) -> None:
        try:
            powercut.library()
        except powercut.NotPossible as error:
            raise SkipTest(str(error)) from error

    def cut_repeatedly(self, kind: str) -> Ordeal:
        ordeal = Ordeal(os.path.realpath(self.mktemp()), kind, kept=150)
        choose = random.Random(SEED)
        for _ in range(CUTS):
            victim = ordeal.start_watched()
            self.assertTrue(victim.until("acked", choose.randrange(100, 600)))
            victim.kill()
            powercut.cut(ordeal.path)
        return ordeal

    def test_nothing_acknowledged_is_lost(self) -> None:
        """
        With everything gone that was not synced, what was acknowledged is there, once and in order.
        """
        ordeal = self.cut_repeatedly("sqlite")
        self.assertEqual(ordeal.verdict(), [])
        _, floor = ordeal.stored()
        self.assertGreater(floor, 0)  # retention, which is not synced, was at work as well

    def test_without_syncing_everything_is_lost(self) -> None:
        """
        The negative control: the same, where acknowledging does not wait for the disk, is found out.
        """
        ordeal = self.cut_repeatedly("sqlite-unsafe")
        self.assertGreaterEqual(len(ordeal.verdict()), len(ordeal.acknowledged))
