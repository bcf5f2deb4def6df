"""
A cluster of brokers: real ones, each on a machine of its own.
"""

import json
import signal
import sys
from pathlib import Path
from typing import Any, Final

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest, TestCase
from twisted.web.client import Agent, readBody

from tests.checker.cluster.disk import cut
from tests.checker.cluster.network import Machine, Network
from tests.checker.cluster.records import keep_output
from tests.processes import Program, program_beside, start_program

reactor: Any = _reactor

CHECKOUT: Final = str(Path(__file__).parents[3])
LONGEST_ELECTION: Final = 60.0
_PATIENCE: Final = 1.0
"""
Seconds for an answer of one that may be stopped, or cut off.
"""


class Broker:
    """
    One nats-server, which may be ended in any way and is started again with what it had.

    :param sync: its ``sync_interval``.
    :param watched: whether its power can be cut.
    """

    def __init__(self, test: TestCase, machine: Machine, folder: Path, sync: str, watched: bool) -> None:
        self.machine = machine
        self.name = machine.name
        self.program: Program | None = None
        self.port, self.cluster_port, self.web_port = (machine.port(each) for each in (4222, 6222, 8222))
        self._test = test
        self.sync = sync
        self._watched = watched
        self._folder = folder / machine.name
        self._store, self._kept = self._folder / "store", self._folder / "kept"
        self._store.mkdir(parents=True)
        self._agent = Agent(reactor, connectTimeout=_PATIENCE)

    @property
    def host(self) -> str:
        """
        Where it is.
        """
        return self.machine.addresses["back"]

    def start(self, routes: list[str]) -> None:
        """
        Start it; it need not be ready when this returns.

        :param routes: of all brokers.
        """
        binary = program_beside("nats-server")
        if binary is None:
            raise SkipTest("nats-server is not installed")
        settings: dict[str, Any] = {
            "server_name": self.name,
            "listen": f"{self.host}:{self.port}",
            "http": f"{self.host}:{self.web_port}",
            "jetstream": {"store_dir": str(self._store), "sync_interval": self.sync},
        }
        if len(routes) > 1:
            settings["cluster"] = {
                "name": "checker",
                "listen": f"{self.host}:{self.cluster_port}",
                "routes": routes,
                # A link that was cut is noticed within seconds, and not minutes.
                "ping_interval": "1s",
            }
        (self._folder / "nats.conf").write_text(json.dumps(settings))
        command = [binary, "--config", str(self._folder / "nats.conf")]
        if self._watched:
            watching = (sys.executable, "-m", "tests.checker.cluster.disk", str(self._store), str(self._kept))
            command = [*watching, *command]
        command = [*self.machine.command(*command)]
        self.program = start_program(self._test, *command, environment={"PYTHONPATH": CHECKOUT})
        keep_output(self._test, self._folder / "output", self.program)

    async def end(self, number: int = signal.SIGKILL) -> None:
        """
        End it, and wait for that.
        """
        assert self.program is not None
        await self.program.stop(number)

    def signal(self, number: int) -> None:
        """
        Tell its process something.
        """
        assert self.program is not None
        self.program.send_signal(number)

    def lose_what_was_not_synced(self) -> None:
        """
        Leave its store as after a power cut.
        """
        cut(str(self._store), str(self._kept))

    async def ask(self, page: str) -> dict[str, Any] | None:
        """
        What it says of itself at this page of its monitoring; None for nothing, or that it is not well.
        """
        url = f"http://{self.host}:{self.web_port}/{page}".encode()

        async def talk() -> dict[str, Any] | None:
            response = await self._agent.request(b"GET", url)
            body = await readBody(response)
            return dict(json.loads(body)) if response.code == 200 else None

        try:
            return await Deferred.fromCoroutine(talk()).addTimeout(_PATIENCE, reactor)
        except Exception:
            return None


class Brokers:
    """
    All of them.

    :param sync: their ``sync_interval``.
    :param watched: whether their power can be cut.
    """

    def __init__(self, test: TestCase, folder: Path, sync: str = "always", watched: bool = False) -> None:
        self._test = test
        self._folder = folder
        self._sync = sync
        self._watched = watched
        self.all: list[Broker] = []

    async def start(self, network: Network, number: int = 3) -> None:
        """
        Start them, and wait until they are a cluster.
        """
        for each in range(number):
            machine = await network.machine(f"broker{each}", ["back"])
            self.all.append(Broker(self._test, machine, self._folder, self._sync, self._watched))
        for broker in self.all:
            self.start_one(broker)
        await self.ready()

    def start_one(self, broker: Broker) -> None:
        """
        Start one of them again.
        """
        broker.start([f"nats://{each.host}:{each.cluster_port}" for each in self.all])

    @property
    def addresses(self) -> list[str]:
        """
        Where clients connect.
        """
        return [f"{broker.host}:{broker.port}" for broker in self.all]

    async def ready(self, seconds: float = LONGEST_ELECTION) -> None:
        """
        Wait until each says that it is well, and has caught up.
        """
        deadline = reactor.seconds() + seconds
        while True:
            states = await gatherResults(
                [Deferred.fromCoroutine(broker.ask("healthz")) for broker in self.all], consumeErrors=True
            )
            if all(states):
                return
            if reactor.seconds() > deadline:
                raise AssertionError(f"the brokers are not well {seconds:g} s later:\n{self.stories()}")
            await deferLater(reactor, 0.05)

    async def leader(self) -> Broker | None:
        """
        Who leads the stream's group, as most of them see it; None when there is no stream, or no leader.
        """
        answers = await gatherResults(
            [Deferred.fromCoroutine(broker.ask("jsz?streams=1")) for broker in self.all], consumeErrors=True
        )
        names = [
            stream.get("cluster", {}).get("leader")
            for answer in answers
            for account in (answer or {}).get("account_details", ())
            for stream in account.get("stream_detail", ())
        ]
        votes = {name: names.count(name) for name in names if name}
        chosen = max(votes, key=lambda name: votes[name], default=None)
        return next((broker for broker in self.all if broker.name == chosen), None)

    async def roll(self, order: "list[Broker] | None" = None, sync: str | None = None) -> None:
        """
        End each of them politely and start it again, one at a time.

        :param sync: their ``sync_interval`` from now on.
        """
        for broker in order or self.all:
            broker.sync = sync or broker.sync
            await broker.end(signal.SIGTERM)
            self.start_one(broker)
            await self.ready()

    async def cut_power(self) -> None:
        """
        End them all at once, with what they had not synced, and start them again.
        """
        for broker in self.all:
            broker.signal(signal.SIGKILL)
        for broker in self.all:
            await broker.end()
            broker.lose_what_was_not_synced()
        for broker in self.all:
            self.start_one(broker)

    def stories(self) -> str:
        """
        The end of what each of them wrote.
        """
        return "\n".join(
            f"{broker.name}: {broker.program.output[-3000:].decode(errors='replace')}"
            for broker in self.all
            if broker.program is not None
        )
