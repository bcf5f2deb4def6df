"""
Connections to a backend whose bytes go through this process.
"""

from typing import Any, Final

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from echochat.balancer.backends import Backend
from echochat.balancer.halves import Half
from echochat.net.endpoints import client_endpoint
from echochat.wire.proxy import Address, SocketAddress, UnixPath, encode_v1, encode_v2

_MAPPED: Final = "::ffff:"


class RelayRoute:
    """
    Connects to a backend for each client, and has what carries the client's bytes do so to there.

    :param send_proxy: the version of the PROXY header that each connection begins with, ``v1`` or ``v2``; None: none.
    :raises ValueError: the backend's endpoint makes no sense; the text says why.
    """

    def __init__(self, reactor: Any, backend: Backend, send_proxy: str | None) -> None:
        self._endpoint = client_endpoint(reactor, backend.endpoint)
        self._send_proxy = send_proxy

    # Called by whoever looks for a backend

    def open(self, client: Any) -> "Deferred[None]":
        connecting: Deferred[Any] = self._endpoint.connect(_Connecting(client))

        def connected(server: Half) -> None:
            if client.is_over:
                server.transport.abortConnection()
                return
            if self._send_proxy is not None:
                server.transport.write(proxy_header(self._send_proxy, client.peer, client.host))
            client.join(server)

        return connecting.addCallback(connected)

    def close(self) -> None:
        """
        Nothing is open but connections, and they stay.
        """


class _Connecting(Factory):
    """
    Makes the backend's side of one connection.
    """

    noisy = False

    def __init__(self, client: Any) -> None:
        self._client = client

    def buildProtocol(self, addr: IAddress | None) -> Half:
        return Half(self._client, "backend")


def proxy_header(version: str, peer: IAddress, host: IAddress) -> bytes:
    """
    The header that says who a client is.

    :param version: ``v1`` or ``v2``.
    :param peer: where the client is.
    :param host: where it connected to.
    """
    source, destination = _to_wire(peer), _to_wire(host)
    try:
        if version == "v2":
            return encode_v2(source, destination)
        if isinstance(source, SocketAddress) and isinstance(destination, SocketAddress):
            return encode_v1(source, destination)
    except ValueError:
        # Ends of two kinds, which a header has no room for.
        pass
    return encode_v2(None, None) if version == "v2" else encode_v1(None, None)


def _to_wire(address: IAddress) -> Address | None:
    if isinstance(address, UNIXAddress):
        name = address.name or b""
        return UnixPath(name if isinstance(name, bytes) else name.encode())
    host = getattr(address, "host", None)
    if host is None:
        return None
    # An IPv4 client of a port of both families.
    plain = host[len(_MAPPED) :] if host.startswith(_MAPPED) and "." in host else host
    return SocketAddress(plain.partition("%")[0], getattr(address, "port", 0))
