"""
A run of the checker: a real ``twistd``, real clients, bad weather and a nemesis, all of it decided by one seed.
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.checker.crowd import Crowd
from tests.checker.ledger import Verdict
from tests.checker.weather import Weather
from tests.history.powercut import cut
from tests.ports import free_port
from tests.processes import TWISTD, Server, start_server

POWER_CUT: Final = (sys.executable, "-m", "tests.history.powercut", "twisted.scripts.twistd:run")
CHECKOUT: Final = str(Path(__file__).parents[2])


@dataclass(frozen=True)
class Plan:
    """
    What is done in a run.

    :ivar kills: how often the server is killed with ``kill -9``, and started again.
    :ivar cuts_power: whether what was not synced is lost with each kill.
    :ivar history: of which kind it is.
    :ivar patience: seconds that subscribers have to catch up in the end.
    :ivar pace: seconds between the publishes of one publisher, on average.
    """

    seed: int
    kills: int
    publishers: int = 4
    subscribers: int = 3
    topics: int = 3
    cuts_power: bool = False
    history: str = "sqlite"
    pace: float = 0.004
    patience: float = 120.0


@dataclass
class Faults:
    """
    What was done to the server and its clients.
    """

    kills: int = 0
    stops: int = 0
    drops: int = 0
    half_open: int = 0
    restarts_of_subscribers: int = 0
    publishes_given_up: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in vars(self).items())


class Run:
    """
    One run; :meth:`judge` does it all.

    :param test: ends what is left of it.
    """

    def __init__(self, test: TestCase, reactor: Any, plan: Plan) -> None:
        self._test = test
        self._reactor = reactor
        self._plan = plan
        self._random = Random(plan.seed)
        self._path = os.path.abspath(test.mktemp())
        os.makedirs(self._path)
        self._database = os.path.join(self._path, "log.sqlite3")
        self._server: Server | None = None
        self._port = free_port()
        self._weather: Weather | None = None
        self._crowd: Crowd | None = None
        self.faults = Faults()

    async def judge(self) -> Verdict:
        """
        Run it, and compare.
        """
        await self._start()
        self._weather = Weather(self._reactor, self._port)
        listening = self._reactor.listenTCP(0, self._weather, interface="127.0.0.1")
        self._test.addCleanup(listening.stopListening)
        endpoint = TCP4ClientEndpoint(self._reactor, "127.0.0.1", listening.getHost().port)
        topics = [f"topic-{number}" for number in range(self._plan.topics)]
        self._crowd = crowd = Crowd(self._reactor, self._random, endpoint, topics, self._plan.pace)
        crowd.start(self._plan.publishers, self._plan.subscribers)
        while self.faults.kills < self._plan.kills:
            await self._next_fault()
        verdict = await crowd.finish(self._plan.patience)
        self.faults.publishes_given_up = crowd.given_up
        assert self._server is not None
        await self._server.stop()
        return verdict

    # The server, and what is done to it

    async def _start(self) -> None:
        program = POWER_CUT if self._plan.cuts_power else TWISTD
        self._server = start_server(
            self._test,
            *("--history", f"{self._plan.history}:{self._database}", "--first-line", "0"),
            *("--listen", f"tcp:{self._port}:interface=127.0.0.1"),
            program=program,
            directory=self._path,
            environment={"PYTHONPATH": CHECKOUT},
        )
        await self._server.port()

    async def _kill(self) -> None:
        assert self._server is not None
        self.faults.kills += 1
        await self._server.stop(signal.SIGKILL)
        if self._plan.cuts_power:
            cut(self._database)
        await self._start()

    async def _stop_and_go(self) -> None:
        assert self._server is not None
        self.faults.stops += 1
        self._server.send_signal(signal.SIGSTOP)
        await self._wait(self._random.uniform(0.05, 0.4))
        self._server.send_signal(signal.SIGCONT)

    async def _drop(self) -> None:
        assert self._weather is not None
        self.faults.drops += 1
        self._weather.drop(self._random)

    async def _half_open(self) -> None:
        assert self._weather is not None
        self.faults.half_open += 1
        self._weather.half_open(self._random)

    async def _restart_subscriber(self) -> None:
        assert self._crowd is not None
        self.faults.restarts_of_subscribers += 1
        await self._crowd.restart_subscriber()

    async def _next_fault(self) -> None:
        await self._wait(self._random.uniform(0.02, 0.4))
        # A kill is what the run is measured by; between two of them some of the others happen.
        choices: list[Callable[[], Awaitable[None]]] = [
            self._kill,
            self._kill,
            self._stop_and_go,
            self._drop,
            self._half_open,
            self._restart_subscriber,
        ]
        await self._random.choice(choices)()

    def _wait(self, seconds: float) -> Deferred[None]:
        return deferLater(self._reactor, seconds)
