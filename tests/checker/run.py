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

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from echochat.client.outbox import Unconfirmed
from echochat.client.outcomes import Refused
from echochat.client.reconnecting import Closed, ReconnectingClient
from echochat.client.subscription import Subscription
from echochat.wire.answers import Event, Gap
from tests.checker.ledger import Ledger, Verdict
from tests.checker.weather import Weather
from tests.history.powercut import cut
from tests.processes import TWISTD, Server, start_server

POWER_CUT: Final = (sys.executable, "-m", "tests.history.powercut", "twisted.scripts.twistd:run")
CHECKOUT: Final = str(Path(__file__).parents[2])
LONGEST_WAIT: Final = 0.5


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
        self._topics = [f"topic-{number}" for number in range(plan.topics)]
        self._publishing = True
        self._server: Server | None = None
        self._port = 0
        self._weather: Weather | None = None
        self._clients: list[ReconnectingClient] = []
        self._subscribers: dict[str, ReconnectingClient] = {}
        self._followings: dict[tuple[str, str], Subscription] = {}
        self.ledger = Ledger()
        self.faults = Faults()

    async def judge(self) -> Verdict:
        """
        Run it, and compare.
        """
        await self._start()
        self._weather = Weather(self._reactor, self._port)
        listening = self._reactor.listenTCP(0, self._weather, interface="127.0.0.1")
        self._test.addCleanup(listening.stopListening)
        self._relay = listening.getHost().port
        publishers = [
            Deferred.fromCoroutine(self._publish(f"publisher-{number}")) for number in range(self._plan.publishers)
        ]
        for number in range(self._plan.subscribers):
            self._subscribe(f"subscriber-{number}")
        while self.faults.kills < self._plan.kills:
            await self._next_fault()
        self._publishing = False
        await gatherResults(publishers, consumeErrors=True)
        await self._catch_up()
        for client in [*self._clients, *self._subscribers.values()]:
            await client.close()
        assert self._server is not None
        await self._server.stop()
        return self.ledger.judge()

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
        self._port = await self._server.port()

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
        self.faults.restarts_of_subscribers += 1
        name = self._random.choice([*self._subscribers])
        await self._subscribers.pop(name).close()
        self._subscribe(name)

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

    # The clients

    def _client(self, name: str) -> ReconnectingClient:
        endpoint = TCP4ClientEndpoint(self._reactor, "127.0.0.1", self._relay)
        client = ReconnectingClient(endpoint, self._reactor, name=name, jitter=self._jitter)
        client.start().addErrback(lambda _: None)
        return client

    def _jitter(self, low: float, high: float) -> float:
        # A client that has failed for long waits for up to 20 s. Here the server is killed every other second, and most
        # clients would never come to see it.
        return self._random.uniform(low, min(high, LONGEST_WAIT))

    async def _publish(self, name: str) -> None:
        client = self._client(name)
        self._clients.append(client)
        acknowledged: list[Deferred[None]] = []
        number = 0
        while self._publishing:
            number += 1
            topic, text = self._random.choice(self._topics), f"{name} {number}"
            self.ledger.publishing(topic, text)
            acknowledged.append(client.publish(topic, text).addCallbacks(self._stored, self._given_up, (text,)))
            await client.room(50)
            await self._wait(self._random.expovariate(1 / self._plan.pace))
        await gatherResults(acknowledged, consumeErrors=True)

    def _given_up(self, failure: Failure) -> None:
        # It was repeated for as long as the server remembers labels: it may be stored or not, and is told so.
        failure.trap(Unconfirmed)
        self.faults.publishes_given_up += 1

    def _stored(self, position: int, text: str) -> None:
        self.ledger.stored(text, position)

    def _subscribe(self, name: str) -> None:
        """
        Follow all topics, from where this subscriber was when it was last there.
        """
        self._subscribers[name] = client = self._client(name)
        for topic in self._topics:
            sight = self.ledger.sight(name, topic)
            last = max([sight.events[-1][0] if sight.events else 0, *(upto for _, upto in sight.gaps)])
            before = self._followings.get((name, topic))
            following = client.subscribe(topic, after=last, epoch=before.epoch if before is not None else None)
            self._followings[name, topic] = following
            Deferred.fromCoroutine(self._follow(name, topic, following)).addErrback(
                lambda failure: failure.trap(Closed, CancelledError, Refused)
            )

    async def _follow(self, name: str, topic: str, following: Any) -> None:
        sight = self.ledger.sight(name, topic)
        async for item in following:
            if isinstance(item, Event):
                sight.events.append((item.position, item.text))
            elif isinstance(item, Gap):
                sight.gaps.append((item.after, item.upto))

    async def _catch_up(self) -> None:
        """
        Wait until every subscriber has what was acknowledged last, or for long enough to say that it never will.
        """
        last = dict.fromkeys(self._topics, 0)
        for text, position in self.ledger.acknowledged.items():
            topic = self.ledger.published[text]
            last[topic] = max(last[topic], position)
        deadline = self._reactor.seconds() + self._plan.patience
        while self._reactor.seconds() < deadline and not all(
            self._has(self.ledger.sight(name, topic), last[topic]) for name in self._subscribers for topic in last
        ):
            await self._wait(0.05)

    def _has(self, sight: Any, position: int) -> bool:
        return bool(sight.events and sight.events[-1][0] >= position) or sight.excuses(position) or not position

    def _wait(self, seconds: float) -> Deferred[None]:
        return deferLater(self._reactor, seconds)
