"""
Why a backend could not be had, in words; and whether the backend is to blame.
"""

import errno
from typing import Final

from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost, TimeoutError
from twisted.python.failure import Failure

from echochat.net.handoff.passengers import Unwilling

_OURS: Final = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EADDRINUSE)
)

_BUSY: Final = errno.EAGAIN
"""
How the kernel tells that a UNIX socket's queue of connections is full, connect(2): somebody listens there, and will
accept. TCP has no such error.
"""


def why(failure: Failure) -> str:
    """
    The reason as one clause, for the log and for the operator.
    """
    error = failure.value
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectError) and error.osError is not None and error.args:
        # The system's own words: Twisted writes "Connection was refused by other side: 111: Connection refused."
        return str(error.args[0]).lower().rstrip(".")
    if isinstance(error, ConnectionDone | ConnectionLost):
        return "it closed the connection"
    return str(error).rstrip(".") or type(error).__name__


def is_our_own(failure: Failure) -> bool:
    """
    Whether this machine is at its limits, of descriptors, of ports or of connections that wait to be accepted, or the
    backend has said that it has no room: none must count as down because of that.
    """
    if failure.check(Unwilling) is not None:
        return True
    number = getattr(failure.value, "osError", None)
    if number is None and isinstance(failure.value, OSError):
        number = failure.value.errno
    return number in _OURS or number == _BUSY
