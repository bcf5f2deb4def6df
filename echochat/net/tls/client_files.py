"""
What a client shows, whom it believes, and what it looks for in a server's certificate.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

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
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from echochat.net.tls.contexts import client_context
from echochat.net.tls.files import TlsFileError, read_credentials, read_trust
from echochat.net.tls.reasons import TlsFailed, verdict_in_words
from echochat.net.tls.transport import TlsTransport

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
