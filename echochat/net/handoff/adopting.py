"""
Making connections of sockets that another process accepted.
"""

import os
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from twisted.internet import tcp, unix
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.net.handoff.frames import End, FrameError
from echochat.net.lean.ports import SUPPORTED_FAMILIES
from echochat.net.lean.transports import LeanServer

if TYPE_CHECKING:
    _Connection = tcp.Connection
else:
    _Connection = object

Over: TypeAlias = Callable[[int, int, int, End], None]
"""
Is told the number of a connection that is over, the bytes received and sent (-1: not known), and how it ended.
"""

# Multipath TCP; Python has no name for it before 3.13.
_MPTCP: Final = 262
_PROTOCOLS: Final = (0, socket.IPPROTO_TCP, _MPTCP)

# Of Linux's struct tcp_info: tcpi_state, tcpi_bytes_received, tcpi_notsent_bytes, tcpi_bytes_sent, tcpi_bytes_retrans.
_INFO: Final = struct.Struct("=B127xQ8xL52xQQ")
# The client's FIN has come, which was counted as a byte: CLOSE, CLOSE_WAIT, LAST_ACK, CLOSING.
_FINISHED: Final = (7, 8, 9, 11)
# It came before ours.
_CLIENT_FIRST: Final = (8, 9)
_UNKNOWN: Final = -1

_log = make_logger()


class _Handed(_Connection):
    """
    Tells when it is over.
    """

    # Which connection this is for the balancer, and whom to tell.
    lease: tuple[int, Over]

    def connectionLost(self, reason: Failure) -> None:
        if not hasattr(self, "socket"):
            # Twisted calls it a second time after an abort that raced with an end.
            return
        received, sent, end = _tally(self.socket, reason)
        number, over = self.lease
        try:
            super().connectionLost(reason)
        finally:
            over(number, received, sent, end)


class HandedServer(_Handed, LeanServer):
    """
    A TCP connection that another process accepted.
    """


class HandedUnixServer(_Handed, unix.Server):
    """
    A connection on a UNIX socket that another process accepted.
    """


def take(descriptor: int) -> socket.socket:
    """
    See whether a descriptor is what it should be: a stream socket of a family that we know, which is not listening.

    :return: the socket. Its client may have gone already.
    :raises FrameError: it is something else. It is closed.
    """
    try:
        handed = socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        raise FrameError("what was handed over is no socket") from None
    if (
        handed.family not in SUPPORTED_FAMILIES
        or handed.type != socket.SOCK_STREAM
        or handed.proto not in _PROTOCOLS
        or handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    ):
        handed.close()
        raise FrameError("what was handed over is no connection of a client")
    return handed


def adopt(reactor: Any, factory: Any, handed: socket.socket, number: int, over: Over) -> Any:
    """
    Make a connection of a socket that was handed over, as if it had been accepted here.

    :param reactor: an ``IReactorFDSet``.
    :param factory: makes the protocol.
    :param over: is called once, when the connection is over; perhaps before this returns.
    :return: its transport; None: there is none.
    """
    try:
        peer = _peer(handed)
    except OSError:
        handed.close()
        over(number, 0, 0, End.LOST)
        return None
    transport: Any = None
    try:
        protocol = factory.buildProtocol(_address(handed.family, peer))
        if protocol is not None:
            if handed.family == socket.AF_UNIX:
                transport = HandedUnixServer(handed, protocol, peer, None, number, reactor)
            else:
                transport = HandedServer(handed, protocol, peer, None, number, reactor)
            transport.lease = (number, over)
            protocol.makeConnection(transport)
    except Exception:
        _log.failure("a connection failed when it was made and is closed")
        if transport is not None:
            transport.abortConnection()
    if transport is None:
        handed.close()
        over(number, 0, 0, End.WORKER)
    return transport


def _peer(handed: socket.socket) -> Any:
    name = handed.getpeername()
    if handed.family == socket.AF_INET6 and name[3]:
        # A link-local address is given with its interface.
        host, _ = socket.getnameinfo(name, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
        return (host, *name[1:])
    return name


def _address(family: int, name: Any) -> IAddress:
    if family == socket.AF_UNIX:
        return UNIXAddress(name or None)
    return IPv4Address("TCP", *name) if family == socket.AF_INET else IPv6Address("TCP", *name)


def _tally(handed: socket.socket, reason: Failure) -> tuple[int, int, End]:
    """
    What was received and sent on a connection since it was accepted, and who ended it.
    """
    end = End.LOST
    if reason.check(ConnectionDone):
        end = End.WORKER
    elif reason.check(ConnectionAborted):
        end = End.ABORTED
    if handed.family == socket.AF_UNIX:
        return _UNKNOWN, _UNKNOWN, end
    try:
        told = handed.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
        state, received, unsent, sent, again = _INFO.unpack(told)
    except (OSError, struct.error):
        return _UNKNOWN, _UNKNOWN, end
    if end is End.WORKER and state in _CLIENT_FIRST:
        end = End.CLIENT
    # A connection that was reset is closed without a FIN.
    finished = state in _FINISHED and (end is End.WORKER or end is End.CLIENT)
    return max(0, received - finished), sent - again + unsent, end
