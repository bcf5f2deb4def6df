"""
What a PROXY header says.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


class ProxyHeaderError(Exception):
    """
    What came is no PROXY header. The message says why, in words of ours only.
    """


class SocketAddress(NamedTuple):
    """
    An end of a TCP connection; the host is an IPv4 or IPv6 address.
    """

    host: str
    port: int


class UnixPath(NamedTuple):
    """
    An end of a connection over a UNIX socket; empty for one without a name, with a NUL first for an abstract one.
    """

    path: bytes


Address: TypeAlias = SocketAddress | UnixPath
Tlv: TypeAlias = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """
    What a header says.

    :ivar source: who connected to the proxy; None when the proxy speaks for itself (a health check) or does not know:
        the connection's own addresses count then.
    :ivar destination: where to; None together with the source.
    :ivar tlvs: type and value of what version 2 has besides.
    """

    source: Address | None = None
    destination: Address | None = None
    tlvs: tuple[Tlv, ...] = ()


def is_ipv6(source: SocketAddress, destination: SocketAddress) -> bool:
    """
    Which of the two families a connection's ends are of.

    :raises ValueError: one of each.
    """
    if (":" in source.host) != (":" in destination.host):
        raise ValueError("one address is IPv4 and the other IPv6")
    return ":" in source.host
