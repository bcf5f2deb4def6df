"""
What the kernel says of TCP sockets on 127.0.0.1, without disturbing any: a connection that only tries whether a
balancer listens would be counted by it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

_SYN_SENT: Final = "02"
_LISTEN: Final = "0A"


def is_listening(port: int) -> bool:
    """
    Whether somebody listens there.
    """
    return any(state == _LISTEN and local == port for local, _, state in _sockets())


def connecting(port: int) -> int:
    """
    How many attempts to connect there have no answer yet.
    """
    return sum(state == _SYN_SENT and remote == port for _, remote, state in _sockets())


def _sockets() -> Iterator[tuple[int, int, str]]:
    """
    Of each socket its own port, its peer's, and its state, as ``proc(5)`` has them.
    """
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        yield int(local.rpartition(":")[2], 16), int(remote.rpartition(":")[2], 16), state
