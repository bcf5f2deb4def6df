"""
Certificates, keys and revocation lists: read from files, and looked at before they are used.

Everything that OpenSSL would refuse later, in the middle of a handshake and in words of its own, is found here, where
whoever started the server still looks.
"""

import datetime
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import (
    Certificate,
    CertificateRevocationList,
    ExtendedKeyUsage,
    ExtensionNotFound,
    ObjectIdentifier,
    load_pem_x509_certificates,
    load_pem_x509_crl,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

PrivateKey = EllipticCurvePrivateKey | RSAPrivateKey | Ed25519PrivateKey
Read = TypeVar("Read")

_LARGEST: Final = 1 << 24
_PEM_END: Final = b"-----END X509 CRL-----"
_PURPOSES: Final = {
    ExtendedKeyUsageOID.SERVER_AUTH: "servers",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clients",
}


class TlsFileError(ValueError):
    """
    A file cannot be used. The message is a sentence for whoever named it: which file, and what is wrong with it.
    """


@dataclass(frozen=True, slots=True)
class Credentials:
    """
    What an end of a connection shows of itself: a certificate, those that lead from it to an authority, and the key.
    """

    certificate: Certificate
    chain: tuple[Certificate, ...]
    key: PrivateKey


@dataclass(frozen=True, slots=True)
class Trust:
    """
    What the other end's certificate is held against.

    :ivar authorities: one of them must have signed it, directly or through others.
    :ivar revoked: lists of what was withdrawn; with any, there must be one of each authority in between.
    """

    authorities: tuple[Certificate, ...]
    revoked: tuple[CertificateRevocationList, ...] = ()


def read_credentials(certificate_path: str, key_path: str, purpose: ObjectIdentifier | None) -> Credentials:
    """
    Read a certificate with its chain, and its private key.

    :param purpose: what the certificate must be for, if it says for what it is; None: no matter what.
    :raises TlsFileError: a file is missing, readable by others, or not what it should be; the certificate is not valid
        now; or they do not belong together.
    """
    certificate, *chain = read_certificates(certificate_path)
    _check_valid_now(certificate, certificate_path)
    if purpose is not None:
        _check_purpose(certificate, certificate_path, purpose)
    key = _read_key(key_path)
    if certificate.public_key() != key.public_key():
        raise TlsFileError(f"the private key in {key_path} is not that of the certificate in {certificate_path}")
    return Credentials(certificate, tuple(chain), key)


def read_trust(authorities_path: str, revoked_path: str | None) -> Trust:
    """
    Read the certificates of authorities, and their revocation lists.

    :raises TlsFileError: a file is missing or not what it should be, or a list is out of date or by somebody else.
    """
    authorities = tuple(read_certificates(authorities_path))
    if revoked_path is None:
        return Trust(authorities)
    revoked = _read_revoked(revoked_path)
    for each in revoked:
        if not any(_has_signed(authority, each) for authority in authorities):
            raise TlsFileError(f"the revocation list in {revoked_path} is not by an authority in {authorities_path}")
        if each.next_update_utc is not None and each.next_update_utc <= _now():
            raise TlsFileError(
                f"the revocation list in {revoked_path} is out of date since {_day(each.next_update_utc)}: "
                "get a new one from the authority"
            )
    return Trust(authorities, revoked)


def read_certificates(path: str) -> Sequence[Certificate]:
    """
    Read one or more certificates.

    :raises TlsFileError: the file is missing or holds none.
    """
    return _parse(path, "a certificate", load_pem_x509_certificates, _read(path))


def _read_key(path: str) -> PrivateKey:
    data = _read(path, 0o077)
    try:
        key = _parse(path, "a private key", lambda pem: load_pem_private_key(pem, None), data)
    except TypeError:
        raise TlsFileError(
            f"the private key in {path} is protected by a passphrase, which nobody can type when the server starts: "
            "keep it without one, readable for its owner alone"
        ) from None
    if not isinstance(key, PrivateKey):
        raise TlsFileError(f"the private key in {path} is of a kind that TLS has no use for: make an ECDSA key (P-256)")
    return key


def _read_revoked(path: str) -> tuple[CertificateRevocationList, ...]:
    return _parse(path, "a revocation list", _split_lists, _read(path))


def _split_lists(data: bytes) -> tuple[CertificateRevocationList, ...]:
    lists = [each + _PEM_END for each in data.split(_PEM_END)[:-1]] or [data]
    return tuple(load_pem_x509_crl(each) for each in lists)


def _read(path: str, forbidden_mode: int = 0) -> bytes:
    """
    :param forbidden_mode: permissions that the file must not grant.
    """
    try:
        with open(path, "rb") as file:
            # Of the file that is open, and not of one that had this name a moment before.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & forbidden_mode:
                raise TlsFileError(f"others can read the private key in {path} (mode {mode:o}): chmod 600 {path}")
            return file.read(_LARGEST)
    except OSError as error:
        raise TlsFileError(f"cannot read {path}: {error.strerror}") from error


def _parse(path: str, what: str, parse: Callable[[bytes], Read], data: bytes) -> Read:
    try:
        # A part that is cut off, in a file that is being written, would be left out without a word.
        if data.count(b"-----BEGIN ") != data.count(b"-----END "):
            raise ValueError
        return parse(data)
    except (ValueError, UnsupportedAlgorithm):
        raise TlsFileError(f"there is not {what} in {path}, or it is damaged (PEM is what is read)") from None


def _check_valid_now(certificate: Certificate, path: str) -> None:
    now = _now()
    if certificate.not_valid_after_utc <= now:
        raise TlsFileError(f"the certificate in {path} has expired on {_day(certificate.not_valid_after_utc)}")
    if certificate.not_valid_before_utc > now:
        raise TlsFileError(
            f"the certificate in {path} is not valid before {_day(certificate.not_valid_before_utc)} "
            f"(this machine's date is {_day(now)})"
        )


def _check_purpose(certificate: Certificate, path: str, purpose: ObjectIdentifier) -> None:
    try:
        purposes = certificate.extensions.get_extension_for_class(ExtendedKeyUsage).value
    except ExtensionNotFound:
        return
    if purpose not in purposes and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in purposes:
        raise TlsFileError(f"the certificate in {path} is not for {_PURPOSES[purpose]}")


def _has_signed(authority: Certificate, revoked: CertificateRevocationList) -> bool:
    try:
        return authority.subject == revoked.issuer and revoked.is_signature_valid(authority.public_key())  # type: ignore[arg-type]  # raises TypeError for keys that sign nothing
    except (TypeError, UnsupportedAlgorithm):
        return False


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _day(time: datetime.datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
