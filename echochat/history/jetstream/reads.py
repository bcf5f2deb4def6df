"""
All that is read from a stream: whether it can be, and how much of it at once.

Reading goes on where storing does not: what it needs is a broker that answers and a stream that was seen once, while a
history that is to take events needs its consumer, too. And everybody may ask for pages, at the same time and after a
restart all of them do, each of which takes the broker several questions: so a bounded number of reads is under way, a
bounded number waits, in order, and what exceeds that is refused, so that it can be tried again, before it costs
anything.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, DeferredSemaphore, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from echochat.broker import Broker, BrokerUnavailable
from echochat.history.errors import HistoryBusy, HistoryUnavailable
from echochat.history.jetstream.api import JetStreamError
from echochat.history.jetstream.direct import Direct
from echochat.history.jetstream.reading import Reader
from echochat.history.jetstream.stream import Found
from echochat.history.jetstream.topics import Lists
from echochat.history.records import Page, Status, TopicState

AT_ONCE: Final = 4
"""
Reads that are under way. What the broker sends for them the connection's thread takes apart, and it has Python's global
lock meanwhile: where it always had something to do, each system call of the reactor cost up to 5 ms. While 100 clients
replayed 20,000 events each, with 64 reads under way, the 99th percentile of an echo on 50 connections was 505 ms. With
4 it was 29 ms, and the replay, at 40,000 events/s, as fast.

A page is three questions, one after the other. So of a broker that answers in half a millisecond 2,600 pages a second
can be had, more than there is processor time for; of one that is 10 ms away, 130.
"""

WAITING: Final = 20_000
"""
Reads that may wait for their turn.
"""

_TRIES: Final = 40
_PAUSE: Final = 0.05
"""
How often, and how many seconds apart, a page is asked for that a replica does not have yet: one that is behind catches
up within milliseconds. Meanwhile others have their turns.
"""

Result = TypeVar("Result")


class Reads:
    """
    The reads of one stream. All fail with HistoryUnavailable, or HistoryBusy.

    :param name: the stream's.
    :param look: tells the stream as it is now.
    :param can_read: tells whether the stream was seen, and the broker can be asked.
    :param status: tells why not; to be kept up to date.
    """

    def __init__(
        self,
        broker: Broker,
        name: str,
        look: Callable[[], Coroutine[Any, Any, Found]],
        clock: IReactorTime,
        can_read: Callable[[], bool],
        status: Status,
    ) -> None:
        self._can_read = can_read
        self._status = status
        self._direct = Direct(broker, name)
        self._reader = Reader(self._direct, name, look)
        self._clock = clock
        self._lists = Lists(broker, name, clock)
        self._turns = DeferredSemaphore(AT_ONCE)

    def after(self, topic: str, after: int, limit: int, max_bytes: int) -> Deferred[Page]:
        """
        See :meth:`IHistory.read_after`.
        """
        return Deferred.fromCoroutine(self._after(topic, after, limit, max_bytes))

    def before(self, topic: str, before: int | None, last: int, max_bytes: int) -> Deferred[Page]:
        """
        See :meth:`IHistory.read_before`.
        """
        self._count()
        return self._in_turn(self._reader.before, topic, before, last, max_bytes)

    def topic(self, topic: str) -> Deferred[TopicState]:
        """
        See :meth:`IHistory.topic`.
        """
        return self._in_turn(self._reader.topic, topic)

    def topics(self) -> Deferred[list[TopicState]]:
        """
        See :meth:`IHistory.topics`.
        """
        return self._in_turn(self._all_topics)

    def learn(self, found: Found) -> None:
        """
        Read from this stream from now on.
        """
        self._direct.replicas = found.replicas
        self.saw(found)

    def saw(self, found: Found) -> None:
        """
        It was looked at.
        """
        self._reader.stream = found

    # Ours

    async def _after(self, topic: str, after: int, limit: int, max_bytes: int) -> Page:
        self._count()
        for _ in range(_TRIES):
            page = await self._in_turn(self._reader.after, topic, after, limit, max_bytes)
            if page is not None:
                return page
            await deferLater(self._clock, _PAUSE)
        raise HistoryUnavailable("the broker that was asked is behind the others")

    def _count(self) -> None:
        if self._can_read():
            self._status.reads += 1

    def _in_turn(self, read_it: Callable[..., Coroutine[Any, Any, Result]], *arguments: object) -> Deferred[Result]:
        if not self._can_read():
            return fail(HistoryUnavailable(self._status.unavailable))
        if len(self._turns.waiting) >= WAITING:
            return fail(HistoryBusy("too many reads are waiting"))

        def begin() -> Deferred[Result]:
            return Deferred.fromCoroutine(self._explained(read_it(*arguments)))

        return self._turns.run(begin)

    async def _explained(self, reading: Coroutine[Any, Any, Result]) -> Result:
        try:
            return await reading
        except BrokerUnavailable as error:
            raise HistoryUnavailable(str(error)) from error
        except JetStreamError as error:
            raise HistoryUnavailable("the broker cannot read its stream now") from error

    async def _all_topics(self) -> list[TopicState]:
        heads = await self._lists.heads()
        floor = await self._reader.floor_of_all()
        return [TopicState(topic, head, min(floor, head)) for topic, head in sorted(heads.items())]
