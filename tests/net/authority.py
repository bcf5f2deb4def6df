"""
Certificates for tests, good ones and every kind of bad one, made when they are asked for: no key is kept anywhere.
"""

import datetime
import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.trial.unittest import SynchronousTestCase

SERVERS = ExtendedKeyUsageOID.SERVER_AUTH
CLIENTS = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True)
class Pair:
    """
    A certificate and its private key.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def dns(text: str) -> x509.GeneralName:
    return x509.DNSName(text)


def email(text: str) -> x509.GeneralName:
    return x509.RFC822Name(text)


def address(text: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(text))


def make(
    common_names: str | Iterable[str] = (),
    by: Pair | None = None,
    *,
    alternatives: Iterable[x509.GeneralName] = (),
    purpose: x509.ObjectIdentifier | None = None,
    begins: float = -1,
    ends: float = 30,
    is_authority: bool = False,
    more: Iterable[x509.ExtensionType] = (),
) -> Pair:
    """
    A certificate.

    :param by: who signs it; None: itself.
    :param begins: from when it is valid, in days from now; ``ends`` likewise.
    :param more: other extensions, even broken ones.
    """
    names = (common_names,) if isinstance(common_names, str) else common_names
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if by is None else by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_in_days(begins))
        .not_valid_after(_in_days(ends))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
    )
    listed = list(alternatives)
    if listed:
        builder = builder.add_extension(x509.SubjectAlternativeName(listed), critical=False)
    for each in more:
        builder = builder.add_extension(each, critical=False)
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return Pair(builder.sign(key if by is None else by.key, SHA256()), key)


def revocation_list(by: Pair, *revoked: Pair, ends: float = 30) -> bytes:
    """
    A list of revoked certificates, as PEM.
    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(by.certificate.subject)
        .last_update(_in_days(-2))
        .next_update(_in_days(ends))
    )
    for each in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(each.certificate.serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(_in_days(-1)).build())
    return builder.sign(by.key, SHA256()).public_bytes(Encoding.PEM)


@functools.cache
def authority() -> Pair:
    """
    Whom the tests' servers and clients trust.
    """
    return make("the authority", is_authority=True)


@functools.cache
def stranger() -> Pair:
    """
    Another authority, whom nobody trusts.
    """
    return make("a stranger", is_authority=True)


@functools.cache
def server() -> Pair:
    """
    A good certificate for a server here.
    """
    return make("localhost", authority(), alternatives=[dns("localhost"), address("127.0.0.1")], purpose=SERVERS)


@functools.cache
def alice() -> Pair:
    """
    A good certificate for a client.
    """
    return make("Alice Example", authority(), alternatives=[uri("echochat:alice")], purpose=CLIENTS)


class Folder:
    """
    Files of a test.
    """

    def __init__(self, test: SynchronousTestCase) -> None:
        self.path = Path(test.mktemp())
        self.path.mkdir()

    def write(self, name: str, content: bytes, mode: int = 0o600) -> str:
        """
        Make a file, or give it another content.

        :return: its path.
        """
        path = self.path / name
        new = self.path / f"{name}.new"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with open(descriptor, "wb") as file:
            file.write(content)
        new.replace(path)
        return str(path)

    def write_pair(self, name: str, pair: Pair) -> tuple[str, str]:
        """
        Make the files of a certificate and its key.

        :return: their paths.
        """
        return self.write(f"{name}.pem", pair.pem), self.write(f"{name}.key", pair.key_pem)


def _in_days(days: float) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
