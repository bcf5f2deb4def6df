"""
A history that lives as long as the process: an acknowledgement means "in memory".

Everything is bounded: the events of a topic, the bytes of all, and how many topics are known. The topic that
was published to longest ago loses first. One that was forgotten altogether cannot be told from one that never
was, so from then on every unknown topic is said to have lost what lies below the last forgotten position: a
gap that may not have been one, never a loss that goes unstated.
"""

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from txaio.tx import make_logger
from zope.interface import implementer

from echochat.history.errors import HistoryBusy, HistoryUnavailable
from echochat.history.interface import IHistory, Receiver
from echochat.history.labels import LabelWindow
from echochat.history.numbering import number
from echochat.history.records import Deduplication, Draft, Event, Page, Status, Stored, TopicState

# What an event costs beside its text: the draft, its place in the topic, its name.
_EVENT_OVERHEAD = 250

CLOSED = "the history is closed"


@dataclass(frozen=True, slots=True)
class MemoryBounds:
    """
    What the memory holds at most.

    :param events: of one topic.
    :param size: bytes of all topics together, estimated from the texts.
    :param topics: known topics, with or without events.
    """

    events: int = 1_000
    size: int = 64 << 20
    topics: int = 100_000


@dataclass(slots=True)
class _Topic:
    """
    What is kept of one topic.
    """

    head: int = 0
    floor: int = 0
    kept: deque[tuple[int, Draft]] = field(default_factory=deque)


