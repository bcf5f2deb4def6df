"""
Where a server is: what people type, and the Twisted endpoint that it means.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from twisted.internet.endpoints import HostnameEndpoint, clientFromString
from twisted.internet.interfaces import IStreamClientEndpoint

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 7007

_BRACKETED: Final = re.compile(r"\[([^]]+)\](?::(\d+))?")
_HOST_PORT: Final = re.compile(r"([^]:[\s]*)(?::(\d+))?")
_ENDPOINT: Final = re.compile(r"[A-Za-z][A-Za-z0-9+-]*:.+")


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """
    A server: how to name it in a message to a person, and where to connect: a host and a port, or the description of
    an endpoint.
    """

    name: str
    target: tuple[str, int] | str

    def endpoint(self, reactor: object) -> IStreamClientEndpoint:
        """
        :raises ValueError: Twisted cannot read the description.
        """
        if isinstance(self.target, str):
            endpoint: IStreamClientEndpoint = clientFromString(reactor, self.target)
            return endpoint
        # Unlike "tcp:", this knows IPv6 and tries every address of a name.
        return HostnameEndpoint(reactor, *self.target)


def parse_server(text: str) -> ServerAddress:
    """
    Read ``HOST``, ``HOST:PORT``, ``[::1]:PORT``, ``::1``, or a Twisted endpoint such as ``unix:/run/echochat.sock`` or
    ``tls:chat.example:7008``. What is missing is 127.0.0.1 and 7007.

    :raises ValueError: it is none of these; the text says so.
    """
    if _is_ipv6(text):
        return _tcp(text, None)
    bracketed = _BRACKETED.fullmatch(text)
    if bracketed is not None and _is_ipv6(bracketed[1]):
        return _tcp(bracketed[1], bracketed[2])
    host_port = _HOST_PORT.fullmatch(text)
    if host_port is not None:
        return _tcp(host_port[1] or DEFAULT_HOST, host_port[2])
    if _ENDPOINT.fullmatch(text) is not None:
        return ServerAddress(text, text)
    raise ValueError(f"{text!r} is neither HOST[:PORT] nor a Twisted endpoint")


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _tcp(host: str, port_text: str | None) -> ServerAddress:
    port = DEFAULT_PORT if port_text is None else int(port_text)
    if not 0 < port < 65_536:
        raise ValueError(f"{port} is not a port: 1 to 65535")
    shown = f"[{host}]" if ":" in host else host
    return ServerAddress(f"{shown}:{port}", (host, port))
