"""
The keys that tokens are signed and checked with. Which algorithm a token must have follows from the kind of its key,
never from the token: a public key cannot be taken for a shared one.

* a shared key: one line of text, at least 32 characters of Base64 or hexadecimal digits, used as they stand (HS256);
* Ed25519 in PEM (EdDSA); RSA of at least 2,048 bits in PEM (RS256). The server is given the public key only.
"""

import re
import secrets
from base64 import b64decode
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from echochat.identity.files import FileRefused, create_secret, read_secret, read_trusted

_PEM: Final = b"-----BEGIN "
_SHARED = re.compile(rb"[A-Za-z0-9+/_-]{32,4096}={0,2}")
_FEWEST_BITS: Final = 2048
_FEWEST_CHARACTERS: Final = 8


@dataclass(frozen=True, slots=True)
class Key:
    """
    What tokens are signed or checked with.

    :ivar algorithm: the only one that a token of this key may have.
    :ivar material: what PyJWT takes: bytes, or a key of cryptography's.
    """

    algorithm: Literal["HS256", "EdDSA", "RS256"]
    material: Any = field(repr=False)


def create_key(path: str) -> None:
    """
    Make a file with a new shared key.

    :raises FileRefused: there is such a file already, or it cannot be made.
    """
    create_secret(path, secrets.token_urlsafe(32).encode() + b"\n")


def read_checking_key(path: str) -> Key:
    """
    Read the key that a server checks tokens with: a public one, or a shared one that nobody else may read.

    :raises FileRefused: it is no such key.
    """
    if _PEM not in read_trusted(path):
        return _shared_key(read_secret(path), path)
    content = read_trusted(path)
    if b"PRIVATE KEY-----" in content:
        raise FileRefused(
            f"{path} has a private key, which signs tokens: give the server the public one only"
            " (`openssl pkey -pubout` makes it)"
        )
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise FileRefused(f"{path} is not a public key in PEM") from None
    return _asymmetric_key(key, path)


def read_signing_key(path: str) -> Key:
    """
    Read a key that tokens are made with: a private one or a shared one, which nobody else may read.

    :raises FileRefused: it is no such key.
    """
    content = read_secret(path)
    if _PEM not in content:
        return _shared_key(content, path)
    if b"PUBLIC KEY-----" in content:
        raise FileRefused(f"{path} has a public key, which cannot sign: the private one is needed")
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except TypeError:
        raise FileRefused(f"{path} has a key behind a password: `openssl pkey` writes it without") from None
    except (ValueError, UnsupportedAlgorithm):
        raise FileRefused(f"{path} is not a private key in PEM") from None
    return _asymmetric_key(key, path)


def _asymmetric_key(key: object, path: str) -> Key:
    if isinstance(key, Ed25519PublicKey | Ed25519PrivateKey):
        return Key("EdDSA", key)
    if isinstance(key, RSAPublicKey | RSAPrivateKey):
        if key.key_size < _FEWEST_BITS:
            raise FileRefused(f"{path}: an RSA key has at least {_FEWEST_BITS} bits")
        return Key("RS256", key)
    raise FileRefused(f"{path} has a key of another kind: use Ed25519 or RSA")


def _shared_key(content: bytes, path: str) -> Key:
    key = content.removesuffix(b"\n").removesuffix(b"\r")
    if not _SHARED.fullmatch(key):
        raise FileRefused(
            f"{path} is not a key: neither PEM, nor one line of at least 32 characters of Base64"
            " (`echochat token --new-key FILE` makes one)"
        )
    if _is_public(key):
        # Whoever knows the public key, and that is anybody, could sign with it.
        raise FileRefused(f"{path} is a public key without its PEM lines: it would be taken for a shared one")
    if len(set(key)) < _FEWEST_CHARACTERS:
        raise FileRefused(f"{path} is not random: `echochat token --new-key FILE` makes a key that is")
    return Key("HS256", key)


def _is_public(key: bytes) -> bool:
    """
    Tell whether this is the Base64 of a public key in DER, or of SSH's.
    """
    digits = key.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        decoded = b64decode(digits + b"=" * (-len(digits) % 4))
        if decoded.startswith(b"\0\0\0"):
            return True
        serialization.load_der_public_key(decoded)
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True
