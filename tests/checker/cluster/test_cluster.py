"""
The promise, kept by many servers: every subscriber sees every acknowledged event, in one order, exactly once, or is
told by a gap, while servers, brokers, the balancer and the network are broken.
"""

from twisted.trial.unittest import TestCase

from tests.checker.cluster.network import make_network
from tests.checker.cluster.run import ClusterRun, Plan


class ClusterTests(TestCase):
    """
    A short run; the long ones are in ``soak/``.
    """

    timeout = 240

    async def test_faults(self) -> None:
        """
        Nothing is lost, doubled, reordered or missing without a word over a few faults.
        """
        run = ClusterRun(self, make_network(self), Plan(seed=1))
        await run.start()
        await run.nemesis.torment(6)
        verdict = await run.finish()
        self.assertTrue(verdict.is_clean, str(verdict))
        self.assertGreater(verdict.acknowledged, 500)
