"""
A socket that is watched by the lean reactor's dispatcher, and closed in one of several ways.
"""

import fcntl
import select
import socket
import struct
import termios
from contextlib import suppress
from typing import Any, Final

IN: Final = select.EPOLLIN
OUT: Final = select.EPOLLOUT
NOW: Final = socket.MSG_DONTWAIT
"""
A socket that was accepted blocks, and to change that would be one more system call for each.
"""

PEER_ENDED: Final = select.EPOLLRDHUP

_RESET: Final = struct.pack("ii", 1, 0)


class Watched:
    """
    A socket with what epoll is asked about it.

    :param reactor: a :class:`echochat.net.lean.LeanReactor`.
    :param connected: a socket; it may be one that blocks.
    :ivar number: the socket's; negative when it is closed.
    :ivar waiting: what it has not taken yet.
    """

    __slots__ = ("_events", "_is_shared", "_reactor", "number", "socket", "waiting")

    def __init__(self, reactor: Any, connected: socket.socket) -> None:
        self._reactor = reactor
        self._events = -1
        self._is_shared = False
        self.socket: Any = connected
        self.number = connected.fileno()
        self.waiting: bytes = b""

    # Called by the dispatcher

    def fileno(self) -> int:
        return self.number

    # Called by whoever has it

    @property
    def is_open(self) -> bool:
        """
        Whether it is not closed.
        """
        return self.number >= 0

    @property
    def unsent(self) -> int:
        """
        What it has not taken yet of what it was sent, in bytes: that which waits here, and in the kernel.
        """
        answer = fcntl.ioctl(self.number, termios.TIOCOUTQ, b"\0\0\0\0")
        return len(self.waiting) + int(struct.unpack("i", answer)[0])

    def watch_for_the_end(self) -> None:
        """
        Read nothing; tell when the peer goes.
        """
        self._ask(PEER_ENDED)

    def keep_alive(self, idle: int) -> None:
        """
        Have the kernel ask a silent peer whether it is there.

        :param idle: after so many seconds.
        """
        if self.number >= 0 and self.socket.family != socket.AF_UNIX:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)

    def share(self) -> None:
        """
        Another process may have this socket as well, for as long as it likes.
        """
        self._is_shared = True

    def close(self) -> None:
        """
        Close, whatever waits.
        """
        if self.number >= 0:
            if self._is_shared:
                self._part()
            self._reactor.bury(self)
            self.number = -1
            self.waiting = b""

    def abort(self) -> None:
        """
        Close with a reset; where another process has the socket, with an end.
        """
        if self.number >= 0:
            if self.socket.family != socket.AF_UNIX:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.close()

    def release(self) -> socket.socket:
        """
        Give the socket away.
        """
        self._reactor.forget(self)
        self.number = -1
        released: socket.socket = self.socket
        return released

    # Ours

    def _ask(self, events: int) -> None:
        if events == self._events or self.number < 0:
            return
        if self._events < 0:
            self._reactor.watch(self, events)
        else:
            self._reactor.change(self, events)
        self._events = events

    def _ask_nothing(self, event: int) -> None:
        """
        Nothing can be done about this event now.
        """
        if event & select.EPOLLHUP:
            # Both directions have ended, and the kernel would tell so for ever.
            self._reactor.forget(self)
            self._events = -1
        else:
            self._ask(0)

    def _part(self) -> None:
        """
        Closing is not enough where another process has the socket: the peer would hear nothing of it, and the kernel go
        on to tell of a descriptor that is not ours any more, for ever.
        """
        self._reactor.forget(self)
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
