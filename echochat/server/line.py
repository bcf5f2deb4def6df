"""
The line protocol on a connection.

What a line means is the session's business, and what topics need the participant's; here is what a connection needs:
back-pressure, half-close, deadlines, and an end that is logged with its cause.
"""

from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from txaio.tx import make_logger
from zope.interface import implementer

from echochat.chat.effects import Close, Effect, LogIn, Renamed, UseToken
from echochat.chat.session import Session
from echochat.net.limits import source_of
from echochat.net.progress import unsent
from echochat.net.tls import peer_name
from echochat.server.login import Login
from echochat.server.participant import Participant
from echochat.wire.answers import Bye, Drain

if TYPE_CHECKING:
    from echochat.server.factory import EchoChatFactory


MOST_WAITING: Final = 16
"""
Replies that a connection may wait for before it is not read from: a run of publishes that came together is one.
"""


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
class EchoChatProtocol(Protocol):
    """
    One client's connection.

    It is the transport's producer: while the client does not take what it was sent, nothing more is read from it, so
    it costs a bounded amount of memory. A connection that is not read from does not notice that its peer has gone;
    the stall deadline ends it.

    :ivar number: identifies the connection in the log.
    :ivar full: whether the client does not take what it was sent: subscriptions wait then.
    """

    log = make_logger()

    factory: "EchoChatFactory"
    transport: Any

    def __init__(self, number: int, session: Session, source: str, is_remote: bool) -> None:
        self.number = number
        self.source = source
        self.is_remote = is_remote
        self._session = session
        self._state = State.OPEN
        self._participant: Participant | None = None
        self._login: Login | None = None
        self._close_when_answered: Close | None = None
        self._crowded = False
        self._performing = False
        self.full = False
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
        self._session.person.is_private = not self.is_remote or ISSLTransport.providedBy(self.transport)
        name = peer_name(self.transport)
        if name is not None:
            self._identify().certify(name)

    def dataReceived(self, data: bytes) -> None:
        self._bytes_in += len(data)
        answer = self._session.answer(data)
        if answer is not None:
            self._bytes_out += len(answer)
            self.transport.write(answer)
        elif self._state is State.OPEN:
            self._receive(data)
        if self._idle is not None and self._state is State.OPEN and not self.full:
            self._idle.set(self)

    def pauseProducing(self) -> None:
        self.full = True
        self.transport.pauseProducing()
        if self._state is not State.CLOSING:
            self._stalled_at = unsent(self.transport)
            self.factory.stall.set(self)
            # Who is not read from cannot say anything.
            self.factory.idle.clear(self)

    def resumeProducing(self) -> None:
        self.full = False
        self.factory.stall.clear(self)
        self.factory.idle.set(self)
        self._read_on()
        self.flush()
        if self._participant is not None and self._state is State.OPEN:
            self._participant.wake()

    def stopProducing(self) -> None:
        """
        The connection is lost; :meth:`connectionLost` follows.
        """

    def readConnectionLost(self) -> None:
        self._peer_has_closed = True
        if self._state is State.CLOSING:
            self.factory.closer.finish(self.transport)
        else:
            self.dismiss(Close("the client closed"))

    def writeConnectionLost(self) -> None:
        """
        Our half is closed, as we asked.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._cause:
            self._cause = "the client closed" if reason.check(ConnectionDone) else "the connection was lost"
        elif reason.check(ConnectionAborted):
            self._cause += ", and the client did not let go in time"
        self._end_session(State.GONE)
        self.factory.disconnected(self)
        counters = self.factory.exchange.counters
        counters.lines += self._session.lines
        counters.ended[self._cause] = counters.ended.get(self._cause, 0) + 1
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

    # Called by the participant

    def deliver(self, data: bytes, lines: int) -> None:
        """
        Send events.
        """
        self._bytes_out += len(data)
        self._lines_out += lines
        self.factory.exchange.counters.deliveries += lines
        self.transport.write(data)

    def flush(self) -> None:
        """
        Send the replies that are due, and go on with what waited for them.
        """
        if self._performing or (self._state is not State.OPEN and self._state is not State.LEAVING):
            return
        session = self._session
        self._send_due()
        # One line that waited after the other, and its reply sent before the next: whoever does not read the replies
        # is not given more of them.
        while session.can_go_on and not self.full:
            self._do(session.go_on())
            self._send_due()
        session.settle()
        answered = not session.replies.waiting and not session.holds
        if self._close_when_answered is not None:
            if answered:
                self._close(self._close_when_answered.cause, self._close_when_answered.bye)
        elif self._crowded and not session.holds and session.replies.waiting < MOST_WAITING:
            self._crowded = False
            self._read_on()

    # Called by the login

    def renamed(self, renamed: Renamed) -> None:
        """
        Others knew this person by another name.
        """
        if self._participant is not None:
            self._participant.renamed(renamed)

    def dismiss(self, close: Close) -> None:
        """
        Close as soon as everything that was asked before has been answered.
        """
        if self._state is State.OPEN:
            self._state = State.LEAVING
            self._close_when_answered = close
            self.flush()

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

    @property
    def known_name(self) -> str | None:
        """
        The client's name, if it was ever shown to anybody.
        """
        return self._session.person.known_name

    @property
    def lines(self) -> int:
        """
        How many lines the client has sent.
        """
        return self._session.lines

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

    def be_kicked(self, why: str) -> bool:
        """
        An operator wants this client gone.

        :return: False: it is about to be gone already.
        """
        was_here = self._state is State.OPEN or self._state is State.LEAVING
        self._close("kicked", Bye("banned", why))
        return was_here

    def look_again(self) -> None:
        """
        Accounts or access rules have changed: somebody who may not be here as they are is asked to come again.
        """
        person = self._session.person
        if not self.factory.admission.still_knows(person):
            self._close("the account is gone", Bye("login-failures", "there is no such account any more"))
            return
        if self._login is not None and not self._login.is_still_good:
            self._close("the token was withdrawn", Bye("login-failures", "your token is not good any more"))
            return
        person.forget_permissions()
        # What guests may do may have changed, too, and whether their messages are answered is not asked for each.
        self._session.settle()
        if self._participant is not None and self._participant.follows_what_is_denied:
            self._close("access has changed", Bye("restarted", "you may not follow all these topics any more"))

    def leave(self) -> None:
        """
        The server is going away now.
        """
        self._close("the server is draining", Bye("draining", "the server is going away: reconnect"))

    # Ours

    def _receive(self, data: bytes) -> None:
        waiting_for_first = not self._session.started
        self._perform(self._session.receive(data))
        if waiting_for_first and self._session.started:
            self.factory.first_line.clear(self)
        session = self._session
        if self._state is State.OPEN and (session.holds or session.replies.waiting >= MOST_WAITING):
            self._crowded = True
            self.transport.pauseProducing()

    def _perform(self, effects: list[Effect]) -> None:
        self._do(effects)
        self.flush()

    def _do(self, effects: list[Effect]) -> None:
        """
        Do what the session asks. What is answered at once is sent together, when all is done.
        """
        self._performing = True
        try:
            for effect in effects:
                if isinstance(effect, Close):
                    self._close_when_answered = effect
                    self._state = State.LEAVING
                elif isinstance(effect, LogIn | UseToken):
                    self._identify().perform(effect)
                else:
                    self._participate().perform(effect)
        finally:
            self._performing = False

    def _send_due(self) -> None:
        self._send(self._session.replies.take())
        if self._participant is not None:
            self._participant.replies_sent()

    def _identify(self) -> Login:
        if self._login is None:
            factory = self.factory
            source = source_of(self.transport.getPeer()) or self.host or "local"
            self._login = Login(factory.clock, factory.admission, self._session, source, self)
        return self._login

    def _participate(self) -> Participant:
        if self._participant is None:
            self._participant = Participant(self.factory.exchange, self._session, self)
        return self._participant

    def _read_on(self) -> None:
        if not self.full and not self._crowded and not self._peer_has_closed:
            self.transport.resumeProducing()

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
        self._end_session(State.CLOSING)
        self.factory.forget(self)
        self.factory.closer.close(self.transport, self._peer_has_closed)

    def _end_session(self, state: State) -> None:
        before, self._state = self._state, state
        # In that state nothing is answered: what is given up now has no reply, and lets nothing begin that waited.
        if before is State.OPEN or before is State.LEAVING:
            if self._login is not None:
                self._login.end()
            if self._participant is not None:
                self._participant.end()
            self._session.end()
