"""
What every connection of a server needs, whatever is said on it: back-pressure, half-close, a stall deadline, and an
end that is polite, has a deadline, and is logged with its cause.
"""

from abc import ABC, abstractmethod
from enum import Enum
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from txaio.tx import make_logger
from zope.interface import implementer

from echochat.chat.topics import Send
from echochat.net.lean import lend
from echochat.net.progress import unsent
from echochat.wire.answers import Bye


class State(Enum):
    """
    Where a connection is in its life.
    """

    OPEN = "open"
    # Nothing more is read; replies that are not known yet are waited for, then it closes.
    LEAVING = "leaving"
    CLOSING = "closing"
    GONE = "gone"


@implementer(IHalfCloseableProtocol, IPushProducer)
class Connection(Protocol, ABC):
    """
    One client's connection.

    It is the transport's producer: while the client does not take what it was sent, nothing more is read from it, so
    it costs a bounded amount of memory. A connection that is not read from does not notice that its peer has gone;
    the stall deadline ends it.

    :ivar number: identifies the connection in the log.
    :ivar full: whether the client does not take what it was sent: subscriptions wait then.
    """

    log = make_logger()

    # The factory of the kind of connection, for its deadlines, counters and settings.
    factory: Any
    transport: Any

    def __init__(self, number: int) -> None:
        self.number = number
        self.full = False
        self._state = State.OPEN
        self._peer_has_closed = False
        self._cause = ""
        self._bytes_in = 0
        self._bytes_out = 0
        self._lines_out = 0
        # What the client had taken when it was last looked at. What waits says less: more may have been added.
        self._taken = 0

    # Called by Twisted

    def connectionMade(self) -> None:
        self._began = self.factory.clock.seconds()
        self.transport.registerProducer(self, True)

    def pauseProducing(self) -> None:
        self._fall_out()
        self.full = True
        self.transport.pauseProducing()
        if self._state is not State.CLOSING:
            self._taken = self._bytes_out - unsent(self.transport)
            self.factory.stall.set(self)
            # Who is not read from cannot say anything.
            self.factory.idle.clear(self)

    def resumeProducing(self) -> None:
        self.full = False
        self.factory.stall.clear(self)
        self.factory.idle.set(self)
        self._read_on()
        self._go_on()

    def stopProducing(self) -> None:
        """
        The connection is lost; :meth:`connectionLost` follows.
        """

    def readConnectionLost(self) -> None:
        self._peer_has_closed = True
        if self._state is State.CLOSING:
            self.factory.closer.finish(self.transport)
        else:
            self._hear_the_end()

    def writeConnectionLost(self) -> None:
        """
        Our half is closed, as we asked.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._cause:
            self._cause = "the client closed" if reason.check(ConnectionDone) else "the connection was lost"
        elif reason.check(ConnectionAborted):
            self._cause += ", and the client did not let go in time"
        self._end(State.GONE)
        self.factory.disconnected(self)
        counters = self.factory.exchange.counters
        counters.lines += self.lines
        counters.ended[self._cause] = counters.ended.get(self._cause, 0) + 1
        self.log.info(
            "connection {number} from {peer} ended after {seconds:.3f} s: {cause}; "
            "in {lines_in} lines, {bytes_in} bytes; out {lines_out} lines, {bytes_out} bytes",
            number=self.number,
            peer=self.peer,
            seconds=self.factory.clock.seconds() - self._began,
            cause=self._cause,
            lines_in=self.lines,
            bytes_in=self._bytes_in,
            lines_out=self.lines_echoed + self._lines_out,
            bytes_out=self._bytes_out,
        )

    # Called by the transport

    def called_back(self) -> None:
        """
        Something waits to be sent, or the connection closes: nothing may be sent past it.
        """
        self._fall_out()

    # Called by subscriptions

    def deliver(self, data: bytes, lines: int) -> None:
        """
        Send events.
        """
        self._bytes_out += len(data)
        self._lines_out += lines
        self.factory.exchange.counters.deliveries += lines
        self.transport.write(data)

    def lend(self) -> Send | None:
        return lend(self.transport, self)

    def count(self, size: int, lines: int) -> None:
        self._bytes_out += size
        self._lines_out += lines

    def resend(self, rest: bytes) -> None:
        self.transport.write(rest)

    # Called by the factory

    @property
    def peer(self) -> str:
        """
        Where the client is, for people.
        """
        address = self.transport.getPeer()
        host = getattr(address, "host", None)
        return "a UNIX socket" if host is None else f"{host}:{address.port}"

    @property
    def host(self) -> str:
        """
        The client's address, without the port; empty on a UNIX socket.
        """
        return str(getattr(self.transport.getPeer(), "host", ""))

    def is_stalled(self) -> None:
        """
        The client had all the time there is to take something.
        """
        taken = self._bytes_out - unsent(self.transport)
        if taken > self._taken:
            self._taken = taken
            self.factory.stall.set(self)
            return
        seconds = self.factory.settings.stall
        self._close("the client stopped reading", Bye("slow", f"nothing was taken for {seconds:g} seconds"))

    # Ours

    def _send(self, answer: bytes) -> None:
        if answer:
            self._bytes_out += len(answer)
            self._lines_out += answer.count(b"\n") + answer.count(b"\r\0")
            self.transport.write(answer)

    def _close(self, cause: str, bye: Bye | None = None) -> None:
        if self._state is not State.OPEN and self._state is not State.LEAVING:
            return
        self._cause = cause
        if bye is not None:
            self._send(bye.encode())
        self._end(State.CLOSING)
        self.factory.forget(self)
        self.factory.closer.close(self.transport, self._peer_has_closed)

    # Ours, of each kind of connection

    @property
    @abstractmethod
    def lines(self) -> int:
        """
        How many lines the client has sent.
        """

    @property
    @abstractmethod
    def lines_echoed(self) -> int:
        """
        How many lines were sent without :meth:`_send`.
        """

    @abstractmethod
    def _read_on(self) -> None:
        """
        The client takes what it is sent: read from it, unless something else is in the way.
        """

    @abstractmethod
    def _go_on(self) -> None:
        """
        The client takes more.
        """

    @abstractmethod
    def _fall_out(self) -> None:
        """
        Nothing may be sent but by :meth:`_send` and :meth:`deliver`, until it is lent again.
        """

    @abstractmethod
    def _hear_the_end(self) -> None:
        """
        The client sends nothing more.
        """

    @abstractmethod
    def _end(self, state: State) -> None:
        """
        Enter this state, closing or gone, and give back what the connection holds.
        """
