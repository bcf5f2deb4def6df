"""
Clients of a cluster whose workers come and go, and a clock that all of them hear.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.task import LoopingCall, deferLater
from twisted.python.failure import Failure

from echochat.client.keeper import Connected, Status
from echochat.client.protocol import Client
from echochat.client.reconnecting import Closed, ReconnectingClient
from echochat.client.subscription import Subscription
from echochat.wire.answers import Event, Gap
from tests.checker.ledger import Ledger, Sight, Verdict

BEAT: Final = "beat"
LOOK: Final = 0.05
MOST_UNACKNOWLEDGED: Final = 20


class Beat:
    """
    Publishes at a steady pace, so that any time without an event is the client's, and not the topic's.

    :param client: its connection, which nothing is done to.
    :param pace: seconds between two.
    """

    def __init__(self, client: Client, ledger: Ledger, pace: float) -> None:
        self._client = client
        self._ledger = ledger
        self._number = 0
        self._unanswered: set[Deferred[None]] = set()
        self._repeating = LoopingCall(self._publish)
        self._beating = self._repeating.start(pace)

    async def stop(self) -> None:
        """
        Publish no more, and wait until everything is acknowledged.
        """
        self._repeating.stop()
        await self._beating
        await gatherResults([*self._unanswered], consumeErrors=True)

    def _publish(self) -> None:
        self._number += 1
        text = f"beat {self._number}"
        self._ledger.publishing(BEAT, text)
        asked = Deferred.fromCoroutine(self._ask(text))
        self._unanswered.add(asked)
        asked.addCallback(lambda _: self._unanswered.discard(asked))

    async def _ask(self, text: str) -> None:
        reply = await self._client.command("pub", BEAT, text)
        self._ledger.stored(text, int(reply.rest.split()[1]))


@dataclass
class Traveller:
    """
    One client. It publishes to its own topic and to that of its room, and follows both and the beat.

    :ivar beats: when it heard the beat.
    :ivar connections: how often it was connected.
    """

    name: str
    room: str
    client: ReconnectingClient
    beats: list[float] = field(default_factory=list)
    connections: int = 0
    followings: list[Subscription] = field(default_factory=list)

    @property
    def topics(self) -> tuple[str, str, str]:
        """
        What it follows.
        """
        return self.name, self.room, BEAT


class Travellers:
    """
    All of them.

    :param port: where they connect, the balancer's.
    :param pace: seconds between two publishes of one of them, on average.
    :ivar failures: publishes that were not acknowledged in the end, and why.
    """

    def __init__(self, reactor: Any, random: Random, port: int, size: int, rooms: int, pace: float) -> None:
        self.ledger = Ledger()
        self.failures: list[str] = []
        self._reactor = reactor
        self._random = random
        self._pace = pace
        self._is_publishing = True
        self._publishing: list[Deferred[None]] = []
        self.all = [self._make(port, f"t{number}", f"room-{number % rooms}") for number in range(size)]

    async def come(self) -> None:
        """
        Connect all of them, and begin.
        """
        await gatherResults([each.client.start() for each in self.all], consumeErrors=True)
        for each in self.all:
            for topic in each.topics:
                following = each.client.subscribe(topic, after=0)
                each.followings.append(following)
                Deferred.fromCoroutine(self._follow(each, topic, following)).addErrback(
                    lambda failure: failure.trap(Closed, CancelledError)
                )
            self._publishing.append(Deferred.fromCoroutine(self._publish(each)))

    async def greet(self) -> None:
        """
        Have each publish one thing more, and hear it: all are there.
        """
        await gatherResults([self._say(each, each.name) for each in self.all], consumeErrors=True)
        await self._until_heard(60.0)

    async def finish(self, patience: float) -> Verdict:
        """
        Publish no more, give them time to catch up, let them go, and compare.

        :param patience: seconds that they have.
        """
        self._is_publishing = False
        await gatherResults(self._publishing, consumeErrors=True)
        await self._until_heard(patience)
        await self.leave()
        verdict = self.ledger.judge()
        # The client drops what comes twice; a right server sends nothing twice.
        verdict.doubled += sum(following.repeated for each in self.all for following in each.followings)
        return verdict

    async def leave(self) -> None:
        """
        Close all connections.
        """
        for publishing in self._publishing:
            publishing.addErrback(lambda _: None).cancel()
        await gatherResults([Deferred.fromCoroutine(each.client.close()) for each in self.all])

    # Ours

    def _make(self, port: int, name: str, room: str) -> Traveller:
        def tell(status: Status) -> None:
            traveller.connections += isinstance(status, Connected)

        endpoint = TCP4ClientEndpoint(self._reactor, "127.0.0.1", port)
        client = ReconnectingClient(endpoint, self._reactor, name=name, on_status=tell, jitter=self._random.uniform)
        traveller = Traveller(name, room, client)
        return traveller

    async def _follow(self, traveller: Traveller, topic: str, following: Subscription) -> None:
        sight = self.ledger.sight(traveller.name, topic)
        async for item in following:
            if isinstance(item, Event):
                sight.events.append((item.position, item.text))
                if topic == BEAT:
                    traveller.beats.append(self._reactor.seconds())
            elif isinstance(item, Gap):
                sight.gaps.append((item.after, item.upto))

    async def _publish(self, traveller: Traveller) -> None:
        asked = []
        while self._is_publishing:
            asked.append(self._say(traveller, self._random.choice([traveller.name, traveller.room])))
            await traveller.client.room(MOST_UNACKNOWLEDGED)
            await deferLater(self._reactor, self._random.expovariate(1 / self._pace))
        await gatherResults(asked, consumeErrors=True)

    def _say(self, traveller: Traveller, topic: str) -> Deferred[None]:
        text = f"{traveller.name} says {len(self.ledger.published)}"
        self.ledger.publishing(topic, text)

        def failed(failure: Failure) -> None:
            self.failures.append(f"{text}: {failure.getErrorMessage()}")

        stored = traveller.client.publish(topic, text)
        return stored.addCallbacks(lambda position: self.ledger.stored(text, position), failed)

    async def _until_heard(self, patience: float) -> None:
        """
        Wait until everybody has heard what was acknowledged last in each of their topics, or for so long.
        """
        last: dict[str, int] = {}
        for text, position in self.ledger.acknowledged.items():
            topic = self.ledger.published[text]
            last[topic] = max(last.get(topic, 0), position)
        deadline = self._reactor.seconds() + patience
        sights = [
            (self.ledger.sight(each.name, topic), last.get(topic, 0)) for each in self.all for topic in each.topics
        ]
        while self._reactor.seconds() < deadline and not all(_has(sight, position) for sight, position in sights):
            await deferLater(self._reactor, LOOK)


def _has(sight: Sight, position: int) -> bool:
    return bool(sight.events and sight.events[-1][0] >= position) or sight.excuses(position) or not position
