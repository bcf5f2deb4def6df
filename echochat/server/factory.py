"""
What all connections of a server share.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from txaio.tx import make_logger

from echochat.chat.people import People
from echochat.chat.person import Commons
from echochat.chat.policy import Allowance
from echochat.chat.session import Session
from echochat.net.closing import Closer
from echochat.net.deadlines import Deadlines
from echochat.net.gate import Gate
from echochat.net.limits import AddressLimit, is_remote
from echochat.server.admission import Admission
from echochat.server.bans import Bans
from echochat.server.exchange import Exchange
from echochat.server.line import EchoChatProtocol
from echochat.server.moving import Moving
from echochat.server.settings import ServerSettings
from echochat.wire.answers import Bye, Err
from echochat.wire.lines import LineReader
from echochat.wire.names import fold_name
from echochat.wire.telnet import TelnetFilter

GRACE = 5.0
"""
Seconds that a client has to take what it was sent, and to close, after the server has closed.
"""


MOST_REFUSALS: Final = 64
"""
How many refused connections at once are told why. Each has a descriptor until its client lets go; more of them are
closed without a word, so that whoever is refused cannot take the descriptors from those who are let in.
"""


class EchoChatFactory(Factory):
    """
    Makes the protocol of each connection, and knows them all.

    :param clock: for deadlines.
    :param settings: limits and times.
    :param exchange: where to publish and what to follow.
    :param admission: who may come in; None: everybody, as a guest.
    :param gate: is shut while there are as many connections as there may be.
    :ivar refusals: how many refused connections there are.
    :ivar moving: asks clients to move to another server.
    """

    noisy = False
    log = make_logger()

    def __init__(
        self,
        clock: IReactorTime,
        settings: ServerSettings,
        exchange: Exchange,
        gate: Gate | None = None,
        admission: Admission | None = None,
    ) -> None:
        self.clock = clock
        self.settings = settings
        self.exchange = exchange
        exchange.let_all_resume = self._let_all_resume
        self.bans = Bans(clock)
        self.admission = admission if admission is not None else Admission(clock.seconds)
        self.admission.is_banned = self.bans.__contains__
        self.commons = Commons(
            People(is_account=lambda name: self.admission.is_account(name) or name in self.bans),
            lambda: int(time.time() * 1000),
            clock.seconds,
            settings.guests or "yes",
            self.admission.permissions_of if self.admission.has_rules else None,
        )
        self.connections: set[EchoChatProtocol] = set()
        self.first_line = Deadlines(clock, settings.first_line, EchoChatProtocol.first_line_is_late)
        self.idle = Deadlines(clock, settings.idle, EchoChatProtocol.is_idle)
        self.stall = Deadlines(clock, settings.stall, EchoChatProtocol.is_stalled)
        self.closer = Closer(clock, GRACE)
        self.moving = Moving(clock)
        self._gate = gate if gate is not None else Gate(settings.max_connections)
        self._addresses = AddressLimit(clock, settings.per_address)
        self._made = 0
        self.refusals = 0
        self._empty: list[Deferred[None]] = []
        self._apply_limits()

    # Called by Twisted

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        if getattr(addr, "host", "") in self.bans:
            return self._refuse(Bye("banned", "you are banned from this server"))
        source = self._addresses.admit(addr) if addr is not None else ""
        if source is None:
            most = self.settings.per_address
            explanation = f"connections from your address: {most} at once, and {2 * most} new in 10 seconds"
            return self._refuse(Err("too-many", explanation))
        self._made += 1
        remote = is_remote(addr)
        session = Session(
            self.commons, LineReader(self.settings.max_line), TelnetFilter(), self._allowance() if remote else None
        )
        protocol = EchoChatProtocol(self._made, session, source, remote)
        protocol.factory = self
        return protocol

    def _allowance(self) -> Allowance | None:
        """
        What one who stays a guest may publish.
        """
        burst, rate = self.settings.guest_burst, self.settings.guest_rate
        return Allowance(burst, rate, self.clock.seconds()) if rate else None

    def _refuse(self, why: Err | Bye) -> Protocol:
        return _Refusal(self, why) if self.refusals < MOST_REFUSALS else _Rebuff()

    # Called by the connections

    def connected(self, connection: EchoChatProtocol) -> None:
        """
        A connection has begun.
        """
        self.connections.add(connection)
        self.exchange.counters.connections += 1
        self._gate.enter()
        self.first_line.set(connection)

    def forget(self, connection: EchoChatProtocol) -> None:
        """
        A connection is closing: nothing is expected of it any more.
        """
        self.first_line.clear(connection)
        self.idle.clear(connection)
        self.stall.clear(connection)
        self.moving.forget(connection)

    def displace_guest(self, name: str) -> None:
        """
        Somebody has shown that this name is theirs: a guest who has it has to go, and come back under another.
        """
        for connection in [*self.connections]:
            known = connection.known_name
            if connection.is_guest and known is not None and fold_name(known) == fold_name(name):
                connection.give_up_name()

    def disconnected(self, connection: EchoChatProtocol) -> None:
        """
        A connection has ended.
        """
        self.forget(connection)
        self.closer.gone(connection.transport)
        self.connections.discard(connection)
        self._addresses.release(connection.source)
        self._gate.leave()
        if not self.connections:
            waiting, self._empty = self._empty, []
            for deferred in waiting:
                deferred.callback(None)

    # Called by the operator, and by balancers that hand clients over

    def move(self, count: int | None, seconds: float) -> int:
        """
        Ask clients to reconnect, one after the other over this time.

        :param count: how many, of those that have said something: a balancer's check that is here by chance would be
            asked in vain, and one session too few would go. None: all.
        :return: how many will be asked.
        """
        if count is None:
            return self.moving.move(self.connections, None, seconds)
        return self.moving.move([each for each in self.connections if each.lines], count, seconds)

    # Called by the service

    def apply(self, settings: ServerSettings) -> None:
        """
        Use other limits and times from now on: for new connections, and for whatever begins to wait.
        """
        self.settings = settings
        self.first_line.seconds = settings.first_line
        self.idle.seconds = settings.idle
        self.stall.seconds = settings.stall
        self._addresses.most = settings.per_address
        self.commons.guests = settings.guests or "yes"
        self._apply_limits()

    def _apply_limits(self) -> None:
        self.exchange.most_subscriptions = self.settings.subscriptions
        self.exchange.interests.most = self.settings.user_topics
        self.admission.attempts = self.settings.login_attempts

    def look_again(self) -> None:
        """
        Accounts or access rules have changed.
        """
        self.tell_all(EchoChatProtocol.look_again)

    def tell_all(self, tell: Callable[[EchoChatProtocol], None]) -> None:
        """
        Tell every connection something. One that fails at it is aborted, which its client notices, and the others are
        told all the same: nobody stays connected and deaf because of somebody else.
        """
        for connection in [*self.connections]:
            try:
                tell(connection)
            except Exception:
                self.log.failure("connection {number} could not be told", number=connection.number)
                connection.transport.abortConnection()

    def _let_all_resume(self) -> None:
        self.tell_all(EchoChatProtocol.have_resumed)

    def when_empty(self) -> Deferred[None]:
        """
        Wait until the last connection has ended.
        """
        deferred: Deferred[None] = Deferred()
        self._empty.append(deferred)
        return deferred

    def stop_timers(self) -> None:
        """
        There are no connections any more, and nothing to wait for.
        """
        for timers in (self.first_line, self.idle, self.stall, self.closer, self.moving):
            timers.stop()


class _Refusal(Protocol):
    """
    Says why a connection cannot be had, and closes.
    """

    transport: Any

    def __init__(self, factory: EchoChatFactory, why: Err | Bye) -> None:
        self._factory = factory
        self._why = why

    def connectionMade(self) -> None:
        peer = str(self.transport.getPeer())
        ended = self._factory.exchange.counters.ended
        ended[f"refused, {self._why.code}"] = ended.get(f"refused, {self._why.code}", 0) + 1
        self._factory.log.info("refused a connection from {peer}: {why}", peer=peer, why=self._why.code)
        self._factory.refusals += 1
        self.transport.write(self._why.encode())
        self._factory.closer.close(self.transport, peer_has_closed=False)

    def connectionLost(self, reason: object = None) -> None:
        self._factory.refusals -= 1
        self._factory.closer.gone(self.transport)


class _Rebuff(Protocol):
    """
    Closes without a word.
    """

    transport: Any

    def connectionMade(self) -> None:
        self.transport.abortConnection()
