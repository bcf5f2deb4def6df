"""
Read pages of a topic, by direct gets.

A direct get may be answered by any of the brokers that keep the stream, without asking the others: fast, and where
there are several of them a little behind, perhaps. Such a page must not say that it is complete when it is not, since
its reader then goes on with live events. So where the stream has replicas, a page that seems to be complete is
compared with the topic's last position according to the leader.

What retention has removed shows by the first position of the stream, and, for a topic that has as many events as it may
have, by its first one. Which of the removed events were of the topic is not kept by JetStream: the floor is the highest
position that *can* have been removed. It is asked for after the page was read, since it only rises.

JetStream reads forwards only. The last events before a position begin where the number of events from there on is
right, which is found by asking for that number: the positions of a topic lie more or less evenly, so a few questions
do.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from txaio.tx import make_logger

from echochat.broker import Message
from echochat.history.jetstream.direct import Direct, Found, position_of
from echochat.history.jetstream.stream import Found as Stream
from echochat.history.jetstream.subjects import NotAnEvent, read, token
from echochat.history.records import Event, Page, TopicState

_BATCH: Final = 1_000
_MESSAGE_OVERHEAD: Final = 256


class Reader:
    """
    Reads from one stream. All fail with BrokerUnavailable or JetStreamError.

    :param name: the stream's.
    :param look: tells the stream as it is now.
    :ivar stream: as it was when it was last looked at; to be set before anything is read.
    """

    log = make_logger()

    stream: Stream

    def __init__(self, direct: Direct, name: str, look: Callable[[], Coroutine[Any, Any, Stream]]) -> None:
        self._direct = direct
        self._look = look
        self._name = name

    async def after(self, topic: str, after: int, limit: int, max_bytes: int) -> Page | None:
        """
        See :meth:`IHistory.read_after`.

        :return: None: there is more, but the broker that was asked does not have it yet.
        """
        subject = self._subject(topic)
        found = await self._get(subject, after + 1, limit, max_bytes)
        reached = position_of(found.messages[-1]) if found.messages else after
        is_behind = not found.left and await self._is_behind(subject, reached)
        if is_behind and not found.messages:
            return None
        floor = await self._floor(subject)
        events, is_cut = _fitting(self._events(topic, found.messages), max_bytes)
        if not events and found.messages and not is_cut:
            # None of these was ours.
            return await self.after(topic, reached, limit, max_bytes)
        return Page(events, not (found.left or is_cut or is_behind), floor)

    async def before(self, topic: str, before: int | None, last: int, max_bytes: int) -> Page:
        """
        See :meth:`IHistory.read_before`.
        """
        subject = self._subject(topic)
        end = before if before is not None else await self._direct.last(subject) + 1
        behind = await self._count(subject, end) if before is not None else 0
        total = await self._count(subject, 1)
        wanted = min(last, total - behind)
        messages: list[Message] = []
        start = await self._start(subject, end, behind, total, wanted)
        while wanted > 0:
            found = await self._get(subject, start, _BATCH, max_bytes)
            new = [message for message in found.messages if position_of(message) < end]
            messages.extend(new)
            if (
                not new
                or len(new) < len(found.messages)
                or (not found.left and not await self._is_behind(subject, end - 1))
            ):
                break
            start = position_of(new[-1]) + 1
        floor = await self._floor(subject)
        chosen = self._events(topic, messages[-wanted:] if wanted > 0 else [])
        chosen.reverse()
        events, is_cut = _fitting(chosen, max_bytes)
        events.reverse()
        return Page(events, wanted == total - behind and not is_cut, floor)

    async def topic(self, topic: str) -> TopicState:
        """
        See :meth:`IHistory.topic`.
        """
        subject = self._subject(topic)
        head = await self._direct.last(subject)
        floor = await self._floor(subject)
        return TopicState(topic, max(head, floor), floor)

    async def floor_of_all(self) -> int:
        """
        The highest position that can have been removed with all before it.
        """
        first = await self._direct.first()
        if first is not None:
            return first - 1
        found = await self._look()
        return found.last if not found.messages else found.first - 1

    # Ours

    async def _start(self, subject: str, end: int, behind: int, total: int, wanted: int) -> int:
        """
        :return: a position from which there are at least ``wanted`` events up to the end, and not many more.
        """
        target = behind + wanted
        low, at_low, high, at_high = 1, total, end, behind
        while at_low > target + wanted // 4 + 16 and high - low > 1:
            share = (at_low - target) / (at_low - at_high)
            middle = min(max(low + int((high - low) * share) - 1, low + 1), high - 1)
            for probe in (middle, (low + high) // 2):
                found = await self._direct.get(subject, probe, 1)
                if found.count >= target:
                    low, at_low = max(low, position_of(found.messages[0])), found.count
                else:
                    high, at_high = probe, found.count
                if high - low <= 1 or at_low <= target + wanted // 4 + 16:
                    break
        return low

    async def _count(self, subject: str, start: int) -> int:
        return (await self._direct.get(subject, start, 1)).count

    async def _get(self, subject: str, start: int, limit: int, max_bytes: int) -> Found:
        limit = min(limit, _BATCH)
        return await self._direct.get(subject, start, limit, min(max_bytes + limit * _MESSAGE_OVERHEAD, 8 << 20))

    async def _is_behind(self, subject: str, reached: int) -> bool:
        """
        Whether whoever was asked lacks something that the leader has.
        """
        return self._direct.replicas > 1 and await self._direct.last(subject) > reached

    async def _floor(self, subject: str) -> int:
        floor = await self.floor_of_all()
        found = await self._direct.get(subject, 1, 1)
        if not found.messages:
            return floor
        before_first = position_of(found.messages[0]) - 1
        if 0 < self.stream.events <= found.count:
            return max(floor, before_first)
        return max(floor, min(before_first, self.stream.trimmed))

    def _subject(self, topic: str) -> str:
        return f"{self._name}.{token(topic)}"

    def _events(self, topic: str, messages: list[Message]) -> list[Event]:
        events: list[Event] = []
        for message in messages:
            position = position_of(message)
            try:
                draft = read(message.header("Nats-Subject"), message.payload)
            except NotAnEvent as error:
                self.log.warn("at {position} there is something else: {error}", position=position, error=error)
                continue
            events.append(Event(position, topic, draft.name, draft.text, draft.time))
        return events


def _fitting(events: list[Event], max_bytes: int) -> tuple[list[Event], bool]:
    """
    :return: the first of these that fit, at least one of them, and whether some do not.
    """
    size = 0
    for index, event in enumerate(events):
        size += len(event.text.encode())
        if size > max_bytes and index:
            return events[:index], True
    return events, False
