"""
One subscription of one connection: gives its connection what its cursor says is next, as fast as the connection takes
it, and no faster.
"""

from typing import Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.chat.events import encode_events
from echochat.chat.topics import Cursor
from echochat.history.errors import HistoryCorrupt
from echochat.history.records import Page
from echochat.server.exchange import Exchange
from echochat.wire.answers import Gap, Joined, Parted

PAGE_EVENTS: Final = 500
PAGE_BYTES: Final = 49_152
"""
What is read of the history at once, for one subscriber that is behind.
"""

AGAIN: Final = 1.0
"""
Seconds until a read that failed is tried again.
"""


class Outlet(Protocol):
    """
    The connection of a subscription.

    :ivar full: whether it takes no more for now; it wakes the subscription when it does again.
    """

    full: bool

    def deliver(self, data: bytes, lines: int) -> None:
        """
        Send these lines.
        """


class Subscription:
    """
    Follows a topic for a connection.

    It is in one of three conditions: up to date or catching up in memory, when :meth:`wake` takes from the cursor;
    reading, when a page of the history is on its way, and :meth:`wake` leaves it alone; waiting for the connection,
    which is full.

    :ivar cursor: set when the subscription begins.
    """

    __slots__ = ("_again", "_exchange", "_floor", "_outlet", "_reading", "cursor", "topic")

    log = make_logger()

    cursor: Cursor

    def __init__(self, exchange: Exchange, outlet: Outlet, topic: str) -> None:
        self.topic = topic
        self._exchange = exchange
        self._outlet = outlet
        self._reading: Deferred[Page] | None = None
        self._again: IDelayedCall | None = None
        self._floor = 0

    # Called by the hub, and by the connection when it takes more

    def wake(self) -> None:
        outlet = self._outlet
        if outlet.full or self._reading is not None:
            return
        cursor = self.cursor
        if cursor.changes:
            self._tell_presence(cursor)
        while True:
            data, lines = cursor.take()
            if not lines:
                break
            outlet.deliver(data, lines)
            if outlet.full or cursor.at >= cursor.log.head:
                return
        if cursor.at < cursor.log.floor and self._again is None:
            self._read_on()

    # Called by the connection

    def end(self) -> None:
        """
        Take nothing any more.
        """
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
        if self._again is not None:
            self._again.cancel()
            self._again = None

    # Ours

    def _tell_presence(self, cursor: Cursor) -> None:
        changes, cursor.changes = cursor.changes, {}
        lines = [(Joined if came else Parted)(self.topic, name).encode() for name, came in (changes or {}).items()]
        self._outlet.deliver(b"".join(lines), len(lines))

    def _read_on(self) -> None:
        # A read finds whatever the hub knew when it began; what memory loses during the read is not of that.
        self._floor = self.cursor.log.floor
        reading = self._exchange.history.read_after(self.topic, self.cursor.at, PAGE_EVENTS, PAGE_BYTES)
        self._reading = reading
        reading.addCallbacks(self._give, self._failed)
        reading.addErrback(self._broken)

    def _give(self, page: Page) -> None:
        self._reading = None
        cursor = self.cursor
        if page.floor > cursor.at:
            self._tell_gap(page.floor)
        if page.events:
            cursor.at = max(cursor.at, page.events[-1].position)
            self._outlet.deliver(encode_events(page.events), len(page.events))
        if page.complete:
            # Between what was read and the memory's floor lies nothing.
            cursor.at = max(cursor.at, self._floor)
        self.wake()

    def _failed(self, failure: Failure) -> None:
        self._reading = None
        if failure.check(CancelledError):
            return
        if failure.check(HistoryCorrupt):
            # What is damaged is not served, and what lies behind it can not be found: say so, and go on with what is
            # in memory.
            self.log.error(
                "the history of {topic} is damaged behind {position}: {why}",
                topic=self.topic,
                position=self.cursor.at,
                why=failure.getErrorMessage(),
            )
            self._tell_gap(max(self._floor, self.cursor.at))
            self.wake()
        else:
            self._again = self._exchange.clock.callLater(AGAIN, self._try_again)

    def _broken(self, failure: Failure) -> None:
        self._reading = None
        self.log.failure("a subscription failed", failure)
        self._again = self._exchange.clock.callLater(AGAIN, self._try_again)

    def _try_again(self) -> None:
        self._again = None
        self.wake()

    def _tell_gap(self, upto: int) -> None:
        self._exchange.counters.gaps += 1
        self._outlet.deliver(Gap(self.topic, self.cursor.at, upto).encode(), 1)
        self.cursor.at = upto
