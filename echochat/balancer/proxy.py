"""
What all connections through a balancer share.
"""

import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory
from txaio.tx import make_logger

from echochat.balancer.backends import Backend
from echochat.balancer.connection import LOOKS, Connection
from echochat.balancer.halves import ClientHalf
from echochat.balancer.journal import Ended, Journal
from echochat.balancer.routes import Reports
from echochat.balancer.settings import BalancerSettings
from echochat.balancer.sockets import Sockets
from echochat.net.closing import Closer
from echochat.net.deadlines import Deadlines
from echochat.net.gate import Gate

GRACE: Final = 5.0
"""
Seconds that a side has to take what it was sent, and to close, after the other has closed.
"""

YOUTH: Final = 30.0
"""
Seconds after which a connection is one of those that last.
"""


class ProxyFactory(Factory):
    """
    Takes clients, has a backend found for each, and knows all connections.

    :param place: finds a backend for a client, none of those given, and gives it to it: see
        :meth:`echochat.balancer.dispatch.Dispatch.place`.
    :param reports: is told what connections show of their backends.
    :param gate: is shut while there are as many connections as there may be.
    :ivar connections: by number, all that there are, those included that have no backend yet.
    :ivar made: how many there have been.
    """

    noisy = False
    log = make_logger()

    def __init__(
        self,
        clock: IReactorTime,
        settings: BalancerSettings,
        place: Callable[[Any, Sequence[Backend]], "Deferred[None] | None"],
        reports: Reports,
        gate: Gate | None = None,
    ) -> None:
        self.clock = clock
        self.settings = settings
        self.place = place
        self.reports = reports
        self.journal = Journal(clock)
        self.closer = Closer(clock, GRACE)
        self.idle: Deadlines[Connection] = Deadlines(clock, settings.idle / LOOKS, Connection.look_whether_idle)
        self.young: Deadlines[Sockets] = Deadlines(clock, YOUTH, Sockets.has_aged)
        self.lingering: Deadlines[Sockets] = Deadlines(clock, GRACE, Sockets.is_late)
        self.connections: dict[int, Connection] = {}
        self.made = 0
        self._gate = gate if gate is not None else Gate(settings.max_connections)
        self._empty: list[Deferred[None]] = []

    # Called by Twisted

    def buildProtocol(self, addr: IAddress | None) -> ClientHalf:
        return ClientHalf(self)

    def take_socket(self, accepted: socket.socket, address: Any, port: Any) -> bool:
        """
        A port of the lean reactor has accepted a client.

        :return: True: its socket is ours.
        """
        self.made = number = self.made + 1
        connection = Connection(self, number, address, port)
        connection.carrier = Sockets(connection, accepted, address, port)
        connection.begin()
        return True

    # Called by the connections

    def next_number(self) -> int:
        """
        The number of a new connection.
        """
        self.made += 1
        return self.made

    def connected(self, connection: Connection) -> None:
        """
        A client has come.
        """
        self.connections[connection.number] = connection
        self._gate.enter()
        if self.settings.idle > 0:
            self.idle.set(connection)

    def handed_over(self, connection: Connection) -> None:
        """
        Another process has it: there is room for one more here.
        """
        self._gate.leave()
        self.idle.clear(connection)

    def ended(self, connection: Connection, cause: str, bytes_in: int, bytes_out: int) -> None:
        """
        A connection is over on both sides.
        """
        del self.connections[connection.number]
        if connection.carrier.is_here:
            self._gate.leave()
            if self.settings.idle > 0:
                self.idle.clear(connection)
        lease = connection.lease
        self.journal.add(
            Ended(
                connection.number,
                connection.address,
                lease.backend.name if lease is not None else "no backend",
                self.clock.seconds() - connection.began,
                cause,
                bytes_in,
                bytes_out,
                connection.server_name,
            )
        )
        if not self.connections:
            waiting, self._empty = self._empty, []
            for deferred in waiting:
                deferred.callback(None)

    # Called by the operator

    def at(self, backend: Backend) -> list[Connection]:
        """
        The connections that are at this backend, or on their way there.
        """
        return [each for each in self.connections.values() if each.backend is backend]

    # Called by the service

    def when_empty(self) -> "Deferred[None]":
        """
        Wait until the last connection has ended.
        """
        deferred: Deferred[None] = Deferred()
        if self.connections:
            self._empty.append(deferred)
        else:
            deferred.callback(None)
        return deferred

    def apply(self, settings: BalancerSettings) -> None:
        """
        Use other limits and times from now on.
        """
        self.settings = settings
        begins = settings.idle > 0 >= self.idle.seconds
        self.idle.seconds = settings.idle / LOOKS
        if begins:
            for connection in self.connections.values():
                if connection.carrier.is_here:
                    self.idle.set(connection)

    def stop_timers(self) -> None:
        """
        There are no connections any more, and nothing to wait for.
        """
        self.journal.stop()
        self.closer.stop()
        self.lingering.stop()
        self.young.stop()
        self.idle.stop()
