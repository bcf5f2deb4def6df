"""
Why there is no connection, or why a server refuses, in words for a person, and what may help.

Twisted writes "Connection was refused by other side: 111: Connection refused.", and of a server that was killed that
the connection "was closed cleanly".
"""

import errno
import os
from typing import Final

from twisted.internet import defer
from twisted.internet.error import ConnectError, ConnectionAborted, ConnectionDone, ConnectionLost, TimeoutError

from echochat.client.address import ServerAddress
from echochat.client.outcomes import Moved, Refused, Silent

WANTS_TLS: Final = "it may want TLS: --tls"

_NOBODY: Final = (errno.ECONNREFUSED, errno.ENOENT)
"""
Nobody listens there, on TCP or on a UNIX socket.
"""


def in_words(error: BaseException | None) -> str:
    """
    The reason as one clause, without a full stop.
    """
    number = error.osError if isinstance(error, ConnectError) else None
    if isinstance(number, int):
        return os.strerror(number).lower()
    if isinstance(error, ConnectionDone):
        return "the server closed the connection"
    if isinstance(error, ConnectionAborted):
        return "the server did not answer"
    if isinstance(error, TimeoutError | defer.TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionLost):
        return "the connection broke"
    return str(error).rstrip(".") or type(error).__name__


def why_not_reached(error: BaseException, server: ServerAddress) -> str:
    """
    Why a server cannot be had at all, and what whoever has typed the command may try.
    """
    return f"cannot reach {server.name}: {with_hint(error, server)}"


def why_refused(error: BaseException) -> str:
    """
    What a server has refused, for whoever has typed the command: the server says how one logs in within a chat, and for
    a command that is an option.

    :param error: a refusal, or what it was the cause of.
    """
    refused = error if isinstance(error, Refused) else error.__cause__
    if isinstance(refused, Refused) and refused.code == "not-logged-in":
        return f"{refused.code}: log in with --login NAME, or with --token-file FILE"
    return str(error)


def with_hint(error: BaseException | None, server: ServerAddress) -> str:
    """
    The reason, and what may help if anything does.
    """
    hint = _hint(error, server)
    return f"{in_words(error)}{': ' * bool(hint)}{hint}"


def tell_loss(why: BaseException, server: ServerAddress) -> str:
    """
    That there is no connection any more, and the next one is being made.
    """
    if isinstance(why, Moved):
        return f"{server.name} asked its clients to reconnect"
    return f"lost {server.name}: {in_words(why)}. Trying again."


def _hint(error: BaseException | None, server: ServerAddress) -> str:
    if isinstance(error, ConnectError) and error.osError in _NOBODY:
        return "is the server running?"
    if isinstance(error, Silent) and server.is_plain:
        return WANTS_TLS
    files = server.files
    if files is None:
        return ""
    # Whoever does without TLS does not wait for OpenSSL to be loaded.
    from echochat.net.tls.reasons import NO_CERTIFICATE, NOT_TRUSTED

    said = str(error)
    if files.authorities is None and said.endswith(NOT_TRUSTED):
        return "name the certificate of one with --ca FILE"
    if files.certificate is None and said.endswith(NO_CERTIFICATE):
        return "name yours with --cert FILE --key FILE"
    return ""
