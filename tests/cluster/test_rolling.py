"""
Clients of a cluster while its workers are replaced, and while they are killed.
"""

import os
import signal
import tomllib
from random import Random
from typing import ClassVar

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from echochat.client.protocol import connect
from tests.checker.cluster.silences import Silences
from tests.cluster.running import Cluster, reactor
from tests.cluster.travellers import LOOK, Beat, Travellers
from tests.processes import start_server


class TravellingTests(TestCase):
    """
    Whatever becomes of the workers, their clients come back by themselves, and miss nothing.
    """

    timeout = 180
    seed: ClassVar[int] = 6
    workers: ClassVar[int] = 2
    crowd: ClassVar[int] = 20
    rooms: ClassVar[int] = 2
    pace: ClassVar[float] = 0.5
    beat: ClassVar[float] = 0.02
    drain: ClassVar[float] = 2.0
    calm: ClassVar[float] = 1.0
    patience: ClassVar[float] = 60.0
    longest: ClassVar[float] = 10.0
    faults: ClassVar[tuple[str, ...]] = ("roll", "kill")

    async def test_nothing_is_lost(self) -> None:
        """
        Through a roll of all workers and a worker that is killed with -9 no client gives up; what was acknowledged is
        delivered to everybody, once and in order; and how long each was without events is printed.
        """
        self.random = Random(self.seed)
        self.cluster = Cluster(self, workers=self.workers, drain=self.drain)
        await self.cluster.start()
        self.travellers = Travellers(reactor, self.random, self.cluster.port, self.crowd, self.rooms, self.pace)
        self.addCleanup(self.travellers.leave)
        await self.travellers.come()
        beat = await self.start_beat()
        await self.travellers.greet()
        happens = {"calm": self.rest, "roll": self.roll, "kill": self.kill, "kill both": self.kill_both}
        began: list[tuple[str, float]] = []
        for fault in ("calm", *self.faults):
            began.append((fault, reactor.seconds()))
            await happens[fault]()
            await self.travellers.greet()
            await self.rest()
        ended = reactor.seconds()
        await beat.stop()
        verdict = await self.travellers.finish(self.patience)
        silences = Silences({each.name: each.beats for each in self.travellers.all}, began, ended)
        connections = sum(each.connections for each in self.travellers.all)
        print(
            f"\nseed {self.seed}, {self.workers} workers, {self.crowd} clients, {', '.join(self.faults)}: {verdict}; "
            f"connections {connections}\n  seconds without an event, of each client: {silences}",
            flush=True,
        )
        self.assertEqual(self.travellers.failures, [])
        self.assertTrue(verdict.is_clean, str(verdict))
        self.assertEqual(verdict.gaps, 0)
        self.assertGreaterEqual(verdict.acknowledged, len(began) * self.crowd)
        # Each roll moves everybody.
        self.assertGreaterEqual(connections, self.crowd * (1 + self.faults.count("roll")))
        self.assertLess(silences.longest, self.longest)

    async def start_beat(self) -> Beat:
        """
        A publisher at a server that shares the log and is none of the cluster's: nothing happens to it.
        """
        with (self.cluster.folder / "run" / "w1.toml").open("rb") as file:
            history = tomllib.load(file)["history"]
        server = start_server(self, "--history", history, "--first-line", "0")
        client = await connect(TCP4ClientEndpoint(reactor, "127.0.0.1", await server.port()), reactor)
        self.addCleanup(client.close)
        return Beat(client, self.travellers.ledger, self.beat)

    async def rest(self) -> None:
        """
        Do nothing.
        """
        await deferLater(reactor, self.calm)

    async def roll(self) -> None:
        """
        Replace all workers.
        """
        done = b"rolled: %d of %d workers replaced" % (self.workers, self.workers)
        before = self.cluster.server.output.count(done)
        await self.cluster.tell("/roll")
        await self.cluster.server.until(done, before + 1, self.workers * (self.drain + 30))

    async def kill(self) -> None:
        """
        ``kill -9`` of a worker, until it is back.
        """
        _, processes = await self.cluster.status()
        # One that was killed before has come back, and may have nobody.
        busy = sorted(name for name, each in processes.items() if name.startswith("w") and each["connections"])
        name = self.random.choice(busy)
        pid = processes[name]["pid"]
        os.kill(pid, signal.SIGKILL)
        await self.until_back(name, pid)

    async def kill_both(self) -> None:
        """
        ``kill -9`` of the balancer, and of a worker before it is back: its clients find nobody to connect to.
        """
        pid = await self.cluster.pid("balancer")
        os.kill(pid, signal.SIGKILL)
        await self.kill()
        await self.until_back("balancer", pid)

    async def until_back(self, name: str, pid: int) -> None:
        """
        Wait until a process is up that is not this one.
        """
        deadline = reactor.seconds() + self.patience
        while True:
            _, processes = await self.cluster.status()
            if processes[name]["state"] == "up" and processes[name]["pid"] != pid:
                return
            self.assertLess(reactor.seconds(), deadline, f"{name}: {processes[name]}")
            await deferLater(reactor, LOOK)
