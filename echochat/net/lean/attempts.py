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

_UNDER_WAY: Final = frozenset((errno.EINPROGRESS, errno.EALREADY))
_CONNECTED: Final = frozenset((0, errno.EISCONN))

_TCP: Final = re.compile(r"tcp:(?:host=)?((?:[^:=\\]|\\:)+):(?:port=)?(\d{1,5})")
_UNIX: Final = re.compile(r"unix:(?:path=)?([^:=\\]+)")

_KIND: Final = int(socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

MOST_PATH: Final = 107
"""
The most bytes of a UNIX socket's path, unix(7).
"""


class Target(NamedTuple):
    """
    Where a socket connects to, known without asking anybody.
    """

    family: int
    address: Any


def target_of(description: str) -> Target | None:
    """
    The target of a client endpoint description that is an address with a port, or a UNIX socket, and nothing else.

    :raises ValueError: the path is longer than a UNIX socket's can be.
    """
    unix = _UNIX.fullmatch(description)
    if unix is not None:
        if len(os.fsencode(unix[1])) > MOST_PATH:
            raise ValueError(f"the path of a UNIX socket has {MOST_PATH} bytes at most")
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


def begin(target: Target) -> tuple[Any, int]:
    """
    Begin to connect a socket.

    On this machine, and often in a fast network, the connection is there by the time one has asked for it: so it is
    asked for twice before it is waited for, which saves two system calls and a turn.

    :return: the socket, which does not block, and an error's number: 0 when it is connected, one for which
        :func:`is_under_way` is true when :class:`Attempt` has to wait for it. With any other it is closed.
    """
    try:
        # What socket.socket is made of: less to make and to close.
        made: Any = socket.SocketType(target.family, _KIND)
    except OSError as error:
        return None, error.errno or errno.EMFILE
    if target.family != socket.AF_UNIX:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connect, address = made.connect_ex, target.address
    number = connect(address)
    if number in _UNDER_WAY:
        number = connect(address)
    if number in _CONNECTED:
        return made, 0
    if number not in _UNDER_WAY:
        made.close()
    return made, number


def is_under_way(number: int) -> bool:
    """
    Whether a connection is not there yet, and may come.
    """
    return number in _UNDER_WAY


def reason(number: int) -> ConnectError:
    """
    Why it could not be connected.
    """
    error: ConnectError = getConnectError((number, os.strerror(number)))
    return error


class Attempt:
    """
    A socket that is being connected.

    :param begun: the socket.
    :param connected: is called when it is.
    :param failed: is told why it could not be.
    """

    __slots__ = ("_connected", "_failed", "_reactor", "_socket", "number")

    def __init__(
        self, reactor: Any, begun: Any, connected: Callable[[], object], failed: Callable[[Exception], object]
    ) -> None:
        self._reactor = reactor
        self._connected = connected
        self._failed = failed
        self._socket = begun
        self.number: int = begun.fileno()
        reactor.watch(self, select.EPOLLOUT)

    # Called by the dispatcher

    def fileno(self) -> int:
        return self.number

    def ready(self, event: int) -> None:
        """
        It is connected, or not.
        """
        self._stop()
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._socket.close()
            self._failed(reason(number))
        else:
            self._connected()

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
