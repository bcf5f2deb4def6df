"""
The line protocol on a connection.

What a line means is the session's business, what topics need the participant's, and what any connection needs is in
the base class; here they are brought together.
"""

from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import ISSLTransport

from echochat.chat.effects import Close, Effect, LogIn, Renamed, UseToken
from echochat.chat.person import GUEST
from echochat.chat.session import Session
from echochat.net.limits import source_of
from echochat.net.tls import peer_name
from echochat.server.connection import Connection, State
from echochat.server.login import Login
from echochat.server.participant import Participant
from echochat.wire.answers import Bye, Drain

if TYPE_CHECKING:
    from echochat.server.factory import EchoChatFactory

MOST_WAITING: Final = 16
"""
Replies that a connection may wait for before it is not read from: a run of publishes that came together is one.
"""


class EchoChatProtocol(Connection):
    """
    A connection on which lines are spoken.
    """

    factory: "EchoChatFactory"

    def __init__(self, number: int, session: Session, source: str, is_remote: bool) -> None:
        super().__init__(number)
        self.source = source
        self.is_remote = is_remote
        self._session = session
        self._participant: Participant | None = None
        self._login: Login | None = None
        self._close_when_answered: Close | None = None
        self._crowded = False
        self._performing = False

    # Called by Twisted

    def connectionMade(self) -> None:
        super().connectionMade()
        self._idle = self.factory.idle if self.factory.idle.seconds else None
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

    # Called by the transport

    def answer_in_passing(self, data: bytes) -> int:
        """
        Answer the whole lines of this, if they are nothing but messages, and nobody else hears of this client: whoever
        follows something may be in the middle of being sent to.

        :return: how many bytes were answered.
        """
        if self._participant is not None or self._state is not State.OPEN:
            return 0
        lines = data[: data.rfind(b"\n") + 1]
        answer = self._session.answer(lines) if lines else None
        if answer is None:
            return 0
        self._bytes_in += len(lines)
        self._bytes_out += len(answer)
        self.transport.write(answer)
        if self._idle is not None and not self.full:
            self._idle.set(self)
        return len(lines)

    # Called by the participant

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
        elif self._crowded and not session.holds and self._may_wait_for_more():
            self._crowded = False
            self._read_on()

    # Called by the login

    def renamed(self, renamed: Renamed) -> None:
        """
        Others knew this person by another name.
        """
        if self._participant is not None:
            self._participant.renamed(renamed)

    def displace(self, name: str) -> None:
        """
        This person has shown that a name is theirs, which a guest on another connection has.
        """
        self.factory.displace_guest(name)

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
    def known_name(self) -> str | None:
        """
        The client's name, if it was ever shown to anybody.
        """
        return self._session.person.known_name

    @property
    def is_guest(self) -> bool:
        """
        Whether the client has not shown who they are.
        """
        return self._session.person.kind == GUEST

    @property
    def lines(self) -> int:
        """
        How many lines the client has sent.
        """
        return self._session.lines

    @property
    def lines_echoed(self) -> int:
        return self._session.echoed

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

    def announce_drain(self, seconds: float) -> None:
        """
        Tell the client that the server is going away.
        """
        if self._state is State.OPEN:
            self._send(Drain(round(seconds)).encode())

    def be_kicked(self, code: str, why: str) -> bool:
        """
        An operator wants this client gone.

        :param code: of the farewell: whether it may come again.
        :return: False: it is about to be gone already.
        """
        was_here = self._state is State.OPEN or self._state is State.LEAVING
        self._close("kicked", Bye(code, why))
        return was_here

    def give_up_name(self) -> None:
        """
        This guest's name has turned out to be somebody else's, and so has the inbox of that name.
        """
        self._close("the name is somebody else's", Bye("restarted", "your name is somebody else's: choose another"))

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
        if self.is_guest and self.known_name is not None and self.factory.admission.is_account(self.known_name):
            self.give_up_name()
            return
        person.forget_permissions()
        # What guests may do may have changed, too, and whether their messages are answered is not asked for each.
        self._session.settle()
        if self._participant is not None and self._participant.follows_what_is_denied:
            self._close("access has changed", Bye("restarted", "you may not follow all these topics any more"))

    def have_resumed(self) -> None:
        """
        What this client follows does not go on where it has ended: only by resuming does it learn what is missing.
        """
        if self._participant is not None and self._participant.follows_something:
            self._close("the log was interrupted", Bye("restarted", "events may be missing here: resume"))

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
        if self._state is State.OPEN and (session.holds or not self._may_wait_for_more()):
            self._crowded = True
            self.transport.pauseProducing()

    def _may_wait_for_more(self) -> bool:
        waiting = self._session.replies.waiting
        return not waiting or (waiting < MOST_WAITING and not self.factory.exchange.is_crowded)

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
            # On this machine all people have one address: there, failures count by connection and by name.
            source = source_of(self.transport.getPeer()) or f"connection {self.number}"
            self._login = Login(factory.clock, factory.admission, self._session, source, self)
        return self._login

    def _participate(self) -> Participant:
        if self._participant is None:
            self._participant = Participant(self.factory.exchange, self._session, self)
        return self._participant

    def _read_on(self) -> None:
        if not self.full and not self._crowded and not self._peer_has_closed:
            self.transport.resumeProducing()

    def _go_on(self) -> None:
        self.flush()
        if self._participant is not None and self._state is State.OPEN:
            self._participant.wake()

    def _fall_out(self) -> None:
        if self._participant is not None:
            self._participant.fall_out()

    def _hear_the_end(self) -> None:
        self.dismiss(Close("the client closed"))

    def _end(self, state: State) -> None:
        before, self._state = self._state, state
        # In that state nothing is answered: what is given up now has no reply, and lets nothing begin that waited.
        if before is State.OPEN or before is State.LEAVING:
            if self._login is not None:
                self._login.end()
            if self._participant is not None:
                self._participant.end()
            self._session.end()
