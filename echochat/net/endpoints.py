"""
From what people write to endpoints.

``tls:`` is also a name of Twisted's own, for a directory of certificates of a web server, and which of two plugins with
one name is found depends on how they were installed. So ours are registered as ``echochat-tls``, and here ``tls:`` is
short for it. ``proxied:`` is ours alone.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.internet.defer import TimeoutError
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.python.failure import Failure

_TCP_PORT: Final = re.compile(r"tcp6?:(?:port=)?([^:=]*)(?::|\Z)", re.IGNORECASE)

_SHORT: Final = "tls"
_OURS: Final = "echochat-tls"


def server_endpoint(reactor: Any, description: str) -> IStreamServerEndpoint:
    """
    Where to listen.

    :raises ValueError: the description cannot be understood; the text says why.
    """
    port = _TCP_PORT.match(description)
    if port is not None:
        # Twisted says of a wrong one "invalid literal for int()", or nothing before it listens.
        to_port("tcp", port[1])
    endpoint: IStreamServerEndpoint = _read(serverFromString, reactor, description)
    return endpoint


def client_endpoint(reactor: Any, description: str) -> IStreamClientEndpoint:
    """
    Where to connect.

    :raises ValueError: the description cannot be understood; the text says why.
    """
    endpoint: IStreamClientEndpoint = _read(clientFromString, reactor, description)
    return endpoint


def not_in_time(_: object, seconds: float) -> Failure:
    """
    What becomes of a connection that is given up after some seconds, for ``Deferred.addTimeout``: endpoints fail with
    an error of their own then, which Twisted does not take for a timeout, and of which the text is an address.
    """
    return Failure(TimeoutError(seconds, "Deferred"))


def _read(read: Callable[[Any, str], Any], reactor: Any, description: str) -> Any:
    kind, colon, rest = description.partition(":")
    if kind.lower() == _SHORT:
        description = f"{_OURS}{colon}{rest}"
    try:
        return read(reactor, description)
    except (TypeError, KeyError, IndexError) as error:
        # Twisted calls functions of its own with whatever was written.
        raise ValueError(f"{kind}: cannot be understood: {error}") from error
    except ValueError:
        raise
    except Exception as error:
        # Some kinds read their files here, and each kind is a plugin's that may raise whatever it likes.
        raise ValueError(f"{kind}: cannot be used: {str(error) or repr(error)}") from error


def refuse_unknown(kind: str, given: Iterable[str], known: Iterable[str]) -> None:
    """
    :param given: the names of the options in a description.
    :raises ValueError: one is not known.
    """
    for name in given:
        if name not in known:
            listed = ", ".join(f"{each}=" for each in known)
            raise ValueError(f"{kind}: has no option {name}=; it has {listed}")


def to_port(kind: str, text: str | None) -> int:
    """
    :raises ValueError: this is no port.
    """
    if text is None or not (text.isascii() and text.isdigit() and int(text) < 65_536):
        raise ValueError(f"{kind}: needs a port from 0 to 65535, as in {kind}:7443")
    return int(text)


def to_seconds(kind: str, name: str, text: str) -> float:
    """
    :raises ValueError: this is no length of time.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 3_600:
        raise ValueError(f"{kind}: {name}= is in seconds, up to 3600")
    return seconds
