"""
Real echochat servers behind a balancer, each with a history of its own, and a crowd of real clients.
"""

import signal
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from echochat.client.keeper import Connected, Status
from echochat.client.outbox import Unconfirmed
from echochat.client.reconnecting import ReconnectingClient
from echochat.wire.answers import Event, Gap, Past
from tests.balancer.scenarios.ends import reactor
from tests.balancer.scenarios.proxies import Member
from tests.ports import free_port
from tests.processes import Server, start_server

_HISTORY_PAGE: Final = 1_000


class EchoServer:
    """
    ``twistd -n echochat``, which comes back with the port and the history that it had.

    :param folder: what it may write to; its path is short enough for a UNIX socket.
    :param handoff: the balancer is to hand its connections over.
    """

    def __init__(self, test: TestCase, name: str, folder: Path, *, handoff: bool = False) -> None:
        self.name = name
        self.port = free_port()
        self._handoff = str(folder / name / "sock") if handoff else None
        self._test = test
        self._folder = folder / name
        self._folder.mkdir()
        self._server: Server | None = None

    @property
    def member(self) -> Member:
        """
        What the balancer is told of it.
        """
        return Member(self.name, self.port, control=f"unix:{self._folder}/control", handoff=self._handoff)

    async def start(self) -> None:
        """
        Start it, or start it again.
        """
        tcp = f"tcp:{self.port}:interface=127.0.0.1"
        handoff = ("--listen", f"handoff:{self._handoff}") if self._handoff is not None else ()
        self._server = start_server(
            self._test,
            *("--listen", tcp, *handoff),
            *("--history", f"sqlite:{self._folder}/log.sqlite3"),
            *("--control", f"unix:{self._folder}/control"),
            *("--first-line", "0"),
            directory=str(self._folder),
        )
        await self._server.port()

    async def kill(self) -> None:
        """
        ``kill -9``.
        """
        assert self._server is not None
        await self._server.stop(signal.SIGKILL)

    def freeze(self) -> None:
        """
        ``kill -STOP``: it does nothing, and is there.
        """
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """
        Let it go on.
        """
        assert self._server is not None
        self._server.send_signal(signal.SIGCONT)

    async def logs(self, topics: list[str]) -> dict[str, dict[int, str]]:
        """
        By topic, what it keeps at which position.
        """
        client = ReconnectingClient(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port), reactor)
        await client.start()
        logs = {}
        for topic in topics:
            reply = await client.command("history", topic, f"last={_HISTORY_PAGE}")
            logs[topic] = {past.position: past.text for past in reply.items if isinstance(past, Past)}
        await client.close()
        return logs


@dataclass
class Person:
    """
    One client, which publishes on its own topic and follows it.

    :ivar acknowledged: text and position of what was said to be stored.
    :ivar seen: texts that were delivered to it, and how often it was told before that something cannot be delivered.
    :ivar gaps: how often it was told that in all: each time that it comes to another server, whose log begins anew.
    :ivar connected: when it was connected, each time.
    """

    name: str
    client: ReconnectingClient
    acknowledged: dict[str, int] = field(default_factory=dict)
    seen: list[tuple[int, str]] = field(default_factory=list)
    gaps: int = 0
    given_up: int = 0
    connected: list[float] = field(default_factory=list)


@dataclass
class Verdict:
    """
    What became of a crowd.

    :ivar lost: what was acknowledged and is in no server's history where it was said to be.
    :ivar doubled: what is in more than one history, or twice in one.
    :ivar repeated: what was delivered twice to one client out of the same log.
    :ivar untold: what was acknowledged, and neither delivered nor excused by a gap.
    :ivar away: clients that did not come back.
    """

    people: int
    acknowledged: int = 0
    connections: int = 0
    given_up: int = 0
    gaps: int = 0
    lost: int = 0
    doubled: int = 0
    repeated: int = 0
    untold: int = 0
    away: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in vars(self).items())


class Crowd:
    """
    Clients that keep publishing.

    :param port: the balancer's.
    :param pace: seconds between two publishes of one of them, on average.
    """

    def __init__(self, test: TestCase, port: int, size: int, pace: float, seed: int) -> None:
        self._random = Random(seed)
        self._pace = pace
        self._is_publishing = True
        self._publishing: list[Deferred[None]] = []
        self.people = [self._person(port, f"p{number}") for number in range(size)]
        test.addCleanup(lambda: Deferred.fromCoroutine(self.leave()))

    async def come(self) -> None:
        """
        Connect all of them, and begin.
        """
        await gatherResults([person.client.start() for person in self.people], consumeErrors=True)
        for person in self.people:
            following = person.client.subscribe(person.name)
            Deferred.fromCoroutine(self._follow(person, following)).addErrback(lambda _: None)
            self._publishing.append(Deferred.fromCoroutine(self._publish(person)))

    async def settle(self) -> None:
        """
        Publish no more, and wait until everything is acknowledged; then everybody says one thing more, which shows
        that all are there.
        """
        self._is_publishing = False
        await gatherResults(self._publishing, consumeErrors=True)
        await gatherResults([self._say(person, f"{person.name} is here") for person in self.people], consumeErrors=True)

    async def judge(self, servers: list[EchoServer]) -> Verdict:
        """
        Compare what was said with what there is.
        """
        topics = [person.name for person in self.people]
        logs = [await server.logs(topics) for server in servers]
        verdict = Verdict(len(self.people))
        for person in self.people:
            kept = [log[person.name] for log in logs]
            stored = [text for log in kept for text in log.values()]
            seen = {text for _, text in person.seen}
            unseen = [text for text in person.acknowledged if text not in seen]
            verdict.acknowledged += len(person.acknowledged)
            verdict.connections += len(person.connected)
            verdict.given_up += person.given_up
            verdict.gaps += person.gaps
            verdict.lost += sum(
                all(log.get(position) != text for log in kept) for text, position in person.acknowledged.items()
            )
            verdict.doubled += len(stored) - len(set(stored))
            verdict.repeated += len(person.seen) - len(set(person.seen))
            verdict.untold += 0 if person.gaps else len(unseen)
            verdict.away += f"{person.name} is here" not in person.acknowledged
        return verdict

    async def leave(self) -> None:
        """
        Close all connections.
        """
        for publishing in self._publishing:
            publishing.addErrback(lambda failure: None).cancel()
        await gatherResults([Deferred.fromCoroutine(person.client.close()) for person in self.people])

    # Ours

    def _person(self, port: int, name: str) -> Person:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)

        def tell(status: Status) -> None:
            if isinstance(status, Connected):
                person.connected.append(reactor.seconds())

        client = ReconnectingClient(endpoint, reactor, name=name, on_status=tell, jitter=self._random.uniform)
        person = Person(name, client)
        return person

    async def _follow(self, person: Person, following: Any) -> None:
        async for item in following:
            if isinstance(item, Event):
                person.seen.append((person.gaps, item.text))
            elif isinstance(item, Gap):
                person.gaps += 1

    async def _publish(self, person: Person) -> None:
        asked = []
        number = 0
        while self._is_publishing:
            number += 1
            asked.append(self._say(person, f"{person.name} says {number}"))
            await person.client.room(20)
            await deferLater(reactor, self._random.expovariate(1 / self._pace))
        await gatherResults(asked, consumeErrors=True)

    def _say(self, person: Person, text: str) -> Deferred[None]:
        def stored(position: int) -> None:
            person.acknowledged[text] = position

        def unconfirmed(failure: Failure) -> None:
            failure.trap(Unconfirmed)
            person.given_up += 1

        return person.client.publish(person.name, text).addCallbacks(stored, unconfirmed)
