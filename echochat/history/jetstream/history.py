"""
The history in JetStream, as the reactor sees it.

There is one way back from every trouble (the broker gone, or silent, or without a quorum; the stream deleted):
nothing is acknowledged, everything that waits fails, and then the stream is looked for again, and made where it is
not there, until that succeeds. The server goes on meanwhile, also if this is so from its first second.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

from twisted.internet.defer import Deferred, TimeoutError, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from txaio.tx import make_logger
from zope.interface import implementer

from echochat.broker import Broker, BrokerUnavailable
from echochat.history.errors import HistoryRefused, HistoryUnavailable
from echochat.history.interface import IHistory, Receiver
from echochat.history.jetstream.api import JetStreamError
from echochat.history.jetstream.consumer import Consumer
from echochat.history.jetstream.publishing import WAITING, Publisher
from echochat.history.jetstream.reads import Reads
from echochat.history.jetstream.recovery import Recovery
from echochat.history.jetstream.rounds import Rounds
from echochat.history.jetstream.settings import Settings
from echochat.history.jetstream.standing import Standing
from echochat.history.jetstream.stream import Found, NoStream, Stream, StreamRefused
from echochat.history.records import Draft, Page, Status, Stored, TopicState

OPENING: Final = 10.0
"""
Seconds after which a server begins without its broker.
"""

CLOSING: Final = 5.0
"""
Seconds that what waits has to be acknowledged when the history is closed.
"""

_REMOVED: Final = "events were removed before they had arrived here"
_CLOSED: Final = "the history is closed"
_GONE: Final = "the broker cannot be reached"


class Phase(Enum):
    """
    Of a history's life. Whether it is available is another matter, see its status.
    """

    NEW = "made"
    OPEN = "open"
    CLOSING = "waiting for acknowledgements"
    CLOSED = "closed"


@implementer(IHistory)
class JetStreamHistory:
    """
    The history that servers share.

    :param reactor: whose thread this is used in.
    :param broker: is started and stopped by this; others may use it, too.
    :param settings: which stream, and how it is kept.
    :param clock: for deadlines and tries; the reactor, if not a test's.
    """

    log = make_logger()
    durable = True
    waiting_bound = WAITING

    def __init__(self, reactor: Any, broker: Broker, settings: Settings, clock: IReactorTime | None = None) -> None:
        self.head = 0
        self.status = Status(unavailable="the history is not open yet")
        self.broker = broker
        self.settings = settings
        self._clock: IReactorTime = reactor if clock is None else clock
        self._phase = Phase.NEW
        self._receiver: Receiver | None = None
        self._stream = Stream(broker, settings)
        self._standing = Standing(self._stream, self.status, lambda: max(self._consumer.position, self._publisher.last))
        self._consumer = Consumer(broker, settings.name, self._clock, self._deliver, self._verify, self._lose)
        self._publisher = Publisher(
            broker,
            settings.name,
            self._clock,
            self.status,
            lambda: self._consumer.position,
            self._consumer.gives,
            self._lose,
        )
        self._reads = Reads(broker, settings.name, self._stream.look, self._clock, lambda: self._can_read, self.status)
        self._name = settings.name
        self._recovery = Recovery(self._prepare, self._not_prepared, self._clock)
        self._rounds = Rounds(settings.name, self._clock, self.status, self._publisher, self.look, self._lose)
        self._opening: Deferred[None] = Deferred()
        self._closing: list[Deferred[None]] = []
        self._told = ""

    @property
    def epoch(self) -> str:
        """
        See :class:`IHistory`.
        """
        return self._standing.epoch

    @property
    def waiting(self) -> int:
        """
        See :class:`IHistory`.
        """
        return self._publisher.waiting

    # Called by the hub

    def open(self, receiver: Receiver) -> Deferred[None]:
        self._receiver = receiver
        self._phase = Phase.OPEN
        self.status.unavailable = "the broker has not been reached yet"
        self.broker.watch(self)
        self.broker.start()
        self._rounds.begin()
        if self.broker.is_connected:
            self._recovery.begin()
        return self._opening.addTimeout(OPENING, self._clock, _without_broker)

    def append(self, drafts: Sequence[Draft]) -> Deferred[Stored]:
        if self.status.unavailable is not None:
            return fail(HistoryUnavailable(self.status.unavailable))
        return self._publisher.append(drafts)

    def follow(self, topic: str) -> Deferred[None]:
        if self.status.unavailable is not None:
            return fail(HistoryUnavailable(self.status.unavailable))
        return self._consumer.follow(topic)

    def unfollow(self, topic: str) -> None:
        self._consumer.unfollow(topic)

    def read_after(self, topic: str, after: int, limit: int, max_bytes: int) -> Deferred[Page]:
        return self._reads.after(topic, after, limit, max_bytes)

    def read_before(self, topic: str, before: int | None, last: int, max_bytes: int) -> Deferred[Page]:
        return self._reads.before(topic, before, last, max_bytes)

    def topic(self, topic: str) -> Deferred[TopicState]:
        return self._reads.topic(topic)

    def topics(self) -> Deferred[list[TopicState]]:
        return self._reads.topics()

    def close(self) -> Deferred[None]:
        if self._phase in (Phase.NEW, Phase.CLOSED):
            self._phase = Phase.CLOSED
            self.status.unavailable = self.status.unavailable or _CLOSED
            return succeed(None)
        closing: Deferred[None] = Deferred()
        self._closing.append(closing)
        if self._phase is Phase.OPEN:
            self._phase = Phase.CLOSING
            self.status.unavailable = _CLOSED
            Deferred.fromCoroutine(self._close()).addErrback(
                lambda failure: self.log.failure("the history was not closed well", failure)
            )
        return closing

    # Called by the broker

    def broker_connected(self) -> None:
        self._recovery.begin()

    def broker_disconnected(self, why: str) -> None:
        self._recovery.stop()
        self._lose(_GONE)
        self._begin_anyway()

    # Ours

    @property
    def _can_read(self) -> bool:
        return self._phase is Phase.OPEN and self.epoch != "" and self.broker.is_connected

    async def _prepare(self) -> None:
        """
        Have the stream, receive what is followed, and take events again.

        :raises StreamRefused, BrokerUnavailable, JetStreamError: that is not possible now.
        """
        self._learn(await self._standing.prepare())
        await self._consumer.begin(self._consumer.position)
        if self._phase is not Phase.OPEN or self.status.unavailable is None:
            return
        self.status.unavailable = None
        self._told = ""
        if self._opening.called:
            assert self._receiver is not None
            self._receiver.became_available()
        self._begin_anyway()

    def _learn(self, found: Found) -> None:
        self._reads.learn(found)
        epoch = self._standing.epoch
        self._standing.learn(found)
        if not epoch:
            self.head = self._consumer.position = found.last
            return
        if found.epoch == epoch and found.has_all_behind(self._consumer.position):
            return
        assert self._receiver is not None
        self.head = self._consumer.position = self._publisher.last = found.last
        is_the_same = found.epoch == epoch
        self._receiver.interrupted(_REMOVED if is_the_same else "the stream is another one")

    def _not_prepared(self, failure: Failure) -> None:
        if not failure.check(StreamRefused, BrokerUnavailable, JetStreamError):
            self.log.failure("the stream {name} could not be prepared", failure=failure, name=self._name)
        why = failure.getErrorMessage()
        if failure.check(NoStream) and not self._opening.called:
            self._opening.errback(HistoryRefused(f"{self.broker.address}: {why}"))
            return
        if why != self._told:
            # Attempts go on for ever; each reason is told once.
            self._told = why
            self.log.error(
                "the history at {address} cannot be used: {why}", address=self.broker.address, name=self._name, why=why
            )
        self.status.unavailable = "the broker does not keep events now"
        self._begin_anyway()

    def _lose(self, why: str) -> None:
        """
        Nothing can be stored for now.
        """
        was_available = self.status.unavailable is None
        if self._phase is Phase.OPEN:
            self.status.unavailable = why
        self._consumer.stop()
        self._publisher.fail_all(why)
        if self._phase is not Phase.OPEN:
            return
        if was_available:
            self.status.failures += 1
            assert self._receiver is not None
            self._receiver.became_unavailable(why)
        if self.broker.is_connected:
            self._recovery.begin()

    def _begin_anyway(self) -> None:
        if not self._opening.called:
            self._opening.callback(None)

    def _deliver(self, drafts: list[Draft], positions: list[int]) -> None:
        if positions:
            self.head = positions[-1]
            assert self._receiver is not None
            try:
                self._receiver.arrived(drafts, positions)
            except Exception:
                self.log.failure("the receiver of the history failed; the events are stored")
        self._publisher.answer()

    async def look(self) -> None:
        """
        See what has become of the stream.

        :raises StreamChanged: it is another one.
        :raises BrokerUnavailable, JetStreamError: it cannot be seen.
        """
        self._reads.saw(await self._standing.look())

    async def _verify(self) -> None:
        """
        See whether a consumer can go on where another one has ended.

        :raises StreamChanged: it cannot.
        """
        self._reads.saw(await self._standing.verify(self._consumer.position))

    async def _close(self) -> None:
        try:
            await self._end()
        finally:
            closing, self._closing = self._closing, []
            for each in closing:
                each.callback(None)

    async def _end(self) -> None:
        idle = self._publisher.when_idle()
        try:
            await idle.addTimeout(CLOSING, self._clock)
        except TimeoutError:
            self.log.error("the broker did not acknowledge everything within {seconds:g} s", seconds=CLOSING)
        self._phase = Phase.CLOSED
        self.status.unavailable = _CLOSED
        self._rounds.end()
        self._recovery.stop()
        self.broker.unwatch(self)
        self._consumer.stop()
        self._publisher.fail_all(_CLOSED)
        self._publisher.stop()
        await self.broker.stop()


def _without_broker(result: object, timeout: float) -> None:
    """
    The broker is not there: the server begins all the same.
    """
