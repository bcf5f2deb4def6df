"""
A run of the checker on a cluster: three brokers, three servers with their history there, the balancer, and clients that
know only the balancer.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import time
from typing import Any, Final

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.trial.unittest import TestCase

from echochat.client.credentials import Credentials, token
from echochat.identity.keys import create_key, read_signing_key
from echochat.identity.tokens import Token, make_token
from tests.checker.cluster.brokers import Brokers
from tests.checker.cluster.nemesis import BrokerFaults, Fault, Faults, Nemesis
from tests.checker.cluster.network import Bridged, Loopback, Machine
from tests.checker.cluster.servers import DRAIN, BalancerFaults, ServerFaults, Service
from tests.checker.cluster.silences import Silences
from tests.checker.crowd import Crowd
from tests.checker.ledger import Verdict
from tests.checker.weather import Weather
from tests.processes import start_program

reactor: Any = _reactor

ECHOCHAT: Final = (sys.executable, "-c", "from echochat.client.cli import main; main()")
SERVERS: Final = ("a", "b", "c")
_DAY: Final = 86_400.0


@dataclass(frozen=True)
class Plan:
    """
    What is done in a run.

    :ivar watched: whether the brokers' power can be cut.
    :ivar pace: seconds between the publishes of one publisher, on average.
    :ivar patience: seconds that subscribers have to catch up in the end.
    """

    seed: int
    watched: bool = False
    publishers: int = 4
    subscribers: int = 3
    topics: int = 3
    pace: float = 0.02
    patience: float = 120.0


class ClientFaults:
    """
    What can happen to clients and their connections.
    """

    def __init__(self, weather: Weather, crowd: Crowd, random: Random) -> None:
        self._weather = weather
        self._crowd = crowd
        self._random = random

    def kinds(self) -> dict[str, Fault]:
        return {
            "drop connection": self._drop,
            "half-open connection": self._half_open,
            "restart subscriber": self._crowd.restart_subscriber,
        }

    async def _drop(self) -> None:
        self._weather.drop(self._random)

    async def _half_open(self) -> None:
        self._weather.half_open(self._random)


class ClusterRun:
    """
    One run. :meth:`start` it, torment it with :attr:`nemesis`, and :meth:`finish` it.

    :param test: ends what is left of it.
    """

    brokers: Brokers
    nemesis: Nemesis
    crowd: Crowd
    _parts: list[Faults]

    def __init__(self, test: TestCase, network: Bridged | Loopback, plan: Plan) -> None:
        self._test = test
        self._network = network
        self._plan = plan
        self._random = Random(plan.seed)
        self._folder = Path(test.mktemp()).resolve()
        self._folder.mkdir(parents=True)
        self._key = os.fspath(self._folder / "tokens.key")
        self.servers: list[Service] = []

    async def start(self) -> None:
        """
        Start everything, and wait until something is acknowledged.
        """
        create_key(self._key)
        self.brokers = Brokers(self._test, self._folder, watched=self._plan.watched)
        await self.brokers.start(self._network)
        machines = [await self._network.machine(f"server-{name}", ["front", "back"]) for name in SERVERS]
        await self._make_certificates([machine.addresses["front"] for machine in machines])
        for machine in machines:
            await self._start_server(machine)
        balancer = await self._start_balancer()
        weather = Weather(reactor, balancer.port, balancer.host)
        listening = reactor.listenTCP(0, weather, interface="127.0.0.1")
        self._test.addCleanup(listening.stopListening)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", listening.getHost().port)
        topics = [f"topic-{number}" for number in range(self._plan.topics)]
        self.crowd = Crowd(reactor, self._random, endpoint, topics, self._plan.pace, self._show)
        random = Random(self._plan.seed)
        self._parts = [
            BrokerFaults(self.brokers, self._network, random, machines),
            ServerFaults(self.servers, random),
            BalancerFaults(balancer, random),
            ClientFaults(weather, self.crowd, random),
        ]
        self.nemesis = Nemesis(random, self._parts, self.crowd.acknowledged)
        self.crowd.start(self._plan.publishers, self._plan.subscribers)
        await self.nemesis.recovered("the start")

    async def torment_at_once(self, number: int) -> None:
        """
        Do so many faults, to brokers, servers, the balancer and clients at the same time.

        :raises AssertionError: nothing was acknowledged for long after one.
        """
        each = number // len(self._parts)
        nemeses = [
            Nemesis(Random(self._plan.seed + place), [part], self.crowd.acknowledged)
            for place, part in enumerate(self._parts)
        ]
        await gatherResults([Deferred.fromCoroutine(nemesis.torment(each)) for nemesis in nemeses], consumeErrors=True)
        for nemesis in nemeses:
            self.nemesis.join(nemesis)

    async def finish(self) -> Verdict:
        """
        Publish no more, let the subscribers catch up, and compare; print what came of it.
        """
        ended = reactor.seconds()
        verdict = await self.crowd.finish(self._plan.patience)
        silences = Silences(self.crowd.arrivals, self.nemesis.began, ended)
        print(
            f"\nseed {self._plan.seed}, {self._network}: {verdict}; publishes given up {self.crowd.given_up}\n"
            f"  {self.nemesis}\n  seconds without an event, of each subscriber around each fault: {silences}",
            flush=True,
        )
        return verdict

    def _show(self, name: str) -> Credentials:
        # A guest from elsewhere may not publish as fast as this. Who shows a token needs TLS, at least to the server.
        now = time()
        return token(make_token(read_signing_key(self._key), Token(name, now + _DAY), now))

    async def _make_certificates(self, addresses: list[str]) -> None:
        names = [part for address in addresses for part in ("--name", address)]
        making = start_program(self._test, *ECHOCHAT, "certs", "--directory", os.fspath(self._folder), *names)
        if await making.end() != 0:
            raise AssertionError(making.output.decode(errors="replace"))

    async def _start_server(self, machine: Machine) -> None:
        history = f"nats://{','.join(self.brokers.addresses)}?sync=always"
        options = (
            *("--history", history, "--history-replicas", str(len(self.brokers.all))),
            *("--tokens", self._key, "--per-address", "0", "--first-line", "0", "--drain", f"{DRAIN}"),
        )
        server = Service(self._test, machine, self._folder, "echochat", options, 7007)
        server.listen = f"tls:{{port}}:interface={{host}}:cert={self._folder}/server.pem:key={self._folder}/server.key"
        self.servers.append(server)
        await server.start()

    async def _start_balancer(self) -> Service:
        machine = await self._network.machine("balancer", ["front"])
        backends = [
            f"--backend={name}=tls:{server.host}:{server.port}:ca={self._folder}/ca.pem"
            for name, server in zip(SERVERS, self.servers, strict=True)
        ]
        options = (*backends, "--check", "ping", "--interval", "0.5", "--timeout", "1", "--slow-start", "0")
        balancer = Service(self._test, machine, self._folder, "echochat-lb", options, 7000)
        await balancer.start()
        return balancer
