"""
Connecting a socket, for a pair of ends.
"""

import errno
import os
import re
import select
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

from twisted.internet.error import ConnectError, getConnectError
from twisted.python.failure import Failure

KEEPALIVE_IDLE: Final = 60
"""
Seconds after which the kernel asks a silent server whether it is there.
"""

_UNDER_WAY: Final = frozenset((errno.EINPROGRESS, errno.EALREADY))
_CONNECTED: Final = frozenset((0, errno.EISCONN))

_TCP: Final = re.compile(r"tcp:(?:host=)?((?:[^:=\\]|\\:)+):(?:port=)?(\d{1,5})")
_UNIX: Final = re.compile(r"unix:(?:path=)?([^:=\\]+)")


class Target(NamedTuple):
    """
    Where a socket connects to, known without asking anybody.
    """

    family: int
    address: Any


def target_of(description: str) -> Target | None:
    """
    The target of a client endpoint description that is an address with a port, or a UNIX socket, and nothing else.
    """
    unix = _UNIX.fullmatch(description)
    if unix is not None:
        return Target(socket.AF_UNIX, unix[1])
    tcp = _TCP.fullmatch(description)
    if tcp is None or int(tcp[2]) > 65_535:
        return None
    host = tcp[1].replace("\\:", ":")
    try:
        family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        return None
    return Target(family, (host, int(tcp[2])))


class Attempt:
    """
    A socket that is being connected.

    On this machine, and often in a fast network, the connection is there by the time one has asked for it: so it is
    asked for twice before it is waited for, which saves two system calls and a turn.

    :param connected: is given the socket, perhaps before this returns.
    :param failed: is told why not, likewise.
    """

    __slots__ = ("_connected", "_failed", "_reactor", "_socket", "number")

    def __init__(
        self,
        reactor: Any,
        target: Target,
        connected: Callable[[socket.socket], None],
        failed: Callable[[ConnectError], None],
    ) -> None:
        self._reactor = reactor
        self._connected = connected
        self._failed = failed
        self.number = -1
        try:
            made = self._socket = socket.socket(target.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            failed(_reason(error.errno or 0))
            return
        if target.family != socket.AF_UNIX:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
        number = made.connect_ex(target.address)
        if number in _UNDER_WAY:
            number = made.connect_ex(target.address)
        if number in _UNDER_WAY:
            self.number = made.fileno()
            reactor.watch(self, select.EPOLLOUT)
        else:
            self._finish(number)

    # Called by the dispatcher

    def fileno(self) -> int:
        return self.number

    def ready(self, event: int) -> None:
        """
        It is connected, or not.
        """
        self._stop()
        self._finish(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor has stopped.
        """
        self.cancel()
        self._failed(ConnectError(string="the reactor has stopped"))

    # Called by whoever wants it

    def cancel(self) -> None:
        """
        It is not wanted any more; nobody is told.
        """
        if self.number >= 0:
            self._stop()
            self._socket.close()

    # Ours

    def _stop(self) -> None:
        self._reactor.forget(self)
        self.number = -1

    def _finish(self, number: int) -> None:
        if number in _CONNECTED:
            self._connected(self._socket)
        else:
            self._socket.close()
            self._failed(_reason(number))


def _reason(number: int) -> ConnectError:
    error: ConnectError = getConnectError((number, os.strerror(number)))
    return error
