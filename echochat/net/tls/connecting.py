"""
Connecting with TLS: ``tls:chat.example:7443``.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from cryptography.x509 import (
    Certificate,
    DNSName,
    DuplicateExtension,
    ExtensionNotFound,
    IPAddress,
    SubjectAlternativeName,
    UnsupportedGeneralNameType,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL.crypto import X509
from OpenSSL.SSL import Connection, Context
from OpenSSL.SSL import Error as OpenSslError
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import (
    IAddress,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from echochat.net.endpoints import refuse_unknown, to_port, to_seconds
from echochat.net.tls.contexts import client_context
from echochat.net.tls.files import TlsFileError, read_credentials, read_trust
from echochat.net.tls.reasons import TlsFailed, verdict_in_words
from echochat.net.tls.transport import Handshake, TlsTransport

HANDSHAKE: Final = 10.0
"""
Seconds that a server may take for its part of a handshake.
"""

_OPTIONS: Final = ("host", "port", "ca", "cert", "key", "name", "timeout", "handshake")
_MOST_NAMES: Final = 3


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """
    What a client needs for TLS.

    :ivar authorities: certificates of the authorities that may sign the server's; None: those that this machine
        trusts.
    :ivar certificate: what to show when the server asks, together with the key; None: nothing.
    """

    authorities: str | None = None
    certificate: str | None = None
    key: str | None = None

    def read(self, name: str) -> Context:
        """
        :param name: the server's name or address, which has to be in its certificate.
        :raises TlsFileError: a file cannot be used.
        """
        credentials = None
        if self.certificate is not None:
            key = self.key or self.certificate
            credentials = read_credentials(self.certificate, key, ExtendedKeyUsageOID.CLIENT_AUTH)
        servers = None if self.authorities is None else read_trust(self.authorities, None)
        try:
            return client_context(credentials, servers, _Verifier(name).verify)
        except OpenSslError as error:
            raise TlsFileError(f"OpenSSL does not accept {self.certificate}: {error.args[0][-1][-1]}") from error


class _Verifier:
    """
    :param name: the server's name or address.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def verify(self, connection: Connection, certificate: X509, error: int, depth: int, accepted: int) -> bool:
        """
        pyOpenSSL's callback.
        """
        transport: TlsTransport = connection.get_app_data()
        if not accepted:
            transport.refusal = verdict_in_words(error, depth, transport.other_end)
            return False
        if depth > 0:
            return True
        try:
            transport.refusal = self._object_to(certificate.to_cryptography(), transport.other_end)
        except (ValueError, DuplicateExtension, UnsupportedGeneralNameType):
            # OpenSSL has not looked at everything that service-identity does.
            transport.refusal = f"{transport.other_end}'s certificate cannot be read"
        return not transport.refusal

    def _object_to(self, certificate: Certificate, other: str) -> str:
        check = verify_certificate_ip_address if _is_address(self._name) else verify_certificate_hostname
        try:
            check(certificate, self._name)
        except (VerificationError, CertificateError):
            return f"{other}'s certificate is not for {self._name}{_whose(certificate)}: it may be another server's"
        return ""


@implementer(IOpenSSLClientConnectionCreator)
class ClientCreator:
    """
    Makes the client's end of each connection.

    :raises TlsFailed: the name cannot be a server's.
    """

    def __init__(self, context: Context, name: str) -> None:
        self._context = context
        # Addresses may not be sent (RFC 6066, section 3).
        self._announced = b"" if _is_address(name) else _to_ascii(name)

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> Connection:
        connection = Connection(self._context)
        connection.set_app_data(tlsProtocol)
        if self._announced:
            connection.set_tlsext_host_name(self._announced)
        return connection


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


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _to_ascii(name: str) -> bytes:
    try:
        return name.encode("idna")
    except UnicodeError:
        raise TlsFailed(f"{name!r} is not a host name") from None


def _whose(certificate: Certificate) -> str:
    try:
        alternatives = list(certificate.extensions.get_extension_for_class(SubjectAlternativeName).value)
    except ExtensionNotFound:
        return ""
    names = [str(each.value) for each in alternatives if isinstance(each, DNSName | IPAddress)]
    # A certificate may say anything, and this is shown on a terminal.
    shown = [each for each in names if each.isascii() and each.isprintable()][:_MOST_NAMES]
    return f", but for {', '.join(shown)}" if shown else ""
