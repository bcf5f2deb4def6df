"""
The clients of a run: publishers that repeat until they are acknowledged, and subscribers that resume.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from echochat.client.credentials import Credentials
from echochat.client.outbox import Unconfirmed
from echochat.client.outcomes import Refused
from echochat.client.reconnecting import Closed, ReconnectingClient
from echochat.client.subscription import Subscription
from echochat.wire.answers import Event, Gap
from tests.checker.ledger import Ledger, Sight, Verdict

LONGEST_WAIT: Final = 0.5
MOST_UNACKNOWLEDGED: Final = 50

Show = Callable[[str], Credentials | None]
"""
What a client of this name shows to be more than a guest.
"""


def _nothing(name: str) -> Credentials | None:
    return None


class Crowd:
    """
    All of them.

    :param endpoint: where they connect.
    :param topics: each publisher publishes to all of these, each subscriber follows all of them.
    :param pace: seconds between the publishes of one publisher, on average.
    :ivar given_up: publishes that were repeated for as long as a server remembers labels; they may be stored.
    :ivar arrivals: for each subscriber, when something came.
    """

    def __init__(
        self,
        reactor: Any,
        random: Random,
        endpoint: IStreamClientEndpoint,
        topics: Sequence[str],
        pace: float,
        show: Show = _nothing,
    ) -> None:
        self.ledger = Ledger()
        self.given_up = 0
        self.arrivals: dict[str, list[float]] = {}
        self._reactor = reactor
        self._random = random
        self._endpoint = endpoint
        self._topics = topics
        self._pace = pace
        self._show = show
        self._publishing = True
        self._publishers: list[ReconnectingClient] = []
        self._published: list[Deferred[None]] = []
        self._subscribers: dict[str, ReconnectingClient] = {}
        self._followings: dict[tuple[str, str], Subscription] = {}
        self._repeated = 0

    def start(self, publishers: int, subscribers: int) -> None:
        """
        Let so many come.
        """
        for number in range(publishers):
            self._published.append(Deferred.fromCoroutine(self._publish(f"publisher-{number}")))
        for number in range(subscribers):
            self._subscribe(f"subscriber-{number}")

    def acknowledged(self) -> int:
        """
        :return: how many events were acknowledged so far.
        """
        return len(self.ledger.acknowledged)

    async def restart_subscriber(self) -> None:
        """
        End a subscriber's program, and start it again where it was.
        """
        name = self._random.choice([*self._subscribers])
        await self._subscribers.pop(name).close()
        self._subscribe(name)

    async def finish(self, patience: float) -> Verdict:
        """
        Publish no more, give the subscribers time to catch up, end them all, and compare.

        :param patience: seconds that they have.
        """
        self._publishing = False
        await gatherResults(self._published, consumeErrors=True)
        # The others may have seen what was lost since. One that comes now has not.
        self._subscribe("auditor")
        await self._catch_up(patience)
        for client in [*self._publishers, *self._subscribers.values()]:
            await client.close()
        verdict = self.ledger.judge()
        # The client drops what comes twice; a right server sends nothing twice.
        verdict.doubled += self._repeated + sum(following.repeated for following in self._followings.values())
        return verdict

    # Ours

    def _client(self, name: str) -> ReconnectingClient:
        client = ReconnectingClient(
            self._endpoint, self._reactor, name=name, credentials=self._show(name), jitter=self._jitter
        )
        client.start().addErrback(lambda _: None)
        return client

    def _jitter(self, low: float, high: float) -> float:
        # A client that has failed for long waits for up to 20 s. Here the server is killed every other second, and most
        # clients would never come to see it.
        return self._random.uniform(low, min(high, LONGEST_WAIT))

    async def _publish(self, name: str) -> None:
        client = self._client(name)
        self._publishers.append(client)
        acknowledged: list[Deferred[None]] = []
        number = 0
        while self._publishing:
            number += 1
            topic, text = self._random.choice(self._topics), f"{name} {number}"
            self.ledger.publishing(topic, text)
            acknowledged.append(client.publish(topic, text).addCallbacks(self._stored, self._give_up, (text,)))
            await client.room(MOST_UNACKNOWLEDGED)
            await self._wait(self._random.expovariate(1 / self._pace))
        await gatherResults(acknowledged, consumeErrors=True)

    def _give_up(self, failure: Failure) -> None:
        # It was repeated for as long as the server remembers labels: it may be stored or not, and is told so.
        failure.trap(Unconfirmed)
        self.given_up += 1

    def _stored(self, position: int, text: str) -> None:
        self.ledger.stored(text, position)

    def _subscribe(self, name: str) -> None:
        """
        Follow all topics, from where this subscriber was when it was last there.
        """
        self._subscribers[name] = client = self._client(name)
        self.arrivals.setdefault(name, [])
        for topic in self._topics:
            sight = self.ledger.sight(name, topic)
            last = max([sight.events[-1][0] if sight.events else 0, *(upto for _, upto in sight.gaps)])
            before = self._followings.get((name, topic))
            following = client.subscribe(topic, after=last, epoch=before.epoch if before is not None else None)
            self._repeated += before.repeated if before is not None else 0
            self._followings[name, topic] = following
            Deferred.fromCoroutine(self._follow(name, topic, following)).addErrback(
                lambda failure: failure.trap(Closed, CancelledError, Refused)
            )

    async def _follow(self, name: str, topic: str, following: Subscription) -> None:
        sight = self.ledger.sight(name, topic)
        async for item in following:
            self.arrivals[name].append(self._reactor.seconds())
            if isinstance(item, Event):
                sight.events.append((item.position, item.text))
            elif isinstance(item, Gap):
                sight.gaps.append((item.after, item.upto))

    async def _catch_up(self, patience: float) -> None:
        """
        Wait until every subscriber has what was acknowledged last, or for long enough to say that it never will.
        """
        last = dict.fromkeys(self._topics, 0)
        for text, position in self.ledger.acknowledged.items():
            topic = self.ledger.published[text]
            last[topic] = max(last[topic], position)
        deadline = self._reactor.seconds() + patience
        while self._reactor.seconds() < deadline and not all(
            _has(self.ledger.sight(name, topic), last[topic]) for name in self._subscribers for topic in last
        ):
            await self._wait(0.05)

    def _wait(self, seconds: float) -> Deferred[None]:
        return deferLater(self._reactor, seconds)


def _has(sight: Sight, position: int) -> bool:
    return bool(sight.events and sight.events[-1][0] >= position) or sight.excuses(position) or not position
