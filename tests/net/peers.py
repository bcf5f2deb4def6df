"""
The other end of a connection under test: a plain blocking socket, with which a test can do what a well-behaved
protocol never does. Each wait is in a thread, so that the reactor runs meanwhile, and has a deadline.
"""

import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

DEADLINE = 20.0
"""
Seconds after which whatever a test waits for is not coming any more.
"""

Read = TypeVar("Read")


class Peer:
    """
    A connected socket.
    """

    def __init__(self, connected: Any) -> None:
        connected.settimeout(DEADLINE)
        self.socket = connected

    def send(self, data: bytes) -> "Deferred[None]":
        """
        Send all of it, however long the other end takes.
        """
        return self._wait(lambda: self.socket.sendall(data))

    def read(self, count: int) -> "Deferred[bytes]":
        """
        Wait for so many bytes, or fewer when the end comes first.
        """
        return self._wait(lambda: self._take(count))

    def read_some(self) -> "Deferred[bytes]":
        """
        Wait for any bytes; none at the end.
        """
        return self._wait(lambda: self.socket.recv(1 << 18))

    def read_to_end(self) -> "Deferred[bytes]":
        """
        Wait for everything up to the end.

        The Deferred fails with :exc:`ConnectionResetError` when the other end resets.
        """
        return self._wait(lambda: self._take(1 << 40))

    def is_reset(self) -> "Deferred[bool]":
        """
        Wait for the end, and tell whether it is a reset.
        """

        def wait() -> bool:
            try:
                self._take(1 << 40)
            except ConnectionResetError:
                return True
            return False

        return self._wait(wait)

    def finish(self) -> None:
        """
        Send nothing more: FIN.
        """
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """
        Vanish: RST.
        """
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def leave(self) -> None:
        """
        Close while a thread waits, which ends its wait.
        """
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def close(self) -> None:
        """
        Close, as a program does that ends.
        """
        with contextlib.suppress(OSError):
            self.socket.close()

    def _take(self, count: int) -> bytes:
        taken = bytearray()
        while len(taken) < count:
            data = self.socket.recv(min(count - len(taken), 1 << 18))
            if not data:
                break
            taken += data
        return bytes(taken)

    def _wait(self, what: Callable[[], Read]) -> "Deferred[Read]":
        return deferToThread(what)


def connect(address: Any, receive_buffer: int = 0) -> Peer:
    """
    Connect to where a port listens.

    :param address: Twisted's, of a port.
    :param receive_buffer: bytes of the socket's receive buffer, where the kernel's choice is too large for the test.
    """
    path = getattr(address, "name", None)
    if path is not None:
        family, where = socket.AF_UNIX, path
    else:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        where = (address.host, address.port)
    made = socket.socket(family, socket.SOCK_STREAM)
    if receive_buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    made.settimeout(DEADLINE)
    made.connect(where)
    return Peer(made)
