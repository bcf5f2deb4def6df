"""
Connections to a backend whose bytes go through this process.
"""

from typing import Any, Final

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from echochat.balancer.backends import Backend
from echochat.balancer.connection import Connection
from echochat.balancer.half import Half
from echochat.balancer.sockets import Sockets
from echochat.net.endpoints import client_endpoint
from echochat.net.lean import LeanReactor
from echochat.net.lean.attempts import Attempt, Target, begin, is_under_way, reason, target_of
from echochat.net.tls.connecting import TlsClientEndpoint
from echochat.wire.proxy import Address, SocketAddress, UnixPath, encode_v1, encode_v2

_MAPPED: Final = "::ffff:"


class RelayRoute:
    """
    Connects to a backend for each client, and has what carries the client's bytes do so to there.

    :param send_proxy: the version of the PROXY header that each connection begins with, ``v1`` or ``v2``; None: none.
    :raises ValueError: the backend's endpoint makes no sense, or a file in it cannot be used; the text says why.
    :ivar endpoint: where the backend is, for checks, too: what is wrong with it shows here, before anything is changed.
    """

    def __init__(self, reactor: Any, backend: Backend, send_proxy: str | None) -> None:
        self._reactor = reactor
        self.endpoint = client_endpoint(reactor, backend.endpoint)
        if isinstance(self.endpoint, TlsClientEndpoint):
            self.endpoint.look_at_files()
        self._send_proxy = send_proxy
        # Others would have to be looked up, or need more than a socket.
        self._target = target_of(backend.endpoint) if isinstance(reactor, LeanReactor) else None

    # Called by whoever looks for a backend

    def open(self, client: Connection) -> "Deferred[None] | None":
        if self._target is not None and isinstance(client.carrier, Sockets):
            return self._connect(self._target, client)
        connecting: Deferred[Any] = self.endpoint.connect(Factory.forProtocol(_BackendHalf))

        def connected(server: Half) -> None:
            if client.is_over:
                server.transport.abortConnection()
            else:
                client.carrier.join_protocol(server, self._header(client))

        return connecting.addCallback(connected)

    def close(self) -> None:
        """
        Nothing is open but connections, and they stay.
        """

    # Ours

    def _connect(self, target: Target, client: Connection) -> "Deferred[None] | None":
        made, number = begin(target)
        if not number:
            client.carrier.join(made, self._header(client) if self._send_proxy is not None else b"")
            return None
        if not is_under_way(number):
            return fail(reason(number))
        opening: Deferred[None] = Deferred(lambda _: attempt.cancel())

        def connected() -> None:
            if client.is_over:
                made.close()
            else:
                client.carrier.join(made, self._header(client))
            opening.callback(None)

        attempt = Attempt(self._reactor, made, connected, opening.errback)
        return opening

    def _header(self, client: Connection) -> bytes:
        return b"" if self._send_proxy is None else proxy_header(self._send_proxy, client.peer, client.host)


class _BackendHalf(Half):
    """
    The backend's side of a connection.
    """

    def __init__(self) -> None:
        super().__init__("backend")


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
