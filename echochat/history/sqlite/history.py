"""
The history in an SQLite database, as the reactor sees it.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from txaio.tx import make_logger
from zope.interface import implementer

from echochat.history.errors import HistoryBusy, HistoryUnavailable
from echochat.history.interface import IHistory, IRestoringHistory, Receiver
from echochat.history.numbering import Numbered
from echochat.history.records import Draft, Event, Page, Status, Stored, TopicState
from echochat.history.sqlite.readers import Readers
from echochat.history.sqlite.reading import TOPICS_AT_ONCE, read_after, read_before, read_topic, read_topics
from echochat.history.sqlite.reports import Append, Work
from echochat.history.sqlite.schema import connect_reader
from echochat.history.sqlite.settings import Settings
from echochat.history.sqlite.writer import Writer

_CLOSED: Final = "the history is closed"

# What may wait to be committed, beside the bound in drafts: characters of text.
_CHARACTERS_BOUND: Final = 64 << 20

Result = TypeVar("Result")

_TICK: Final = 1.0

# Between probes of a failed history: doubled from the first to the last, in seconds.
_FIRST_PROBE: Final = 0.25
_LAST_PROBE: Final = 8.0


class Phase(Enum):
    """
    Of a history's life. Whether it is available is another matter, see its status.
    """

    NEW = "made"
    OPENING = "being opened"
    OPEN = "open"
    CLOSING = "storing what waits"
    CLOSED = "closed, or refused"


@implementer(IHistory, IRestoringHistory)
class SQLiteHistory:
    """
    The durable history of one machine.

    :param reactor: whose thread this is used in; provides ``IReactorFromThreads`` and ``IReactorTime``.
    :param clock: for probing and retention; the reactor, if not a test's.
    """

    log = make_logger()
    durable = True
    waiting_bound = 200_000

    def __init__(self, reactor: Any, settings: Settings, clock: IReactorTime | None = None) -> None:
        self.epoch = ""
        self.head = 0
        self.waiting = 0
        self.status = Status(unavailable="the history is not open yet")
        self._path = settings.path
        self._clock: IReactorTime = reactor if clock is None else clock
        self._phase = Phase.NEW
        self._characters = 0
        self._receiver: Receiver | None = None
        self._readers = Readers(reactor, lambda: connect_reader(settings.path, settings.connection))
        self._writer = Writer(settings, self, self._readers, reactor.callFromThread)
        self._opening: Deferred[None] = Deferred()
        self._closing: list[Deferred[None]] = []
        self._ticks = LoopingCall(self._writer.put, Work.TICK)
        self._ticks.clock = self._clock
        self._probe: IDelayedCall | None = None
        self._probe_delay = _FIRST_PROBE

    # Called by the hub.

    def open(self, receiver: Receiver) -> Deferred[None]:
        self._receiver = receiver
        self._phase = Phase.OPENING
        self._writer.start()
        return self._opening

    def append(self, drafts: Sequence[Draft]) -> Deferred[Stored]:
        return self._append(drafts, None)

    def restore(self, events: Sequence[Event]) -> Deferred[Stored]:
        positions = [event.position for event in events]
        # What was appended and is not answered has positions that are not known yet.
        if self.waiting or positions != sorted({*positions}) or positions[0] <= self.head:
            return fail(
                ValueError(f"positions have to ascend, and to be above {self.head}, with nothing else under way")
            )
        return self._append([Draft(each.topic, each.name, each.text, None, each.time) for each in events], positions)

    def _append(self, drafts: Sequence[Draft], positions: Sequence[int] | None) -> Deferred[Stored]:
        if self.status.unavailable is not None:
            return fail(HistoryUnavailable(self.status.unavailable))
        characters = sum([len(draft.text) for draft in drafts])
        too_many = self.waiting + len(drafts) > self.waiting_bound
        if too_many or self._characters + characters > _CHARACTERS_BOUND:
            return fail(HistoryBusy("too much is waiting to be stored"))
        self.waiting += len(drafts)
        self._characters += characters
        append = Append(drafts, characters, Deferred(), positions)
        self._writer.put(append)
        return append.answer

    def follow(self, topic: str) -> Deferred[None]:
        return succeed(None)

    def unfollow(self, topic: str) -> None:
        pass

    def read_after(self, topic: str, after: int, limit: int, max_bytes: int) -> Deferred[Page]:
        return self._read(self._readers.read_page, read_after, topic, after, limit, max_bytes)

    def read_before(self, topic: str, before: int | None, last: int, max_bytes: int) -> Deferred[Page]:
        return self._read(self._readers.read_page, read_before, topic, before, last, max_bytes)

    def topic(self, topic: str) -> Deferred[TopicState]:
        return self._read(self._readers.read, read_topic, topic)

    def topics(self) -> Deferred[list[TopicState]]:
        return Deferred.fromCoroutine(self._all_topics())

    def close(self) -> Deferred[None]:
        if self._phase in (Phase.NEW, Phase.CLOSED):
            self._phase = Phase.CLOSED
            return succeed(None)
        closing: Deferred[None] = Deferred()
        self._closing.append(closing)
        if self._phase is not Phase.CLOSING:
            self._phase = Phase.CLOSING
            self.status.unavailable = _CLOSED
            self._stop_timers()
            self._readers.stop()
            self._writer.put(Work.CLOSE)
        return closing

    # Called by the writer: see its Reports.

    def opened(self, epoch: str, head: int) -> None:
        self.epoch = epoch
        self.head = head
        if self._phase is Phase.OPENING:
            self._phase = Phase.OPEN
            self.status.unavailable = None
            self._ticks.start(_TICK, now=False)
        self._opening.callback(None)

    def refused(self, why: Failure) -> None:
        self._end()
        self._opening.errback(why)

    def committed(self, appends: Sequence[Append], numbered: Numbered, seconds: float) -> None:
        status = self.status
        status.repeats += sum([len(stored.repeated) for stored in numbered.stored])
        if numbered.drafts:
            status.commits += 1
            status.commit_seconds += seconds
            status.commit_last = seconds
            status.commit_longest = max(seconds, status.commit_longest)
            self._deliver(numbered.drafts, numbered.positions)
        for append, stored in zip(appends, numbered.stored, strict=True):
            self._account(append)
            append.answer.callback(stored)

    def failed(self, appends: Sequence[Append], why: str, error: Failure | None) -> None:
        if error is not None:
            self.log.failure("the history at {path} failed", failure=error, path=self._path)
            self.status.failures += 1
            if self._phase is Phase.OPEN:
                self.status.unavailable = why
                self._probe_delay = _FIRST_PROBE
                self._probe_later()
                assert self._receiver is not None
                self._receiver.became_unavailable(why)
        for append in appends:
            self._account(append)
            append.answer.errback(HistoryUnavailable(why))

    def still_failed(self, why: str, error: Failure, hopeless: bool) -> None:
        self.log.failure("the history at {path} cannot be recovered yet", failure=error, path=self._path)
        if self._phase is not Phase.OPEN:
            return
        self.status.unavailable = why
        if not hopeless:
            self._probe_later()

    def recovered(self, drafts: Sequence[Draft], positions: Sequence[int]) -> None:
        self.log.info("the history at {path} takes events again", path=self._path)
        if drafts:
            self._deliver(drafts, positions)
        if self._phase is Phase.OPEN:
            self.status.unavailable = None
            assert self._receiver is not None
            self._receiver.became_available()

    def removed(self, events: int) -> None:
        self.status.removed += events

    def closed(self, error: Failure | None) -> None:
        if error is not None:
            self.log.failure("the history at {path} was not closed well", failure=error, path=self._path)
        self._end()

    # Ours.

    def _read(
        self, read: Callable[..., Deferred[Result]], ask: Callable[..., Result], *arguments: object
    ) -> Deferred[Result]:
        if self._phase is not Phase.OPEN:
            return fail(HistoryUnavailable(self.status.unavailable))
        self.status.reads += 1
        return read(ask, self._writer.durable_head, *arguments)

    async def _all_topics(self) -> list[TopicState]:
        topics: list[TopicState] = []
        more = True
        while more:
            page = await self._read(self._readers.read, read_topics, topics[-1].topic if topics else "")
            topics.extend(page)
            more = len(page) == TOPICS_AT_ONCE
        return topics

    def _deliver(self, drafts: Sequence[Draft], positions: Sequence[int]) -> None:
        assert self._receiver is not None
        self.head = positions[-1]
        self.status.events += len(drafts)
        try:
            self._receiver.arrived(drafts, positions)
        except Exception:
            self.log.failure("the receiver of the history failed; the events are stored")

    def _account(self, append: Append) -> None:
        self.waiting -= len(append.drafts)
        self._characters -= append.characters

    def _probe_later(self) -> None:
        self._probe = self._clock.callLater(self._probe_delay, self._writer.put, Work.PROBE)
        self._probe_delay = min(2 * self._probe_delay, _LAST_PROBE)

    def _stop_timers(self) -> None:
        if self._ticks.running:
            self._ticks.stop()
        if self._probe is not None and self._probe.active():
            self._probe.cancel()

    def _end(self) -> None:
        self._phase = Phase.CLOSED
        closing, self._closing = self._closing, []
        for closed in closing:
            closed.callback(None)
