"""
One subscription of one connection: gives its connection what its cursor says is next, as fast as the connection takes
it, and no faster.
"""

from itertools import islice
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.chat.events import encode_events
from echochat.chat.topics import Cursor, Send
from echochat.history.errors import HistoryCorrupt, HistoryUnavailable
from echochat.history.records import Page, TopicState
from echochat.server.exchange import Exchange
from echochat.server.outlet import NOWHERE, Outlet
from echochat.server.rank import FEW, SendingRank
from echochat.wire.answers import Gap, Joined, Parted

PAGE_EVENTS: Final = 256
PAGE_BYTES: Final = 49_152
"""
What is read of the history at once, for one subscriber that is behind. While a page is made, and sent, others wait: the
99th percentile of an echo beside 100 replays was 0.8 ms with pages of 500 events, 0.5 ms with 256, and 0.4 ms with 128,
where the replays reached 530,000, 450,000 and 310,000 events/s.
"""

PRESENCE_LINES: Final = 256
"""
Who came and who went, told at once: at most 43 KiB.
"""

AGAIN: Final = 1.0
"""
Seconds until a read that failed is tried again.
"""


class ReadingTurns:
    """
    Lets the subscriptions of one connection read the history one at a time, in turns.

    A page that was asked for is sent when it comes, even if the connection has become full meanwhile. So what a
    connection may have to hold is one page: if each of its 128 subscriptions read for itself, it would be 12 MiB.

    :param outlet: the connection; nothing is read while it is full.
    """

    __slots__ = ("_choosing", "_outlet", "_reader", "_waiting")

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        # A tuple: hardly ever is there anything in it, and an empty dictionary is 64 bytes of each connection.
        self._waiting: tuple[Subscription, ...] = ()
        self._reader: Subscription | None = None
        self._choosing = False

    def ask(self, subscription: "Subscription") -> None:
        """
        Have a subscription's :meth:`Subscription.read` called when its turn comes. Ask again when the connection takes
        more: while it is full no turn comes.
        """
        if subscription not in self._waiting:
            self._waiting = (*self._waiting, subscription)
        self._choose()

    def over(self, subscription: "Subscription") -> None:
        """
        A subscription has read, or will not.
        """
        self._waiting = tuple(each for each in self._waiting if each is not subscription)
        if self._reader is subscription:
            self._reader = None
            self._choose()

    def end(self) -> None:
        """
        The connection is gone: no turn comes any more.
        """
        self._outlet = NOWHERE

    def _choose(self) -> None:
        # A history that answers at once ends the turn within read(): the next one is chosen here, not within that.
        if self._choosing:
            return
        self._choosing = True
        try:
            while self._reader is None and self._waiting and not self._outlet.full:
                self._reader, *rest = self._waiting
                self._waiting = tuple(rest)
                self._reader.read()
        finally:
            self._choosing = False


