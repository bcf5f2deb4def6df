"""
How much of what was written to a connection its peer has not taken yet.
"""

import fcntl
import struct
import termios
from typing import Any

from twisted.internet.abstract import FileDescriptor


def unsent(transport: Any) -> int:
    """
    The bytes that wait for the peer, in our buffers and in the kernel's (``SIOCOUTQ``, tcp(7)).

    Two equal figures with nothing written in between mean that the peer took nothing. For a transport that is no
    socket's, such as a test's, the figure is 0.
    """
    while not isinstance(transport, FileDescriptor):
        inner = getattr(transport, "transport", None)
        if inner is None:
            return 0
        transport = inner
    waiting = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    try:
        answer = fcntl.ioctl(transport.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    except (OSError, ValueError):
        return waiting
    return waiting + int(struct.unpack("i", answer)[0])
