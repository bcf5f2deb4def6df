"""
A balancer for an operator's tests: a fleet, connections that are only counted, and what serves operators.
"""

import json
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress
from twisted.internet.testing import StringTransport

from echochat.balancer.backends import Lease
from echochat.balancer.control import commands
from echochat.balancer.moving import Mover
from echochat.balancer.operations import Operations
from echochat.balancer.status import Status
from echochat.balancer.trends import Trends
from echochat.daemon.control import ControlFactory, ControlProtocol
from tests.balancer.fleets import TestFleet


class CountedConnection:
    """
    A connection that nothing passes through.
    """

    def __init__(self, balancer: "OperatedBalancer", number: int, host: str, lease: Lease | None) -> None:
        self.number = number
        self.peer: IAddress = IPv6Address("TCP", host, 4711) if ":" in host else IPv4Address("TCP", host, 4711)
        self.lease = lease
        self.bytes_in = 0
        self.bytes_out = 0
        self._balancer = balancer

    def kick(self) -> bool:
        if self not in self._balancer.connections:
            return False
        self.end()
        return True

    def end(self) -> None:
        """
        It is over; what it carried is its backend's.
        """
        self._balancer.connections.remove(self)
        if self.lease is not None:
            self.lease.backend.traffic.bytes_in += self.bytes_in
            self.lease.backend.traffic.bytes_out += self.bytes_out
            self.lease.release()


class OperatedBalancer:
    """
    :ivar operations: what an operator may do.
    """

    def __init__(self, *names: str, slow_start: float = 0) -> None:
        self.fleet = TestFleet(*names, slow_start=slow_start)
        self.clock = self.fleet.clock
        self.connections: list[CountedConnection] = []
        self.waiting = 0
        self.trends = Trends(self.clock, self.fleet, lambda: self.connections)
        self.status = Status(self.clock, self.fleet, self.trends, lambda: self.waiting)
        self.mover = Mover(None, self.clock, self.fleet.routes)
        self.operations = Operations(self.status, self.mover, lambda: self.connections, lambda: 30.0)
        self._made = 0

    def connect(self, host: str = "192.0.2.7") -> CountedConnection:
        """
        A client comes, and is given to a backend.
        """
        self._made += 1
        connection = CountedConnection(self, self._made, host, self.fleet.lease())
        self.connections.append(connection)
        return connection

    def operator(self) -> ControlProtocol:
        """
        An operator connects.
        """
        protocol = ControlFactory(commands(self.operations)).buildProtocol(None)
        protocol.makeConnection(StringTransport())
        return protocol


def say(operator: ControlProtocol, line: str) -> list[str]:
    """
    Type a line.

    :return: the lines that are answered at once.
    """
    transport: Any = operator.transport
    transport.clear()
    operator.dataReceived(f"{line}\r\n".encode())
    answer: str = transport.value().decode()
    return answer.split("\r\n")[:-1]


def backends_of(lines: list[str]) -> dict[str, dict[str, Any]]:
    """
    What ``/status`` said of each backend, by name.
    """
    described = [json.loads(line.removeprefix("/info backend ")) for line in lines if line.startswith("/info backend ")]
    return {each["name"]: each for each in described}