class Subscription:
    """
    Follows a topic for a connection.

    It is in one of four conditions: up to date or catching up in memory, when :meth:`wake` takes from the cursor; in
    its topic's rank, which is given what comes, and :meth:`wake` does nothing; reading, when a page of the history is
    on its way, and :meth:`wake` leaves it alone; waiting for the connection, which is full, or for its turn to read.

    :ivar cursor: set when the subscription begins.
    :ivar user: under whose name it is counted; None: it is a guest's.
    """

    __slots__ = ("_again", "_exchange", "_floor", "_outlet", "_reading", "_send", "_turns", "cursor", "topic", "user")

    log = make_logger()

    cursor: Cursor

    def __init__(self, exchange: Exchange, outlet: Outlet, turns: ReadingTurns, topic: str) -> None:
        self.topic = topic
        self.user: str | None = None
        self._exchange = exchange
        self._outlet = outlet
        self._turns = turns
        self._reading: Deferred[Any] | None = None
        self._again: IDelayedCall | None = None
        self._floor = 0
        # Set while it stands in the rank.
        self._send: Send | None = None

    # Called by the hub, and by the connection when it takes more

    def wake(self) -> None:
        outlet = self._outlet
        if self._send is not None or outlet.full or self._reading is not None:
            return
        cursor = self.cursor
        while cursor.changes:
            self._tell_presence(cursor.changes)
            if self._outlet.full:
                return
        while True:
            data, lines = cursor.take()
            if not lines:
                break
            outlet.deliver(data, lines)
            # Not the outlet of before: the subscription may have ended meanwhile.
            if self._outlet.full:
                return
            if cursor.at >= cursor.log.head:
                break
        if cursor.at < cursor.log.floor:
            if self._again is None:
                self._turns.ask(self)
        elif cursor.log.followers >= FEW and cursor.changes is None:
            self._fall_in()

    # Called by the rank

    def count(self, size: int, lines: int) -> None:
        self._outlet.count(size, lines)

    def catch_up(self, rest: bytes) -> None:
        self._outlet.resend(rest)

    # Called by the rank, and by the connection: something waits to be sent

    def fall_out(self) -> None:
        """
        Leave the rank, if this stands in it.
        """
        send, self._send = self._send, None
        if send is not None:
            rank = self.cursor.log.rank
            assert rank is not None
            rank.leave(self, send)

    # Called by the connection

    def end(self) -> None:
        """
        Take nothing any more.
        """
        self.fall_out()
        self._outlet = NOWHERE
        if self._reading is not None:
            self._reading.cancel()
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._turns.over(self)

    # Called when its turn has come

    def read(self) -> None:
        """
        Read the next page of the history.
        """
        # A read finds whatever the hub knew when it began; what memory loses during the read is not of that.
        self._floor = self.cursor.log.floor
        reading = self._exchange.history.read_after(self.topic, self.cursor.at, PAGE_EVENTS, PAGE_BYTES)
        self._reading = reading
        reading.addCallbacks(self._give, self._failed)
        reading.addErrback(self._broken)

    # Ours

    def _fall_in(self) -> None:
        if not self._exchange.hub.is_level(self.cursor):
            return
        send = self._outlet.lend()
        if send is None:
            return
        log = self.cursor.log
        if log.rank is None:
            log.rank = SendingRank(log, self._exchange.counters, self._exchange.interlude)
        if log.rank.enter(self, send):
            self._send = send

    def _tell_presence(self, changes: dict[str, bool]) -> None:
        told = list(islice(changes.items(), PRESENCE_LINES))
        for name, _ in told:
            del changes[name]
        lines = [(Joined if came else Parted)(self.topic, name).encode() for name, came in told]
        self._outlet.deliver(b"".join(lines), len(lines))

    def _give(self, page: Page) -> None:
        self._reading = None
        cursor, gap = self.cursor, b""
        if page.floor > cursor.at:
            gap = self._skip(page.floor)
        if page.events:
            cursor.at = max(cursor.at, page.events[-1].position)
        if page.complete:
            # Between what was read and the memory's floor lies nothing.
            cursor.at = max(cursor.at, self._floor)
        # The cursor is where it will be before anything is sent: sending may wake this again.
        if gap or page.events:
            self._outlet.deliver(gap + encode_events(page.events), bool(gap) + len(page.events))
        self._go_on()

    def _failed(self, failure: Failure) -> None:
        self._reading = None
        if self._outlet is NOWHERE:
            return
        corrupt = failure.value
        if isinstance(corrupt, HistoryCorrupt):
            self.log.error(
                "the history of {topic} is damaged behind {position}: {why}",
                topic=self.topic,
                position=self.cursor.at,
                why=failure.getErrorMessage(),
            )
            # What is damaged is not served: say so, and go on behind it, or, where that is not known, with what is in
            # memory.
            if corrupt.beyond is not None:
                self._leave_out(corrupt.beyond)
            else:
                # A gap up to the memory's floor, which is of all topics, would have its reader resume beyond the
                # topic's last position, and that is refused.
                self._reading = asked = self._exchange.history.topic(self.topic)
                asked.addBoth(self._leave_out_all).addErrback(self._broken)
            return
        if not isinstance(failure.value, HistoryUnavailable):
            self.log.failure("a page of the history could not be read", failure)
        self._try_later()

    def _leave_out(self, beyond: int) -> None:
        upto = beyond if self.cursor.at < beyond < self._floor else self._floor
        self._outlet.deliver(self._skip(upto), 1)
        self._go_on()

    def _leave_out_all(self, found: TopicState | Failure) -> None:
        self._reading = None
        if self._outlet is NOWHERE:
            return
        head = self._floor if isinstance(found, Failure) else found.head
        gap = self._skip(head if self.cursor.at < head < self._floor else self._floor)
        self.cursor.at = self._floor
        self._outlet.deliver(gap, 1)
        self._go_on()

    def _broken(self, failure: Failure) -> None:
        self.log.failure("a subscription failed", failure)
        self._try_later()

    def _try_later(self) -> None:
        if self._again is None:
            self._again = self._exchange.clock.callLater(AGAIN, self._try_again)
        self._turns.over(self)

    def _try_again(self) -> None:
        self._again = None
        self.wake()

    def _go_on(self) -> None:
        self._turns.over(self)
        self.wake()

    def _skip(self, upto: int) -> bytes:
        self._exchange.counters.gaps += 1
        gap = Gap(self.topic, self.cursor.at, upto).encode()
        self.cursor.at = upto
        return gap
