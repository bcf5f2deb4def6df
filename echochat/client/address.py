"""
Where a server is: what people type, and the Twisted endpoint that it means.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Final

from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

from echochat.net.endpoints import client_endpoint

if TYPE_CHECKING:
    from echochat.net.tls.client_files import ClientFiles

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 7007
DEFAULT_TLS_PORT: Final = 7443

_BRACKETED: Final = re.compile(r"\[([^]]+)\](?::(\d+))?")
_HOST_PORT: Final = re.compile(r"([^]:[\s]*)(?::(\d+))?")
_ENDPOINT: Final = re.compile(r"[A-Za-z][A-Za-z0-9+-]*:.+")


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """
    A server: how to name it in a message to a person, and where to connect: a host and a port, or the description of
    an endpoint.

    :ivar usual_port: the port is the one that is meant when none is told.
    :ivar files: with which TLS is spoken; None: it is not, unless the endpoint does.
    """

    name: str
    target: tuple[str, int] | str
    usual_port: bool = False
    files: "ClientFiles | None" = None

    @property
    def is_plain(self) -> bool:
        """
        Whether it is asked for without TLS, and could be with it.
        """
        return self.files is None and not isinstance(self.target, str)

    def encrypted(self, files: "ClientFiles") -> "ServerAddress":
        """
        The same server over TLS, on the usual port for that if none was told.

        :raises ValueError: it is the description of an endpoint, which says itself whether there is TLS.
        """
        if isinstance(self.target, str):
            raise ValueError(f"{self.target} is an endpoint: for TLS write it as tls:HOST:PORT:ca=FILE")
        host, port = self.target
        return _address(host, DEFAULT_TLS_PORT if self.usual_port else port, files=files)

    def endpoint(self, reactor: object) -> IStreamClientEndpoint:
        """
        :raises ValueError: the description cannot be understood.
        """
        if isinstance(self.target, str):
            return client_endpoint(reactor, self.target)
        # Unlike "tcp:", this knows IPv6 and tries every address of a name.
        endpoint = HostnameEndpoint(reactor, *self.target)
        if self.files is None:
            return endpoint
        # Whoever does without TLS does not wait for OpenSSL to be loaded.
        from echochat.net.tls.connecting import TlsClientEndpoint

        return TlsClientEndpoint(reactor, endpoint, self.target[0], self.files)


def parse_server(text: str) -> ServerAddress:
    """
    Read ``HOST``, ``HOST:PORT``, ``[::1]:PORT``, ``::1``, or a Twisted endpoint such as ``unix:/run/echochat.sock`` or
    ``tls:chat.example:7443``. What is missing is 127.0.0.1 and 7007.

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
    return _address(host, port, usual_port=port_text is None)


def _address(host: str, port: int, *, usual_port: bool = False, files: "ClientFiles | None" = None) -> ServerAddress:
    shown = f"[{host}]" if ":" in host else host
    return ServerAddress(f"{shown}:{port}", (host, port), usual_port, files)