@implementer(IHistory)
class MemoryHistory:
    """
    The in-memory history.

    What is appended in one turn of the reactor is answered in the next.
    """

    log = make_logger()
    durable = False
    waiting_bound = 200_000

    def __init__(
        self,
        clock: IReactorTime,
        bounds: MemoryBounds = MemoryBounds(),
        deduplication: Deduplication = Deduplication(),  # noqa: B008 frozen
        monotonic: Callable[[], float] = time.monotonic,  # a reactor's seconds() are the time of day, which jumps
    ) -> None:
        self.epoch = secrets.token_hex(6)
        self.head = 0
        self.waiting = 0
        self.status = Status(unavailable="not open yet")
        self._clock = clock
        self._bounds = bounds
        self._window = LabelWindow(deduplication, monotonic)
        self._receiver: Receiver | None = None
        self._appends: list[tuple[Sequence[Draft], Deferred[Stored]]] = []
        self._turn: IDelayedCall | None = None
        # Both in the order of the last publish, so that the first one is the one to lose.
        self._topics: dict[str, _Topic] = {}
        self._holding: dict[str, _Topic] = {}
        self._size = 0
        self._forgotten = 0

    def open(self, receiver: Receiver) -> Deferred[None]:
        self._receiver = receiver
        self.status.unavailable = None
        return succeed(None)

    def append(self, drafts: Sequence[Draft]) -> Deferred[Stored]:
        if self.status.unavailable is not None:
            return fail(HistoryUnavailable(self.status.unavailable))
        if self.waiting + len(drafts) > self.waiting_bound:
            return fail(HistoryBusy("too much is waiting to be stored"))
        answer: Deferred[Stored] = Deferred()
        self.waiting += len(drafts)
        self._appends.append((drafts, answer))
        if self._turn is None:
            self._turn = self._clock.callLater(0, self._commit)
        return answer

    def follow(self, topic: str) -> Deferred[None]:
        return succeed(None)

    def unfollow(self, topic: str) -> None:
        pass

    def read_after(self, topic: str, after: int, limit: int, max_bytes: int) -> Deferred[Page]:
        if self.status.unavailable is not None:
            return fail(HistoryUnavailable(self.status.unavailable))
        log = self._topics.get(topic) or self._unknown()
        self.status.reads += 1
        wanted = (kept for kept in log.kept if kept[0] > after)
        events, complete = _take(topic, wanted, limit, max_bytes)
        return succeed(Page(events, complete, log.floor))

    def read_before(self, topic: str, before: int | None, last: int, max_bytes: int) -> Deferred[Page]:
        if self.status.unavailable is not None:
            return fail(HistoryUnavailable(self.status.unavailable))
        log = self._topics.get(topic) or self._unknown()
        self.status.reads += 1
        wanted = (kept for kept in reversed(log.kept) if before is None or kept[0] < before)
        events, complete = _take(topic, wanted, last, max_bytes)
        events.reverse()
        return succeed(Page(events, complete, log.floor))

    def topic(self, topic: str) -> Deferred[TopicState]:
        if self.status.unavailable is not None:
            return fail(HistoryUnavailable(self.status.unavailable))
        log = self._topics.get(topic) or self._unknown()
        return succeed(TopicState(topic, log.head, log.floor))

    def topics(self) -> Deferred[list[TopicState]]:
        if self.status.unavailable is not None:
            return fail(HistoryUnavailable(self.status.unavailable))
        return succeed([TopicState(topic, log.head, log.floor) for topic, log in sorted(self._topics.items())])

    def close(self) -> Deferred[None]:
        self.status.unavailable = CLOSED
        if self._turn is not None:
            self._turn.cancel()
            self._commit()
        self._topics.clear()
        self._holding.clear()
        self._window.clear()
        return succeed(None)

    def _unknown(self) -> _Topic:
        return _Topic(self._forgotten, self._forgotten)

    def _commit(self) -> None:
        """
        Store, deliver and answer everything that was appended up to now.
        """
        assert self._receiver is not None
        self._turn = None
        appends, self._appends = self._appends, []
        self.waiting = 0
        self._window.forget_old()
        numbered = number([drafts for drafts, _ in appends], self.head, self._window)
        if numbered.labels:
            self._window.remember(numbered.labels)
        for position, draft in zip(numbered.positions, numbered.drafts, strict=True):
            self._keep(position, draft)
        self._enforce_bounds()
        self.head += len(numbered.drafts)
        self.status.events += len(numbered.drafts)
        self.status.repeats += sum(len(stored.repeated) for stored in numbered.stored)
        if numbered.drafts:
            self.status.commits += 1
            try:
                self._receiver.arrived(numbered.drafts, numbered.positions)
            except Exception:
                self.log.failure("the receiver of the history failed; the events are stored")
        for (_, answer), stored in zip(appends, numbered.stored, strict=True):
            answer.callback(stored)

    def _keep(self, position: int, draft: Draft) -> None:
        topic = draft.topic
        log = self._topics.pop(topic, None) or self._unknown()
        self._holding.pop(topic, None)
        self._topics[topic] = self._holding[topic] = log
        log.head = position
        log.kept.append((position, draft))
        self._size += len(draft.text) + _EVENT_OVERHEAD
        if len(log.kept) > self._bounds.events:
            self._lose_oldest(log)

    def _enforce_bounds(self) -> None:
        while len(self._topics) > self._bounds.topics:
            topic = next(iter(self._topics))
            log = self._topics.pop(topic)
            self._holding.pop(topic, None)
            while log.kept:
                self._lose_oldest(log)
            self._forgotten = max(self._forgotten, log.head)
        while self._size > self._bounds.size:
            topic = next(iter(self._holding))
            log = self._holding[topic]
            self._lose_oldest(log)
            if not log.kept:
                del self._holding[topic]

    def _lose_oldest(self, log: _Topic) -> None:
        position, draft = log.kept.popleft()
        log.floor = position
        self._size -= len(draft.text) + _EVENT_OVERHEAD
        self.status.removed += 1


def _take(topic: str, wanted: Iterable[tuple[int, Draft]], limit: int, max_bytes: int) -> tuple[list[Event], bool]:
    """
    :return: the first of these that fit, and whether that was all.
    """
    events: list[Event] = []
    size = 0
    for position, draft in wanted:
        size += len(draft.text.encode())
        if len(events) >= limit or (events and size > max_bytes):
            return events, False
        events.append(Event(position, topic, draft.name, draft.text, draft.time))
    return events, True
