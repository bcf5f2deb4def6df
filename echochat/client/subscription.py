"""
A subscription, as its consumer sees it: an asynchronous iterator over one topic that outlives connections.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Final

from twisted.internet.defer import Deferred

from echochat.client.cursor import Cursor, Delivery
from echochat.wire.answers import Event

MOST_ITEMS: Final = 10_000
MOST_CHARACTERS: Final = 4_194_304
"""
What waits for a consumer that is busy, at most, but for what one read of the socket brings. It is some megabytes
because that is what is on its way in the buffers of both systems, and is sent in vain when a subscription is left.
"""


class Phase(Enum):
    """
    What a subscription is to the connection there is.
    """

    OFF = "not subscribed: no connection yet, or its consumer is too far behind"
    ASKED = "the server was asked; what comes before it confirms belongs to an earlier subscription"
    LIVE = "events come"
    ENDED = "closed, or refused"


class Subscription:
    """
    Iterate with ``async for``, one consumer at a time; stop with :meth:`close`.

    :ivar topic: in the form that the server uses.
    :ivar presence: whether those who come and go are told.
    :ivar position: the position of what the consumer was given last, to continue from in another run; None before it
        is known.
    :ivar epoch: the log in which that position is.
    """

    def __init__(
        self, topic: str, cursor: Cursor, last: int | None, presence: bool, changed: Callable[["Subscription"], None]
    ) -> None:
        self.topic = topic
        self.presence = presence
        self.last = last
        self.cursor = cursor
        self.phase = Phase.OFF
        self.position = cursor.position
        self.epoch = cursor.epoch
        self._changed = changed
        self._waiting: deque[tuple[Delivery, int | None, str | None]] = deque()
        self._characters = 0
        self._consumer: Deferred[None] | None = None
        self._failure: Exception | None = None

    # Called by the consumer

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Delivery:
        while not self._waiting:
            if self._failure is not None:
                raise self._failure
            if self.phase is Phase.ENDED:
                raise StopAsyncIteration
            if self._consumer is not None:
                raise RuntimeError("a subscription has one consumer at a time")
            self._consumer = Deferred(self._without_consumer)
            consumer = self._consumer
            self._changed(self)
            await consumer
        delivery, self.position, self.epoch = self._waiting.popleft()
        self._characters -= _size(delivery)
        self._changed(self)
        return delivery

    def close(self) -> None:
        """
        End it: the iteration ends with what has arrived already.
        """
        if self.phase is not Phase.ENDED:
            self.phase = Phase.ENDED
            self._changed(self)
            self._wake()

    @property
    def repeated(self) -> int:
        """
        How many events came a second time, and were dropped. It is 0 with a right server.
        """
        return self.cursor.repeated

    # Called by the client

    @property
    def full(self) -> bool:
        """
        Whether nothing more should be taken for this consumer.
        """
        return len(self._waiting) >= MOST_ITEMS or self._characters >= MOST_CHARACTERS

    @property
    def lagging(self) -> bool:
        """
        Whether its consumer has not caught up by half since it was full.
        """
        return len(self._waiting) >= MOST_ITEMS // 2 or self._characters >= MOST_CHARACTERS // 2

    @property
    def empty(self) -> bool:
        """
        Whether its consumer has taken everything.
        """
        return not self._waiting

    @property
    def hungry(self) -> bool:
        """
        Whether its consumer waits for something to come.
        """
        return self._consumer is not None

    def began(self) -> None:
        """
        The server confirmed the subscription; what comes from now on is its own.
        """
        self.phase = Phase.LIVE
        if self.position is None:
            self.position, self.epoch = self.cursor.position, self.cursor.epoch

    def arrived(self, delivery: Delivery) -> None:
        """
        Something came for the topic.
        """
        told = self.cursor.takes(delivery) if self.phase is Phase.LIVE else None
        if told is not None:
            self._waiting.append((told, self.cursor.position, self.cursor.epoch))
            self._characters += _size(told)
            self._wake()

    def fail(self, failure: Exception) -> None:
        """
        There will be no more: its consumer is told why after what has arrived.
        """
        if self.phase is not Phase.ENDED:
            self.phase = Phase.ENDED
            self._failure = failure
            self._wake()

    def _wake(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.callback(None)

    def _without_consumer(self, consumer: Deferred[None]) -> None:
        self._consumer = None


def _size(delivery: Delivery) -> int:
    return len(delivery.text) if isinstance(delivery, Event) else 0
