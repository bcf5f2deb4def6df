"""
Connecting with TLS: ``tls:chat.example:7443``.
"""

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from echochat.net.endpoints import refuse_unknown, to_port, to_seconds
from echochat.net.tls.client_files import ClientCreator, ClientFiles
from echochat.net.tls.reasons import TlsFailed
from echochat.net.tls.transport import Handshake, TlsTransport

HANDSHAKE: Final = 10.0
"""
Seconds that a server may take for its part of a handshake.
"""

_OPTIONS: Final = ("host", "port", "ca", "cert", "key", "name", "timeout", "handshake")


class ClientTransport(TlsTransport):
    """
    The client's end of a connection.
    """

    other_end = "the server"


class _Connecting(TLSMemoryBIOFactory):
    """
    One connection, on its way.

    :ivar connected: fires with the wrapped factory's protocol when the server was accepted.
    """

    def __init__(self, creator: Any, factory: IProtocolFactory, reactor: Any, seconds: float) -> None:
        super().__init__(creator, True, factory, reactor)
        self._reactor = reactor
        self._seconds = seconds
        self._handshake: Handshake | None = None
        self._cause = ""
        self.connected: Deferred[IProtocol] = Deferred(lambda _: self._break_off("it was not wanted any more"))

    # Called by Twisted

    def buildProtocol(self, addr: IAddress | None) -> ClientTransport:
        self._handshake = Handshake(self, addr)
        return ClientTransport(self, self._handshake)

    # Called by the handshake

    def begun(self, handshake: Handshake) -> None:
        self._deadline = self._reactor.callLater(
            self._seconds, self._break_off, f"the server did not finish the handshake within {self._seconds:g} s"
        )

    def accepted(self, handshake: Handshake) -> None:
        self._deadline.cancel()
        protocol = self.wrappedFactory.buildProtocol(handshake.address)
        if protocol is None:
            self._break_off("it was not wanted any more")
            return
        handshake.transport.hand_over(protocol)
        self._handshake = None
        self.connected.callback(protocol)

    def failed(self, handshake: Handshake, reason: Failure) -> None:
        if self._deadline.active():
            self._deadline.cancel()
        if not self.connected.called:
            self.connected.errback(TlsFailed(self._cause or handshake.transport.cause(reason)))

    # Ours

    def _break_off(self, cause: str) -> None:
        if self._handshake is not None:
            self._cause = cause
            self._handshake.transport.abortConnection()


@implementer(IStreamClientEndpoint)
class TlsClientEndpoint:
    """
    Connects with TLS. The connection is there when the server was accepted in the handshake.

    :param below: the endpoint of the connection that TLS is spoken on.
    :param name: the server's name or address, which has to be in its certificate.
    :param seconds: in which the handshake has to be over.
    """

    def __init__(
        self, reactor: Any, below: IStreamClientEndpoint, name: str, files: ClientFiles, seconds: float = HANDSHAKE
    ) -> None:
        self._reactor = reactor
        self._below = below
        self._name = name
        self._files = files
        self._seconds = seconds

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Fails with :exc:`TlsFailed` when the server was refused, or went away before that; with
        :exc:`echochat.net.tls.files.TlsFileError` for a file that cannot be used.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    def look_at_files(self) -> None:
        """
        See whether the files can be used, before they are needed: each connection reads them again.

        :raises TlsFileError: one cannot.
        """
        self._files.read(self._name)

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        creator = ClientCreator(self._files.read(self._name), self._name)
        connecting = _Connecting(creator, factory, self._reactor, self._seconds)
        await self._below.connect(connecting)
        return await connecting.connected


def parse_client(reactor: Any, *arguments: str, **options: str) -> TlsClientEndpoint:
    """
    Read what follows ``tls:``, as Twisted has taken it apart.

    :raises ValueError: it makes no sense; the text says why.
    """
    refuse_unknown("tls", options, _OPTIONS)
    given = dict(zip(("host", "port"), arguments, strict=False))
    if len(arguments) > 2 or given.keys() & options.keys():
        raise ValueError("tls: has a host and a port, and everything else is NAME=VALUE; write \\: for a colon in them")
    options = {**options, **given}
    host = options.get("host", "")
    if not host:
        raise ValueError("tls: needs a host, as in tls:chat.example:7443")
    port = to_port(f"tls:{host}", options.get("port"))
    timeout = to_seconds("tls", "timeout", options.get("timeout", "30"))
    handshake = to_seconds("tls", "handshake", options.get("handshake", f"{HANDSHAKE:g}"))
    if "key" in options and "cert" not in options:
        raise ValueError("tls: key= belongs to a certificate: cert=FILE")
    return TlsClientEndpoint(
        reactor,
        HostnameEndpoint(reactor, host, port, timeout),
        options.get("name", host),
        ClientFiles(options.get("ca"), options.get("cert"), options.get("key")),
        handshake,
    )
