"""
The ports of a process: where it listens, and what is said when it cannot.
"""

import errno
import os
import socket
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IProtocolFactory
from twisted.python.failure import Failure

from echochat.net.endpoints import server_endpoint
from echochat.net.tls import reload_ports
from echochat.net.tls.files import TlsFileError

KEEPALIVE_IDLE: Final = 60
"""
Seconds after which the kernel asks a silent peer whether it is there; with three more tries, 15 s apart, one that has
vanished is found within two minutes.
"""


_LOCKED: Final = "Cannot acquire lock"
"""
What Twisted says of a UNIX socket that another process listens on.
"""


class CannotStart(Exception):
    """
    The process cannot start. The message says why in one sentence, for whoever starts it: end it with that.
    """


class Ports:
    """
    Listens on endpoints until it is closed.

    :param reactor: on which to listen; a lean one or any other.
    :param fail: is told in one sentence why the process cannot go on, when an endpoint says only later that it cannot
        listen.
    """

    def __init__(self, reactor: Any, fail: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._fail = fail
        self._open: list[Any] = []

    def listen(self, option: str, endpoint: str, factory: IProtocolFactory, ready: Callable[[Any], None]) -> None:
        """
        Listen for clients.

        :param option: with which whoever starts the process names the endpoint.
        :param ready: is given the listening port.
        :raises CannotStart: it cannot.
        """
        self._begin(option, endpoint, lambda: self._listen(endpoint, factory, ready))

    def listen_for_operators(self, endpoint: str, factory: IProtocolFactory) -> None:
        """
        Listen on a UNIX socket that only this user may open.

        :param endpoint: of the form ``unix:PATH``.
        :raises CannotStart: it cannot.
        """
        self._begin("--control", endpoint, lambda: self._listen_for_operators(endpoint, factory))

    def reload_certificates(self) -> None:
        """
        Have every port with TLS read its files again.

        :raises TlsFileError: one of them cannot: it keeps what it had.
        """
        problems = reload_ports(self._open)
        if problems:
            raise TlsFileError("; ".join(map(str, problems)))

    async def close(self) -> None:
        """
        Listen no more. Connections go on.
        """
        ports, self._open = self._open, []
        await DeferredList([port.stopListening() or succeed(None) for port in ports], consumeErrors=True)

    @property
    def addresses(self) -> list[Any]:
        """
        Where it listens, as Twisted's addresses.
        """
        return [port.getHost() for port in self._open]

    # Ours

    def _begin(self, option: str, endpoint: str, listen: Callable[[], Deferred[None]]) -> None:
        listening = maybeDeferred(listen)
        result = getattr(listening, "result", None)
        if isinstance(result, Failure):
            # Raised from here it ends the start; an exception in a callback would be kept by the Deferred.
            listening.addErrback(lambda _: None)
            raise CannotStart(_why_deaf(option, endpoint, result))
        listening.addErrback(lambda failure: self._fail(_why_deaf(option, endpoint, failure)))

    def _listen(self, endpoint: str, factory: IProtocolFactory, ready: Callable[[Any], None]) -> Deferred[None]:
        listening: Deferred[Any] = server_endpoint(self._reactor, endpoint).listen(factory)

        def listens(port: Any) -> None:
            self._open.append(port)
            _prepare(getattr(port, "socket", None))
            ready(port)

        return listening.addCallback(listens)

    def _listen_for_operators(self, endpoint: str, factory: IProtocolFactory) -> Deferred[None]:
        # Without the mask everybody could open the socket between its making and Twisted's chmod.
        mask = os.umask(0o177)
        try:
            listening: Deferred[Any] = server_endpoint(self._reactor, f"{endpoint}:mode=600").listen(factory)
        finally:
            os.umask(mask)
        return listening.addCallback(self._open.append)


def reachable(host: str, port: int) -> tuple[str, str]:
    """
    Where one reaches what listens there, for people of this machine.

    :return: the host, and host and port as one writes them together.
    """
    name = "localhost" if host in ("0.0.0.0", "::") else host  # noqa: S104
    return name, f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _why_deaf(option: str, endpoint: str, failure: Failure) -> str:
    error: object = failure.value
    hint = ""
    if isinstance(failure.value, CannotListenError):
        error = failure.value.socketError
        if str(error) == _LOCKED:
            return f"cannot listen on {endpoint}: another process does"
        # Of a UNIX socket it says that something is there which is none.
        is_port = isinstance(failure.value.port, int)
        if is_port and getattr(error, "errno", None) == errno.EADDRINUSE:
            hint = f": end what listens there, or name another port with {option}"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"cannot listen on {endpoint}: {reason}{hint}"


def _prepare(listening: socket.socket | None) -> None:
    """
    Set what connections inherit from the socket that accepts them: no system call for each, then.
    """
    if listening is None or listening.family not in (socket.AF_INET, socket.AF_INET6):
        return
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Without this an event waits for the acknowledgement of the one before it: 40 ms with delayed acknowledgements.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
