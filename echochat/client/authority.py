"""
A small authority of one's own: certificates for a server and its clients, without asking anybody.

ECDSA on P-256 throughout, which every TLS library has. A leaf says what it is for (server or client) and cannot sign
others; the authority can sign leaves, and no other authorities.
"""

import datetime
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from echochat.net.tls.names import SCHEME

AUTHORITY_DAYS: Final = 3_653
LEAF_DAYS: Final = 365

_SKEW: Final = datetime.timedelta(minutes=5)
"""
Certificates are valid a little before they are made: other machines' clocks are late.
"""


@dataclass(frozen=True)
class Issued:
    """
    A certificate and its private key.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Authority:
    """
    Signs certificates.

    :ivar own: its own.
    """

    def __init__(self, own: Issued) -> None:
        self.own = own

    @classmethod
    def new(cls, name: str) -> "Authority":
        """
        An authority that nobody trusts yet.

        :param name: how it is called where certificates are shown.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = (
            _begin(subject, subject, key, datetime.timedelta(days=AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(certificates=True), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        )
        return cls(Issued(builder.sign(key, SHA256()), key))

    def issue_server(self, names: Iterable[str], days: int = LEAF_DAYS) -> Issued:
        """
        A certificate for a server.

        :param names: its host names and addresses, at least one.
        :raises ValueError: one of them is neither.
        """
        alternatives = [to_general_name(name) for name in names]
        return self._issue(str(alternatives[0].value), alternatives, ExtendedKeyUsageOID.SERVER_AUTH, days)

    def issue_client(self, name: str, days: int = LEAF_DAYS) -> Issued:
        """
        A certificate for a client.

        :param name: who it is, a legal name on the wire.
        """
        alternative = x509.UniformResourceIdentifier(SCHEME + name)
        return self._issue(name, [alternative], ExtendedKeyUsageOID.CLIENT_AUTH, days)

    def revoke(
        self, certificate: x509.Certificate, before: x509.CertificateRevocationList | None
    ) -> x509.CertificateRevocationList:
        """
        A list of revoked certificates with one more.

        :param before: the list so far; None: there is none.
        """
        if before is not None and before.get_revoked_certificate_by_serial_number(certificate.serial_number):
            return before
        now = datetime.datetime.now(datetime.UTC)
        entries = list(before or ())
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.own.certificate.subject)
            .last_update(now - _SKEW)
            # The list is a file beside the server, which is as new as its owner makes it: there is nothing to wait for.
            .next_update(self.own.certificate.not_valid_after_utc)
            .add_extension(self._identifier(), critical=False)
            .add_extension(x509.CRLNumber(len(entries) + 1), critical=False)
        )
        for each in entries:
            builder = builder.add_revoked_certificate(each)
        revoked = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number).revocation_date(now)
        return builder.add_revoked_certificate(revoked.build()).sign(self.own.key, SHA256())

    def _issue(
        self, name: str, alternatives: list[x509.GeneralName], purpose: x509.ObjectIdentifier, days: int
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        authority = self.own.certificate
        # A common name has 64 characters at most; it is for people, and nobody else looks at it.
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
        builder = (
            _begin(subject, authority.subject, key, datetime.timedelta(days=days), authority.not_valid_after_utc)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(self._identifier(), critical=False)
        )
        return Issued(builder.sign(self.own.key, SHA256()), key)

    def _identifier(self) -> x509.AuthorityKeyIdentifier:
        own = self.own.certificate
        try:
            identifier = own.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        except x509.ExtensionNotFound:
            return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.own.key.public_key())
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def can_sign(certificate: x509.Certificate) -> bool:
    """
    Tell whether this is an authority's.
    """
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def to_general_name(text: str) -> x509.GeneralName:
    """
    Read a host name or an address, as a server's certificate has it.

    :raises ValueError: it is neither.
    """
    try:
        return x509.IPAddress(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        pass
    labels = text.removesuffix(".").removeprefix("*.").encode("idna").decode("ascii").split(".")
    for label in labels:
        allowed = label.replace("-", "").replace("_", "").isalnum()
        if not allowed or label.startswith("-") or label.endswith("-"):
            raise ValueError(f"{text!r} is neither a host name nor an address")
    return x509.DNSName("*." * text.startswith("*.") + ".".join(labels))


def _begin(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    validity: datetime.timedelta,
    latest: datetime.datetime | None = None,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    end = now + validity
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(end if latest is None else min(end, latest))
    )


def _key_usage(*, certificates: bool) -> x509.KeyUsage:
    """
    :param certificates: for signing those, and revocation lists, instead of handshakes.
    """
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
