"""
The line protocol on a connection.

What a line means is the session's business; here is what a connection needs: back-pressure, half-close, deadlines,
and an end that is logged with its cause.
"""

from enum import Enum
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from txaio.tx import make_logger
from zope.interface import implementer

from echochat.chat.session import Session
from echochat.net.progress import unsent
from echochat.wire.answers import Bye, Drain

if TYPE_CHECKING:
    from echochat.server.factory import EchoChatFactory


class State(Enum):
    """
    Where a connection is in its life.
    """

    OPEN = "open"
    CLOSING = "closing"
    GONE = "gone"


@implementer(IHalfCloseableProtocol, IPushProducer)
class EchoChatProtocol(Protocol):
    """
    One client's connection.

    It is the transport's producer: while the client does not take what it was sent, nothing more is read from it, so
    it costs a bounded amount of memory. A connection that is not read from does not notice that its peer has gone;
    the stall deadline ends it.

    :ivar number: identifies the connection in the log.
    """

    log = make_logger()

    factory: "EchoChatFactory"
    transport: Any

    def __init__(self, number: int, session: Session, source: str) -> None:
        self.number = number
        self.source = source
        self._session = session
        self._state = State.OPEN
        self._peer_has_closed = False
        self._cause = ""
        self._bytes_in = 0
        self._bytes_out = 0
        self._lines_out = 0
        self._stalled_at = 0

    # Called by Twisted

    def connectionMade(self) -> None:
        self._began = self.factory.clock.seconds()
        self._idle = self.factory.idle if self.factory.idle.seconds else None
        self.transport.registerProducer(self, True)
        self.factory.connected(self)

    def dataReceived(self, data: bytes) -> None:
        self._bytes_in += len(data)
        answer = self._session.answer(data)
        if answer is not None:
            self._bytes_out += len(answer)
            self.transport.write(answer)
        elif self._state is State.OPEN:
            self._receive(data)
        if self._idle is not None and self._state is State.OPEN:
            self._idle.set(self)

    def pauseProducing(self) -> None:
        self.transport.pauseProducing()
        if self._state is State.OPEN:
            self._stalled_at = unsent(self.transport)
            self.factory.stall.set(self)

    def resumeProducing(self) -> None:
        self.factory.stall.clear(self)
        if not self._peer_has_closed:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """
        The connection is lost; :meth:`connectionLost` follows.
        """

    def readConnectionLost(self) -> None:
        self._peer_has_closed = True
        if self._state is State.CLOSING:
            self.factory.closer.finish(self.transport)
        else:
            self._close("the client closed")

    def writeConnectionLost(self) -> None:
        """
        Our half is closed, as we asked.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._cause:
            self._cause = "the client closed" if reason.check(ConnectionDone) else "the connection was lost"
        elif reason.check(ConnectionAborted):
            self._cause += ", and the client did not let go in time"
        self._state = State.GONE
        self._session.end()
        self.factory.disconnected(self)
        self.log.info(
            "connection {number} from {peer} ended after {seconds:.3f} s: {cause}; "
            "in {lines_in} lines, {bytes_in} bytes; out {lines_out} lines, {bytes_out} bytes",
            number=self.number,
            peer=self.peer,
            seconds=self.factory.clock.seconds() - self._began,
            cause=self._cause,
            lines_in=self._session.lines,
            bytes_in=self._bytes_in,
            lines_out=self._session.echoed + self._lines_out,
            bytes_out=self._bytes_out,
        )

    # Called by the factory

    @property
    def peer(self) -> str:
        """
        Where the client is, for people.
        """
        address = self.transport.getPeer()
        host = getattr(address, "host", None)
        return "a UNIX socket" if host is None else f"{host}:{address.port}"

    def first_line_is_late(self) -> None:
        """
        The connection has said nothing.
        """
        seconds = self.factory.settings.first_line
        self._close("no first line in time", Bye("idle", f"the first line did not come within {seconds:g} seconds"))

    def is_idle(self) -> None:
        """
        The connection has said nothing for long.
        """
        seconds = self.factory.settings.idle
        self._close("idle", Bye("idle", f"no line came for {seconds:g} seconds"))

    def is_stalled(self) -> None:
        """
        The client had all the time there is to take something.
        """
        waiting = unsent(self.transport)
        if waiting < self._stalled_at:
            self._stalled_at = waiting
            self.factory.stall.set(self)
            return
        seconds = self.factory.settings.stall
        self._close("the client stopped reading", Bye("slow", f"nothing was taken for {seconds:g} seconds"))

    def announce_drain(self, seconds: float) -> None:
        """
        Tell the client that the server is going away.
        """
        if self._state is State.OPEN:
            self._send(Drain(round(seconds)).encode())

    def leave(self) -> None:
        """
        The server is going away now.
        """
        self._close("the server is draining", Bye("draining", "the server is going away: reconnect"))

    # Ours

    def _receive(self, data: bytes) -> None:
        waiting_for_first = not self._session.started
        effects = self._session.receive(data)
        self._send(self._session.replies.take())
        if waiting_for_first and self._session.started:
            self.factory.first_line.clear(self)
        for effect in effects:
            self._close(effect.cause, effect.bye)

    def _send(self, answer: bytes) -> None:
        if answer:
            self._bytes_out += len(answer)
            self._lines_out += answer.count(b"\n") + answer.count(b"\r\0")
            self.transport.write(answer)

    def _close(self, cause: str, bye: Bye | None = None) -> None:
        if self._state is not State.OPEN:
            return
        self._cause = cause
        if bye is not None:
            self._send(bye.encode())
        self._state = State.CLOSING
        self._session.end()
        self.factory.forget(self)
        self.factory.closer.close(self.transport, self._peer_has_closed)
