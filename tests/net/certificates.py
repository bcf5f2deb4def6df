"""
A certificate for 127.0.0.1 that lives as long as a test run: no key is kept anywhere.
"""

import datetime
import functools
import ipaddress
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS, trustRootFromCertificates


@dataclass(frozen=True)
class Identity:
    """
    A certificate and its key, as PEM.
    """

    certificate: bytes
    key: bytes

    def server_options(self) -> object:
        """
        What a server needs.
        """
        return PrivateCertificate.loadPEM(self.key + self.certificate).options()

    def client_options(self) -> object:
        """
        What a client needs that trusts this certificate and no other.
        """
        trusted = trustRootFromCertificates([Certificate.loadPEM(self.certificate)])
        return optionsForClientTLS("127.0.0.1", trusted)


@functools.cache
def identity() -> Identity:
    """
    The same one during a run.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Identity(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
