"""
The promise over two hundred faults of many servers: see L{tests.checker.cluster}.

``ECHOCHAT_SOAK_FAULTS`` and ``ECHOCHAT_SOAK_SEED`` choose another number, and another run. Two hundred faults
take about a quarter of an hour.
"""

import os

from twisted.trial.unittest import TestCase

from tests.checker.cluster import test_control
from tests.checker.cluster.nemesis import wait
from tests.checker.cluster.network import Loopback, make_network
from tests.checker.cluster.run import ClusterRun, Plan

FAULTS = int(os.environ.get("ECHOCHAT_SOAK_FAULTS", "200"))
SEED = int(os.environ.get("ECHOCHAT_SOAK_SEED", "1"))


class LongClusterTests(TestCase):
    """
    Long runs of the checker.
    """

    timeout = 3 * 3600

    async def test_faults(self) -> None:
        """
        Nothing is lost, doubled, reordered or missing without a word over two hundred faults of all kinds.
        """
        run = ClusterRun(self, make_network(self), Plan(seed=SEED))
        await run.start()
        await run.nemesis.torment(FAULTS)
        verdict = await run.finish()
        self.assertTrue(verdict.is_clean, str(verdict))
        self.assertGreater(verdict.acknowledged, 20 * FAULTS)

    async def test_faults_at_once(self) -> None:
        """
        Nor when brokers, servers, the balancer and clients suffer at the same time.
        """
        run = ClusterRun(self, make_network(self), Plan(seed=SEED))
        await run.start()
        await run.torment_at_once(FAULTS)
        verdict = await run.finish()
        self.assertTrue(verdict.is_clean, str(verdict))
        self.assertGreater(verdict.acknowledged, 5 * FAULTS)

    async def test_power_cuts(self) -> None:
        """
        Nor when all brokers lose their power, again and again.
        """
        run = ClusterRun(self, make_network(self), Plan(seed=SEED, watched=True))
        await run.start()
        for _ in range(max(1, FAULTS // 20)):
            await run.nemesis.torment(2)
            await run.nemesis.do("cut power", run.brokers.cut_power)
        verdict = await run.finish()
        self.assertTrue(verdict.is_clean, str(verdict))

    async def test_finds_loss(self) -> None:
        """
        The negative control: with brokers that sync as they do by default, a power cut of all loses what was
        acknowledged, and the checker finds that.
        """
        run = ClusterRun(self, make_network(self), Plan(seed=SEED, watched=True, patience=5.0))
        await run.start()
        # The stream itself is on the disk before the sync of which we want to know begins.
        await run.brokers.roll(sync="2m")
        await run.nemesis.recovered("the start")
        await wait(3.0)
        await run.nemesis.do("cut power", run.brokers.cut_power)
        verdict = await run.finish()
        self.assertGreater(verdict.lost, 50, str(verdict))


class LongControlTests(test_control.ControlTests):
    """
    NATS's own clients, over more faults of all kinds.

    :cvar faults: how many in a run.
    """

    timeout = 1800
    faults = 28
    cuts = 3
    size = 3

    async def test_faults(self) -> None:
        """
        With brokers that are killed, stopped and cut off, nothing that was acknowledged is lost, doubled or reordered.
        """
        await self.start(make_network(self))
        await self.nemesis.torment(self.faults)
        verdict = await self.finish()
        self.assertTrue(verdict.is_clean, str(verdict))
        self.assertGreater(verdict.acknowledged, 100)

    async def test_another_leader(self) -> None:
        """
        When the leader is killed there is another, also on loopback, where nothing can be cut.
        """
        await self.start(Loopback())
        before = await self.brokers.leader()
        assert before is not None
        await before.end()
        # Until the others miss it, they say what they knew.
        while await self.brokers.leader() in (None, before):
            await wait(0.05)
        await self.nemesis.recovered("the leader's end")
