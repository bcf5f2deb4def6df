"""
The files that say to the broker who we are. They are read anew for each connection, so that they can be replaced.
"""

import base64
import binascii
import os
import re
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from echochat.broker.errors import CredentialsRefused

_MAX_FILE: Final = 64 << 10

_BLOCK: Final = rb"-+BEGIN %s-+\s+(\S+)\s+-+END %s-+"
_JWT: Final = re.compile(_BLOCK % (b"NATS USER JWT", b"NATS USER JWT"))
_SEED: Final = re.compile(_BLOCK % (b"USER NKEY SEED", b"USER NKEY SEED"))

# Two bytes that tell what kind of seed it is, the seed, and two of a checksum
# (https://github.com/nats-io/nkeys/blob/main/README.md).
_SEED_LENGTH: Final = 2 + 32 + 2
_SEED_OF_A_USER: Final = bytes([18 << 3 | 5, 0])
_USER: Final = bytes([20 << 3])


def read_secret_line(path: str) -> str:
    """
    The first line of a file that only its owner may read.

    :raises CredentialsRefused: it cannot be read, or others can.
    """
    lines = read_secret(path).decode("utf-8", "replace").splitlines()
    if not lines or not lines[0]:
        raise CredentialsRefused(f"{path} is empty: its first line is the password")
    return lines[0]


class UserCredentials:
    """
    A file with a user's JWT and the seed of its key, as ``nsc`` writes it; or with the seed alone, where the broker
    knows the public key.

    :ivar public: the public key, as the broker's configuration has it.
    :raises CredentialsRefused: it is not one.
    """

    def __init__(self, path: str) -> None:
        content = read_secret(path)
        jwt, seed = _JWT.search(content), _SEED.search(content)
        # With its hyphen: one seed of 550 has the letters in it.
        if seed is None or (jwt is None and b"JWT-" in content):
            raise CredentialsRefused(f"{path} is not a credentials file: it has no seed, or a JWT that is none")
        self.jwt: bytes | None = jwt[1] if jwt is not None else None
        self._key = _private_key(path, seed[1])
        self.public = _written(_USER, self._key.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return "<UserCredentials>"

    def sign(self, nonce: str) -> bytes:
        """
        What proves to the broker that we have the key.
        """
        return base64.b64encode(self._key.sign(nonce.encode()))


def make_user_key() -> str:
    """
    Make a key for a user.

    :return: what belongs in the file.
    """
    seed = _written(_SEED_OF_A_USER, Ed25519PrivateKey.generate().private_bytes_raw())
    return f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"


def _written(kind: bytes, key: bytes) -> str:
    raw = kind + key
    checked = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode().rstrip("=")


def _private_key(path: str, seed: bytes) -> Ed25519PrivateKey:
    try:
        raw = base64.b32decode(seed + b"=" * (-len(seed) % 8))
    except binascii.Error:
        raw = b""
    if len(raw) != _SEED_LENGTH or binascii.crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
        raise CredentialsRefused(f"{path} is not a credentials file: its seed is damaged")
    return Ed25519PrivateKey.from_private_bytes(raw[2:-2])


def read_secret(path: str) -> bytes:
    """
    A file that only its owner may read.

    :raises CredentialsRefused: it cannot be read, or others can.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            content = file.read(_MAX_FILE)
    except OSError as error:
        raise CredentialsRefused(f"{path} cannot be read: {error.strerror}") from None
    # The group may read a file of root's: that is how systemd hands secrets to a service.
    too_open = 0o077 if status.st_uid == os.geteuid() or status.st_uid != 0 else 0o037
    if status.st_mode & too_open:
        raise CredentialsRefused(f"{path} can be read or changed by others than its owner: chmod 600 {path}")
    return content
