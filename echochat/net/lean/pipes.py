"""
The pipe through which runs of full chunks go from socket to socket, without being copied into this process.
"""

import contextlib
import fcntl
import os
from functools import cache
from typing import Final

_ROOM: Final = 1 << 20
"""
Bytes that the pipe may have. A pipe is also limited by its number of buffers, which grows with this.
"""

_FLAGS: Final = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)


class Pipe:
    """
    One pipe for all sockets: it is empty between two uses.
    """

    def __init__(self) -> None:
        self._from, self._into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # A user's pipes together have a limit, too.
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._into, fcntl.F_SETPIPE_SZ, _ROOM)

    def take(self, number: int, most: int) -> int:
        """
        Take what has come to a socket that does not block.

        :return: how many bytes: 0 at the end.
        """
        return os.splice(number, self._into, most, flags=_FLAGS)

    def give(self, number: int, size: int) -> int:
        """
        Send it through a socket that does not block.

        :return: how much of it was sent; :meth:`rest` gives the rest, also when this fails.
        """
        return os.splice(self._from, number, size, flags=_FLAGS)

    def rest(self, size: int) -> bytes:
        """
        What was not sent.
        """
        parts = []
        while size:
            parts.append(os.read(self._from, size))
            size -= len(parts[-1])
        return b"".join(parts)


@cache
def shared_pipe() -> Pipe | None:
    """
    The pipe; None when this system has none of this kind.
    """
    try:
        return Pipe() if hasattr(os, "splice") else None
    except OSError:
        return None
