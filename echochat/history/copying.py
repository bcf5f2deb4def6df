"""
Copying one history into another, of whatever kind they are.

Events are taken in the order of their positions, over all topics, and stored in pieces, one after the other: what is in
the copy is always the beginning of every topic. A target that refuses an event in the middle of a piece, and takes what
follows it, would break that. What it refuses for good is what is too long for it, so long events are a piece of their
own; what it refuses for the moment is so rare that such a copy is given up, and said to be spoilt.

So a copy that was interrupted needs no notes: the next one compares what both hold of a topic and goes on where they
part. A file with notes was rejected, because it is written before or after the events and so is wrong after a crash at
the wrong moment; so were labels, which are forgotten after minutes.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Final

from echochat.history.alignment import already_there, digest
from echochat.history.errors import HistoryCorrupt
from echochat.history.interface import IHistory, IRestoringHistory
from echochat.history.records import Draft, Event, Stored

PIECE: Final = 1_000
"""
Events that are stored at once.
"""

LONG: Final = 16_384
"""
Characters from which on an event is stored by itself: brokers take at least a megabyte unless they are told otherwise.
"""

PAGE: Final = 500
PAGE_BYTES: Final = 1 << 20

BUFFERED: Final = 100_000
"""
About the most events that wait in memory, all topics together: with very many topics the pages are smaller.
"""


class OtherEvents(Exception):
    """
    The target has events that the source does not have. The first argument names the topic.
    """


class NotStored(Exception):
    """
    The target refused an event. The first argument says which, and why.
    """


class Spoilt(Exception):
    """
    The target refused an event and has later ones of the same topic: nothing can be put between them. The first
    argument says which, and why.
    """


@dataclass(slots=True)
class Copy:
    """
    What a copy has come to.

    :param total: the source's last position, and ``reached`` the position of the last event that was copied.
    :param topics: that have events.
    :param copied: events; ``found`` were there already.
    :param keeps_positions: whether the events have the positions that they had.
    :param damaged: what could not be read, a sentence for each.
    """

    total: int = 0
    reached: int = 0
    topics: int = 0
    copied: int = 0
    found: int = 0
    keeps_positions: bool = False
    damaged: list[str] = field(default_factory=list)


class _Topic:
    """
    A topic that is being read.

    :ivar at: the position up to which it was read.
    :ivar events: those that were read and not yet taken.
    """

    __slots__ = ("_damaged", "_history", "_limit", "at", "events", "exhausted", "name")

    def __init__(self, history: IHistory, name: str, limit: int, damaged: list[str]) -> None:
        self.name = name
        self.at = 0
        self.events: deque[Event] = deque()
        self.exhausted = False
        self._history = history
        self._limit = limit
        self._damaged = damaged

    async def fill(self) -> None:
        """
        Read on until there is an event, or nothing left.
        """
        while not self.events and not self.exhausted:
            try:
                page = await self._history.read_after(self.name, self.at, self._limit, PAGE_BYTES)
            except HistoryCorrupt as error:
                self._damaged.append(str(error))
                if error.beyond is None or error.beyond <= self.at:
                    self.exhausted = True
                else:
                    self.at = error.beyond
                continue
            self.events.extend(page.events)
            self.exhausted = page.complete
            if page.events:
                self.at = page.events[-1].position


class Copying:
    """
    One copy, from one history that is open to another one that is.

    :ivar state: changes while :meth:`run` runs.
    """

    def __init__(self, source: IHistory, target: IHistory, told: Callable[[], object] = lambda: None) -> None:
        """
        :param told: called after each piece.
        """
        self.state = Copy()
        self._source = source
        self._target = target
        self._told = told

    async def run(self) -> Copy:
        """
        Copy what the target does not have.

        :raises OtherEvents: nothing was copied.
        :raises NotStored: what was copied before stays; so it does with HistoryUnavailable.
        :raises Spoilt: the copy is of no use.
        """
        state = self.state
        names = [topic.topic for topic in await self._source.topics() if topic.head > topic.floor]
        state.total, state.topics = self._source.head, len(names)
        limit = max(1, min(PAGE, BUFFERED // max(1, len(names))))
        waiting: list[tuple[int, int]] = []
        topics = [_Topic(self._source, name, limit, state.damaged) for name in names]
        for index, topic in enumerate(topics):
            await self._skip(topic)
            await topic.fill()
            if topic.events:
                waiting.append((topic.events[0].position, index))
        heapify(waiting)
        state.keeps_positions = IRestoringHistory.providedBy(self._target) and (
            not waiting or waiting[0][0] > self._target.head
        )
        piece: list[Event] = []
        size = 0
        while waiting:
            index = heappop(waiting)[1]
            topic = topics[index]
            event = topic.events.popleft()
            if len(event.text) >= LONG and piece:
                await self._store(piece)
                piece, size = [], 0
            piece.append(event)
            size += len(event.text)
            await topic.fill()
            if topic.events:
                heappush(waiting, (topic.events[0].position, index))
            if len(piece) >= PIECE or size >= PAGE_BYTES or len(event.text) >= LONG or not waiting:
                await self._store(piece)
                piece, size = [], 0
        return state

    async def _skip(self, topic: _Topic) -> None:
        """
        Begin behind what was copied already.
        """
        target, _ = await self._digests(_Topic(self._target, topic.name, PAGE, []))
        if not target:
            return
        source, positions = await self._digests(_Topic(self._source, topic.name, PAGE, []))
        done = already_there(source, target)
        if done is None:
            raise OtherEvents(topic.name)
        self.state.found += done
        topic.at = positions[done - 1] if done else 0

    async def _digests(self, topic: _Topic) -> tuple[bytes, list[int]]:
        """
        :return: of each event what stands for it, and its position.
        """
        digests: list[bytes] = []
        positions: list[int] = []
        await topic.fill()
        while topic.events:
            digests.extend(digest(event) for event in topic.events)
            positions.extend(event.position for event in topic.events)
            topic.events.clear()
            await topic.fill()
        return b"".join(digests), positions

    async def _store(self, events: Sequence[Event]) -> None:
        if self.state.keeps_positions:
            stored = await IRestoringHistory(self._target).restore(events)
        else:
            stored = await self._target.append(
                [Draft(each.topic, each.name, each.text, None, each.time) for each in events]
            )
        if stored.refused:
            raise _why_not(events, stored)
        self.state.copied += len(events)
        self.state.reached = events[-1].position
        self._told()


def _why_not(events: Sequence[Event], stored: Stored) -> NotStored | Spoilt:
    """
    What to say of a piece of which the target did not take everything.
    """
    first: dict[str, int] = {}
    for index in sorted(stored.refused):
        first.setdefault(events[index].topic, index)

    def told(index: int) -> str:
        return f"{events[index].topic} {events[index].position}: {stored.refused[index]}"

    for index, event in enumerate(events):
        if index not in stored.refused and first.get(event.topic, index) < index:
            return Spoilt(told(first[event.topic]))
    return NotStored(told(min(stored.refused)))
