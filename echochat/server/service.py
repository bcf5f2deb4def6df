"""
A server's life: listen, serve, drain, stop.
"""

import os
import socket
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, TimeoutError, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.history.errors import HistoryRefused
from echochat.net.endpoints import server_endpoint
from echochat.net.gate import Gate
from echochat.net.tls import TlsPort, reload_ports
from echochat.net.tls.files import TlsFileError
from echochat.server.control import ControlFactory
from echochat.server.factory import GRACE, EchoChatFactory

KEEPALIVE_IDLE = 60
"""
Seconds after which the kernel asks a silent peer whether it is there; with three more tries, 15 s apart, one that has
vanished is found within two minutes.
"""


CLOSING = 20.0
"""
Seconds that the history has to close.
"""


class CannotStart(Exception):
    """
    The service cannot start. The message says why in one sentence, for whoever starts the process: end it with that.
    """


class EchoChatService(Service):
    """
    Listens on endpoints and serves connections until it is stopped.

    :param reactor: on which to listen; a lean one or any other.
    :param factory: serves the connections.
    :param gate: which of the ports is told.
    :param endpoints: where to listen, as Twisted's endpoint strings.
    :param control: where to listen for operators, and what serves them.
    :param fail: is told in one sentence why the service cannot go on, when that shows after it was started.
    """

    log = make_logger()

    def __init__(
        self,
        reactor: Any,
        factory: EchoChatFactory,
        gate: Gate,
        endpoints: tuple[str, ...],
        fail: Callable[[str], None],
        control: tuple[str, ControlFactory] | None = None,
    ) -> None:
        self._reactor = reactor
        self._factory = factory
        self._gate = gate
        self._endpoints = endpoints
        self._fail = fail
        self._control = control
        self._ports: list[Any] = []
        self._has_begun = False
        self._hurry: Deferred[None] = Deferred()

    # Called by Twisted

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        self._listen()

    def startService(self) -> None:
        super().startService()
        # twist does not know the privileged part.
        if not self._has_begun:
            self._listen()
        self._factory.exchange.open().addCallbacks(lambda _: self._gate.let_in(), self._no_history)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    # Called by the process

    def hurry(self) -> None:
        """
        Do not wait for clients any more while stopping.
        """
        if not self._hurry.called:
            self._hurry.callback(None)

    def reload_certificates(self) -> None:
        """
        Have every port with TLS read its files again.

        :raises TlsFileError: one of them cannot: it keeps what it had.
        """
        problems = reload_ports(self._ports)
        if problems:
            raise TlsFileError("; ".join(map(str, problems)))

    @property
    def addresses(self) -> list[Any]:
        """
        Where the service listens, as Twisted's addresses.
        """
        return [port.getHost() for port in self._ports]

    # Ours

    def _listen(self) -> None:
        self._has_begun = True
        # Whoever comes before the history is open waits, instead of being told that it is not.
        self._gate.hold()
        if self._control is not None:
            self._begin(self._listen_for_operators, self._control[0])
        for endpoint in self._endpoints:
            self._begin(self._listen_on, endpoint)

    def _begin(self, listen: Callable[[str], Deferred[None]], endpoint: str) -> None:
        listening = maybeDeferred(listen, endpoint)
        result = getattr(listening, "result", None)
        if isinstance(result, Failure):
            # Raised from here it ends the start; an exception in a callback would be kept by the Deferred.
            listening.addErrback(lambda _: None)
            raise CannotStart(_why_deaf(endpoint, result))
        listening.addErrback(self._deaf_after_all, endpoint)

    def _listen_for_operators(self, endpoint: str) -> Deferred[None]:
        assert self._control is not None
        # Without the mask everybody could open the socket between its making and Twisted's chmod.
        mask = os.umask(0o177)
        try:
            listening: Deferred[Any] = server_endpoint(self._reactor, f"{endpoint}:mode=600").listen(self._control[1])
        finally:
            os.umask(mask)
        return listening.addCallback(self._ports.append)

    def _listen_on(self, endpoint: str) -> Deferred[None]:
        listening: Deferred[Any] = server_endpoint(self._reactor, endpoint).listen(self._factory)
        return listening.addCallback(self._listening, endpoint)

    def _deaf_after_all(self, failure: Failure, endpoint: str) -> None:
        self._fail(_why_deaf(endpoint, failure))

    def _listening(self, port: Any, endpoint: str) -> None:
        self._ports.append(port)
        self._gate.guard(port)
        _prepare(getattr(port, "socket", None))
        address = port.getHost()
        host = getattr(address, "host", None)
        if host is None:
            self.log.info("listening on {endpoint}", endpoint=endpoint)
            return
        reachable = "localhost" if host in ("0.0.0.0", "::") else host  # noqa: S104
        target = f"[{reachable}]:{address.port}" if ":" in reachable else f"{reachable}:{address.port}"
        if isinstance(port, TlsPort):
            try_it = f"openssl s_client -quiet -connect {target}, or: echochat chat --tls {target}"
        else:
            try_it = f"nc {reachable} {address.port}, or: echochat chat {target}"
        self.log.info(
            "listening on {host} port {port}: try it with: {try_it}", host=host, port=address.port, try_it=try_it
        )

    def _no_history(self, failure: Failure) -> None:
        failure.trap(HistoryRefused)
        self._fail(failure.getErrorMessage())

    async def _stop(self) -> None:
        ports, self._ports = self._ports, []
        await DeferredList([port.stopListening() or succeed(None) for port in ports], consumeErrors=True)
        factory = self._factory
        seconds = factory.settings.drain
        if factory.connections and seconds > 0:
            self.log.info(
                "draining: {count} connections have {seconds:g} s",
                count=len(factory.connections),
                seconds=seconds,
            )
            for connection in list(factory.connections):
                connection.announce_drain(seconds)
            await self._until_empty(seconds)
        for connection in list(factory.connections):
            connection.leave()
        # Each connection is aborted when its grace is over; a little more than that cannot pass.
        await self._until_empty(GRACE + 1)
        for connection in list(factory.connections):
            connection.transport.abortConnection()
        factory.stop_timers()
        try:
            await factory.exchange.close().addTimeout(CLOSING, factory.clock)
        except TimeoutError:
            # What was acknowledged is on disk already. What was not has nobody who waits for it any more.
            self.log.error("the history did not close within {seconds:g} s: the disk hangs", seconds=CLOSING)

    async def _until_empty(self, seconds: float) -> None:
        """
        Wait until all connections have ended, the time is over, or somebody is in a hurry.
        """
        if not self._factory.connections:
            return
        over: Deferred[None] = Deferred()
        deadline = self._factory.clock.callLater(seconds, over.callback, None)
        empty = self._factory.when_empty()
        try:
            await DeferredList([over, empty, self._hurry], fireOnOneCallback=True)
        finally:
            if deadline.active():
                deadline.cancel()
            if self._hurry.called:
                # Each hurry is for one wait: the next one, when it comes before any.
                self._hurry = Deferred()


def _why_deaf(endpoint: str, failure: Failure) -> str:
    error: object = failure.value
    if isinstance(error, CannotListenError):
        error = error.socketError
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"cannot listen on {endpoint}: {reason}"


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
