"""
A server's life: listen, serve, drain, stop.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, TimeoutError
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.daemon.control import ControlFactory
from echochat.daemon.ports import Ports
from echochat.history.errors import HistoryRefused
from echochat.net.gate import Gate
from echochat.net.tls import TlsPort
from echochat.server.factory import GRACE, EchoChatFactory

if TYPE_CHECKING:
    # It needs NATS, which a server that is alone does not.
    from echochat.server.fellows.company import Company

CLOSING = 20.0
"""
Seconds that the history has to close.
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
    :param company: the other servers; None: there are none.
    :ivar ports: where it listens.
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
        company: "Company | None" = None,
    ) -> None:
        self.ports = Ports(reactor, fail)
        self._factory = factory
        self._gate = gate
        self._endpoints = endpoints
        self._fail = fail
        self._control = control
        self._company = company
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
        if self._company is not None:
            self._company.start()
        self._factory.exchange.open().addCallbacks(self._open_doors, self._no_history)

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

    # Ours

    def _listen(self) -> None:
        self._has_begun = True
        # Whoever comes before the history is open waits, instead of being told that it is not.
        self._gate.hold()
        if self._control is not None:
            self.ports.listen_for_operators(*self._control)
        for endpoint in self._endpoints:
            self.ports.listen(endpoint, self._factory, partial(self._listening, endpoint))

    def _listening(self, endpoint: str, port: Any) -> None:
        self._gate.guard(port)
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

    def _open_doors(self, _: None) -> "Deferred[None] | None":
        if self._company is None:
            self._gate.let_in()
            return None
        return self._company.ready().addCallback(lambda _: self._gate.let_in())

    def _no_history(self, failure: Failure) -> None:
        failure.trap(HistoryRefused)
        self._fail(failure.getErrorMessage())

    async def _stop(self) -> None:
        await self.ports.close()
        factory = self._factory
        # Everybody is about to be told.
        factory.moving.stop()
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
        if self._company is not None:
            self._company.stop()
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
