"""
Version 1: one line of text (section 2.1).
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from echochat.wire.proxy.header import ProxyHeader, ProxyHeaderError, SocketAddress, is_ipv6

MAX_V1: Final = 107
"""
The most bytes of a version 1 header, its CRLF included (section 2.1).
"""

START: Final = b"PROXY "

_PORT: Final = re.compile(r"0|[1-9][0-9]{0,4}")


def encode_v1(source: SocketAddress | None, destination: SocketAddress | None) -> bytes:
    """
    A version 1 header; without addresses the one that says ``UNKNOWN``.

    :raises ValueError: one address is IPv4 and the other IPv6, or one is neither.
    """
    if source is None or destination is None:
        return b"PROXY UNKNOWN\r\n"
    kind = IPv6Address if is_ipv6(source, destination) else IPv4Address
    # By way of the bytes: the zone of a link-local address has no place in a header.
    hosts = [str(kind(kind(each.host).packed)) for each in (source, destination)]
    return f"PROXY TCP{kind(0).version} {hosts[0]} {hosts[1]} {source.port} {destination.port}\r\n".encode("ascii")


def decode_v1(line: bytes) -> ProxyHeader:
    """
    Read what begins with :data:`START` and goes up to a LF.

    :raises ProxyHeaderError: it is no header.
    """
    if not line.endswith(b"\r\n"):
        raise ProxyHeaderError("the header does not end with CRLF")
    if line.startswith(b"PROXY UNKNOWN") and line[13:14] in (b" ", b"\r"):
        return ProxyHeader()
    words = line[:-2].decode("latin-1").split(" ")
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise ProxyHeaderError("the header is not PROXY, TCP4 or TCP6, two addresses and two ports")
    _, family, source, destination, source_port, destination_port = words
    check = _check_ipv4 if family == "TCP4" else _check_ipv6
    return ProxyHeader(
        SocketAddress(check(source), _read_port(source_port)),
        SocketAddress(check(destination), _read_port(destination_port)),
    )


def _check_ipv4(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        raise ProxyHeaderError("an address of the header is not IPv4") from None


def _check_ipv6(text: str) -> str:
    try:
        # A zone would be an interface of the proxy's machine.
        return str(IPv6Address(text.replace("%", " ")))
    except AddressValueError:
        raise ProxyHeaderError("an address of the header is not IPv6") from None


def _read_port(text: str) -> int:
    if _PORT.fullmatch(text) is None or int(text) > 65_535:
        raise ProxyHeaderError("a port of the header is not a number from 0 to 65535")
    return int(text)
