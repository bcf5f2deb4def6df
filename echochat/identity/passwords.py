"""
Passwords, and what is kept of them: Argon2id (RFC 9106) in the PHC string format.
"""

import binascii
import re
from base64 import b64decode
from typing import Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from echochat.wire.names import is_text

MAX_PASSWORD: Final = 1024
"""
The most bytes of a password: Argon2 reads all of it, so somebody who is not logged in chooses how much work that is.
"""

HASHER: Final = PasswordHasher(
    time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16, type=Type.ID
)
"""
How new passwords are hashed: OWASP's first choice. It takes 26 ms and 19 MiB, and lets go of the interpreter's lock.
"""

_PHC = re.compile(
    r"\$argon2id\$v=19\$m=([1-9][0-9]{0,6}),t=([1-9][0-9]{0,2}),p=([1-9][0-9]{0,2})"
    r"\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{16,86})"
)
_MOST_MEMORY: Final = 256 * 1024
_MOST_PASSES: Final = 16
_MOST_LANES: Final = 16


class PasswordRefused(Exception):
    """
    This cannot be somebody's password. The message says why, and does not repeat it.
    """


def is_possible(password: bytes) -> bool:
    """
    Tell whether somebody may have this password: if not, there is no need to hash it.
    """
    return 0 < len(password) <= MAX_PASSWORD


def check_new_password(password: bytes) -> None:
    """
    Look at a password that somebody chose.

    :raises PasswordRefused: it is empty, or too long, or could not be typed after ``/login NAME``.
    """
    if not password:
        raise PasswordRefused("a password cannot be empty")
    if len(password) > MAX_PASSWORD:
        raise PasswordRefused(f"a password has at most {MAX_PASSWORD} bytes")
    try:
        text = password.decode()
    except UnicodeDecodeError:
        text = None
    if text is None:
        # Not where it was caught: that error has the password in it, and would go along with ours.
        raise PasswordRefused("a password is UTF-8 text")
    if not is_text(text):
        raise PasswordRefused("a password is one line, without control characters")
    if text.strip(" \t") != text:
        raise PasswordRefused("a password neither begins nor ends with a space")


def hash_password(password: bytes, hasher: PasswordHasher = HASHER) -> str:
    """
    Make what is kept of a password. It takes a while: do not call it on the reactor's thread.
    """
    return hasher.hash(password)


def verify(phc: str, password: bytes) -> bool:
    """
    Tell whether this is the password. It takes a while: do not call it on the reactor's thread.

    :param phc: what was kept, for which :func:`is_hash` holds.
    """
    try:
        return HASHER.verify(phc, password)
    except (VerificationError, InvalidHashError):
        return False


def is_hash(phc: str) -> bool:
    """
    Tell whether this is what :func:`hash_password` makes, or another program with parameters of its own: at most
    256 MiB, 16 passes and 16 lanes, so that a slip in the file cannot stop the server at the next login.
    """
    parts = _PHC.fullmatch(phc)
    if parts is None:
        return False
    memory, passes, lanes = (int(part) for part in parts.group(1, 2, 3))
    if not (8 * lanes <= memory <= _MOST_MEMORY and passes <= _MOST_PASSES and lanes <= _MOST_LANES):
        return False
    return len(_decoded(parts[4])) >= 8 and len(_decoded(parts[5])) >= 12


def _decoded(unpadded: str) -> bytes:
    """
    Base64 as PHC writes it, without padding; nothing when it is not the one way to write these bytes.
    """
    try:
        decoded = b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)
    except binascii.Error:
        return b""
    return decoded if binascii.b2a_base64(decoded, newline=False).decode().rstrip("=") == unpadded else b""
