"""
Which proxies are believed when they say for whom they connect.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final

from twisted.internet.interfaces import IAddress

_UNIX: Final = "unix"


def read_address(text: str) -> IPv4Address | IPv6Address:
    """
    Read an address, in whatever form it is written: one of IPv4 that is mapped into IPv6 is that of IPv4, and a zone
    does not count.

    :raises ValueError: it is none.
    """
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@dataclass(frozen=True)
class Sources:
    """
    Whose headers are believed.

    :ivar networks: in CIDR notation; single addresses are networks too.
    :ivar unix: whoever connects to a UNIX socket, since the socket's permissions say who may.
    """

    networks: tuple[Any, ...]
    unix: bool = False

    def has(self, address: IAddress | None) -> bool:
        """
        Tell whether a proxy at this address is believed.
        """
        host = getattr(address, "host", None)
        if host is None:
            return self.unix
        parsed = read_address(host)
        return any(parsed in network for network in self.networks)


def parse_sources(text: str) -> Sources:
    """
    Read addresses, networks and the word ``unix``, separated by commas.

    :raises ValueError: one of them is neither, or there is none.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise ValueError("proxied: needs the proxies' addresses or networks: from=10.0.0.0/8,127.0.0.1")
    networks = []
    for word in words:
        try:
            networks += [ip_network(word)] if word != _UNIX else []
        except ValueError:
            raise ValueError(
                f"proxied: {word} in from= is neither an address, nor a network, nor {_UNIX}; "
                "colons are written \\: there"
            ) from None
    return Sources(tuple(networks), _UNIX in words)
