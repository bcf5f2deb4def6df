"""
Listening with TLS: ``tls:7443:cert=certs/server.pem:key=certs/server.key``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL.crypto import X509
from OpenSSL.SSL import Connection, Context
from OpenSSL.SSL import Error as OpenSslError
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from echochat.net.endpoints import refuse_unknown, to_port, to_seconds
from echochat.net.layers import ILayeredEndpoint, Layer
from echochat.net.tls.contexts import server_context
from echochat.net.tls.files import TlsFileError, read_credentials, read_trust
from echochat.net.tls.handshakes import HandshakeCounts, Handshakes
from echochat.net.tls.names import certificate_name
from echochat.net.tls.reasons import verdict_in_words
from echochat.net.tls.transport import TlsTransport

HANDSHAKE: Final = 5.0
"""
Seconds that a handshake may take. Twisted itself waits for ever.
"""

_OPTIONS: Final = ("port", "cert", "key", "clientCA", "client", "crl", "handshake", "interface", "backlog")


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """
    What a server needs for TLS.

    :ivar client_ca: certificates of the authorities that sign clients'; None: clients are not asked for any.
    :ivar required: a client that shows none is refused.
    """

    certificate: str
    key: str
    client_ca: str | None = None
    revoked: str | None = None
    required: bool = True

    def read(self) -> Context:
        """
        :raises TlsFileError: a file cannot be used.
        """
        credentials = read_credentials(self.certificate, self.key, ExtendedKeyUsageOID.SERVER_AUTH)
        clients = None if self.client_ca is None else read_trust(self.client_ca, self.revoked)
        try:
            return server_context(credentials, clients, _verify, required=self.required)
        except OpenSslError as error:
            raise TlsFileError(f"OpenSSL does not accept {self.certificate}: {error.args[0][-1][-1]}") from error


@implementer(IOpenSSLServerConnectionCreator)
class ServerCreator:
    """
    Makes the server's end of each connection, of what the files said when they were last read in one piece.
    """

    def __init__(self, files: ServerFiles) -> None:
        self._files = files
        self._context = files.read()

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> Connection:
        connection = Connection(self._context)
        # For the verification of the client's certificate; Twisted does so for itself since 26 only.
        connection.set_app_data(tlsProtocol)
        return connection

    @property
    def asks_for_certificates(self) -> bool:
        """
        Whether a client has to show one.
        """
        return self._files.client_ca is not None and self._files.required

    def reload(self) -> None:
        """
        Read the files again, for the handshakes that follow. Connections that are there, and handshakes that have
        begun, keep what they have.

        :raises TlsFileError: one of them cannot be used: nothing has changed then.
        """
        self._context = self._files.read()


@implementer(IListeningPort)
class TlsPort:
    """
    A port that is listened on; everything else about it is the port's that it was made of.
    """

    def __init__(self, port: Any, creator: ServerCreator, counts: HandshakeCounts) -> None:
        self._port = port
        self._creator = creator
        self.counts = counts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def startListening(self) -> None:
        self._port.startListening()

    def stopListening(self) -> Deferred[None] | None:
        stopped: Deferred[None] | None = self._port.stopListening()
        return stopped

    def getHost(self) -> IAddress:
        host: IAddress = self._port.getHost()
        return host

    @property
    def asks_for_certificates(self) -> bool:
        """
        Whether a client has to show one.
        """
        return self._creator.asks_for_certificates

    def reload(self) -> None:
        """
        Read certificates, key and revocation list again.

        :raises TlsFileError: see :meth:`ServerCreator.reload`.
        """
        self._creator.reload()


@implementer(IStreamServerEndpoint, ILayeredEndpoint)
class TlsServerEndpoint:
    """
    Listens with TLS. The factory is asked for a protocol when a client was accepted in a handshake, and not before.

    :param below: the endpoint of the connections that TLS is spoken on.
    :param seconds: in which a handshake has to be over.
    """

    def __init__(self, reactor: Any, below: IStreamServerEndpoint, files: ServerFiles, seconds: float) -> None:
        self._reactor = reactor
        self._below = below
        self._files = files
        self._seconds = seconds

    # Called by Twisted

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Fires with a :class:`TlsPort`, or fails with :exc:`echochat.net.tls.files.TlsFileError`.
        """
        return self.listen_over(lambda factory: factory, protocolFactory)

    # Called by endpoints of ours

    def listen_over(self, layer: Layer, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        try:
            creator = ServerCreator(self._files)
        except TlsFileError:
            return fail()
        handshakes = Handshakes(creator, factory, self._reactor, self._seconds)
        listening: Deferred[Any] = self._below.listen(layer(handshakes))
        return listening.addCallback(lambda port: TlsPort(port, creator, handshakes.counts))


def reload_ports(ports: Iterable[Any]) -> list[TlsFileError]:
    """
    Have every port that can do so read its files again.

    :return: what went wrong; the ports concerned keep what they had.
    """
    problems: list[TlsFileError] = []
    for port in ports:
        try:
            getattr(port, "reload", _nothing)()
        except TlsFileError as error:
            problems.append(error)
    return problems


def parse_server(reactor: Any, *arguments: str, **options: str) -> TlsServerEndpoint:
    """
    Read what follows ``tls:``, as Twisted has taken it apart.

    :raises ValueError: it makes no sense; the text says why.
    """
    refuse_unknown("tls", options, _OPTIONS)
    if len(arguments) > 1 or (arguments and "port" in options):
        raise ValueError("tls: has one port, and everything else is NAME=VALUE; write \\: for a colon in a value")
    port = to_port("tls", arguments[0] if arguments else options.get("port"))
    if not options.get("cert"):
        raise ValueError("tls: needs a certificate: cert=FILE, and key=FILE ('echochat certs' makes both)")
    backlog = options.get("backlog", "50")
    if not (backlog.isascii() and backlog.isdigit()):
        raise ValueError("tls: backlog= is a number of connections that may wait")
    below = TCP4ServerEndpoint(reactor, port, int(backlog), options.get("interface", ""))
    seconds = to_seconds("tls", "handshake", options.get("handshake", f"{HANDSHAKE:g}"))
    return TlsServerEndpoint(reactor, below, _to_files(options), seconds)


def _to_files(options: dict[str, str]) -> ServerFiles:
    client_ca = options.get("clientCA")
    client = options.get("client", "require")
    if client not in ("require", "optional"):
        raise ValueError("tls: client= is require or optional")
    for name in ("client", "crl"):
        if name in options and client_ca is None:
            raise ValueError(f"tls: {name}= is about clients' certificates, and needs clientCA=FILE")
    certificate = options["cert"]
    return ServerFiles(
        certificate, options.get("key", certificate), client_ca, options.get("crl"), required=client == "require"
    )


def _verify(connection: Connection, certificate: X509, error: int, depth: int, accepted: int) -> bool:
    transport: TlsTransport = connection.get_app_data()
    if not accepted:
        transport.refusal = verdict_in_words(error, depth, transport.other_end)
        return False
    if depth == 0 and _name_in(certificate) is None:
        transport.refusal = f"{transport.other_end}'s certificate has no name that could be one here"
        return False
    return True


def _name_in(certificate: X509) -> str | None:
    try:
        return certificate_name(certificate.to_cryptography())
    except ValueError:
        # cryptography is stricter than OpenSSL. Whatever is raised here would end as a traceback.
        return None


def _nothing() -> None:
    pass
