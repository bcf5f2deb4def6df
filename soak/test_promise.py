"""
The promise over a thousand kills: see L{tests.checker}.

``ECHOCHAT_SOAK_KILLS`` and ``ECHOCHAT_SOAK_SEED`` choose another number, and another run. A thousand kills take about
half an hour.
"""

import os
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.trial.unittest import TestCase

from tests.checker.run import Plan, Run

reactor: Any = _reactor

KILLS = int(os.environ.get("ECHOCHAT_SOAK_KILLS", "1000"))
SEED = int(os.environ.get("ECHOCHAT_SOAK_SEED", "1"))


class LongPromiseTests(TestCase):
    """
    Long runs of the checker.
    """

    timeout = 3 * 3600

    async def check(self, plan: Plan) -> None:
        run = Run(self, reactor, plan)
        verdict = await run.judge()
        print(f"\nseed {plan.seed}: {verdict}; {run.faults}", flush=True)
        self.assertTrue(verdict.is_clean, str(verdict))
        self.assertGreater(verdict.acknowledged, 20 * plan.kills)

    async def test_kills(self) -> None:
        """
        Nothing is lost, doubled, reordered or missing without a word over a thousand kills of the server, and as many
        other faults.
        """
        await self.check(Plan(seed=SEED, kills=KILLS))

    async def test_power_cuts(self) -> None:
        """
        Nor over a hundred power cuts.
        """
        await self.check(Plan(seed=SEED + 1, kills=max(1, KILLS // 10), cuts_power=True))
