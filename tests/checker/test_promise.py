"""
The promise: every subscriber sees every acknowledged event, in one order, exactly once, or is told by a gap; across
kill -9 of the server, stops, dropped and half-open connections, and subscribers that are started again.
"""

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.trial.unittest import TestCase

from tests.checker.ledger import Verdict
from tests.checker.run import Plan, Run

reactor: Any = _reactor


class PromiseTests(TestCase):
    """
    Short runs of the checker; the long ones are in ``soak/``.
    """

    timeout = 240

    async def judge(self, plan: Plan) -> Verdict:
        run = Run(self, reactor, plan)
        verdict = await run.judge()
        print(f"\nseed {plan.seed}: {verdict}; {run.faults}")
        return verdict

    async def test_kills(self) -> None:
        """
        Nothing is lost, doubled, reordered or missing without a word over a few kills.
        """
        verdict = await self.judge(Plan(seed=1, kills=6))
        self.assertTrue(verdict.is_clean, str(verdict))
        self.assertGreater(verdict.acknowledged, 500)

    async def test_power_cuts(self) -> None:
        """
        Neither is it when the machine goes down, and what was not synced with it.
        """
        verdict = await self.judge(Plan(seed=2, kills=4, cuts_power=True))
        self.assertTrue(verdict.is_clean, str(verdict))
        self.assertGreater(verdict.acknowledged, 300)

    async def test_finds_loss(self) -> None:
        """
        The negative control: with a history that does not sync, and power cuts, the checker finds the loss.
        """
        verdict = await self.judge(Plan(seed=3, kills=3, cuts_power=True, history="sqlite-unsafe", patience=2))
        self.assertGreater(verdict.lost, 0, str(verdict))
