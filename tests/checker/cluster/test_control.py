"""
Tests for the harness itself: NATS's own clients keep the promise on it, or do not, as the brokers' syncing says. The
other faults of brokers are in ``soak/``.
"""

from pathlib import Path
from random import Random

from twisted.trial.unittest import TestCase

from tests.checker.cluster.brokers import Brokers
from tests.checker.cluster.control import Control
from tests.checker.cluster.nemesis import BrokerFaults, Nemesis, wait
from tests.checker.cluster.network import Network, make_network
from tests.checker.ledger import Verdict


class ControlTests(TestCase):
    """
    Plain clients of NATS, on brokers that are broken.

    :cvar cuts: of the power of all, how many.
    :cvar size: how many brokers lose their power.
    """

    timeout = 300
    cuts = 1
    size = 1

    async def start(self, network: Network, number: int = 3, watched: bool = False) -> None:
        self.random = Random(1)
        self.network = network
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        self.brokers = Brokers(self, folder, watched=watched)
        await self.brokers.start(network, number)
        self.control = Control(self, folder)
        await self.control.start(self.brokers)
        faults = BrokerFaults(self.brokers, network, self.random, [])
        self.nemesis = Nemesis(self.random, [faults], self.control.acknowledged)
        await self.nemesis.recovered("the start")

    async def finish(self, patience: float = 30.0) -> Verdict:
        verdict = await self.control.finish(patience)
        print(f"\n{self.network}: {verdict}; {self.nemesis}", flush=True)
        return verdict

    async def cut_power(self, sync: str) -> None:
        # The stream itself is on the disk before the sync of which we want to know begins.
        await self.brokers.roll(sync=sync)
        for _ in range(self.cuts):
            await self.nemesis.recovered("the start")
            await wait(3.0)
            await self.nemesis.do("cut power", self.brokers.cut_power)

    async def test_power_cut(self) -> None:
        """
        With brokers that sync always, nothing that was acknowledged is lost when the power of all is cut.
        """
        await self.start(make_network(self), self.size, watched=True)
        await self.cut_power("always")
        verdict = await self.finish()
        self.assertTrue(verdict.is_clean, str(verdict))

    async def test_finds_loss(self) -> None:
        """
        The negative control: with brokers that sync as they do by default, it is.
        """
        await self.start(make_network(self), self.size, watched=True)
        await self.cut_power("2m")
        verdict = await self.finish(patience=2.0)
        self.assertGreater(verdict.lost, 50, str(verdict))
