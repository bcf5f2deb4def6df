"""
The name in the first bytes of a TLS connection: what its client wants to talk to, as far as it says so in the clear.

A connection whose TLS ends elsewhere begins with a ClientHello (RFC 8446, section 4.1.2; RFC 5246, section 7.4.1.2),
with the ``server_name`` in it (RFC 6066, section 3). It is for the log only, and from who knows where: what cannot be a
host's name is no name.
"""

import re
from typing import Final

HANDSHAKE: Final = 22
"""
The first byte of a TLS connection.
"""

_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_HOST_NAME: Final = 0

# Browsers send fewer than twenty.
_MOST_EXTENSIONS: Final = 64

_RECORD: Final = 5
# The version and the client's random number, after the kind and length of the message.
_FIXED: Final = 4 + 2 + 32

_NAME: Final = re.compile(rb"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")


def server_name(data: bytes) -> str:
    """
    Find the name in a ClientHello.

    :param data: from the beginning of the connection; the rest may not have come yet. No more is looked at than the
        first record, of which there are 16 KiB at most.
    :return: in small letters; empty: this is no ClientHello, it has no such name, or its name has not come whole.
    """
    try:
        name = _find(data)
    except IndexError:
        # Cut off, or something else altogether.
        return ""
    return as_name(name)


def as_name(said: bytes) -> str:
    """
    What was said to be a host's name, in small letters; empty: it cannot be one.
    """
    return said.decode("ascii").lower() if _NAME.fullmatch(said) else ""


def _find(data: bytes) -> bytes:
    """
    :raises IndexError: it ends too early.
    """
    if data[0] != HANDSHAKE or data[1] != 3 or data[_RECORD] != _CLIENT_HELLO:
        return b""
    hello = data[_RECORD : _RECORD + _number(data, 3)]
    # The session, the ciphers and the kinds of compression, each behind its length.
    at = _FIXED
    at += 1 + hello[at]
    at += 2 + _number(hello, at)
    at += 1 + hello[at]
    at += 2
    for _ in range(_MOST_EXTENSIONS):
        kind, length = _number(hello, at), _number(hello, at + 2)
        at += 4
        if kind == _SERVER_NAME:
            return _name_in(hello[at : at + length])
        at += length
    return b""


def _name_in(extension: bytes) -> bytes:
    """
    Of a list of names, of which nobody has ever sent more than one.
    """
    if extension[2] != _HOST_NAME:
        return b""
    length = _number(extension, 3)
    name = extension[5 : 5 + length]
    return name if len(name) == length else b""


def _number(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]
