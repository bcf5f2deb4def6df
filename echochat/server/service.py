"""
A server's life: listen, serve, drain, stop.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.daemon.control import ControlFactory
from echochat.daemon.ports import reachable
from echochat.daemon.serving import ServingService
from echochat.history.errors import HistoryRefused
from echochat.net.gate import Gate
from echochat.net.tls import TlsPort
from echochat.server.factory import GRACE, EchoChatFactory
from echochat.server.line import EchoChatProtocol

if TYPE_CHECKING:
    # It needs NATS, which a server that is alone does not.
    from echochat.server.fellows.company import Company

CLOSING = 20.0
"""
Seconds that the history has to close.
"""


class EchoChatService(ServingService):
    """
    Serves connections: see :class:`echochat.daemon.serving.ServingService`.

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
        super().__init__(reactor, factory, gate, endpoints, fail)
        self._factory = factory
        self._fail = fail
        self._control = control
        self._company = company

    # The steps of its life

    def listen_first(self) -> None:
        if self._control is not None:
            self.ports.listen_for_operators(*self._control)

    def begin(self) -> None:
        if self._company is not None:
            self._company.start()
        # Whoever comes before the history is open waits.
        opened = self._factory.exchange.open().addCallbacks(self._open_doors, self._no_history)
        opened.addErrback(self._never_opened)

    def tell(self, endpoint: str, port: Any) -> None:
        address = port.getHost()
        host = getattr(address, "host", None)
        if host is None:
            self.log.info("listening on {endpoint}", endpoint=endpoint)
            return
        name, target = reachable(host, address.port)
        if isinstance(port, TlsPort):
            # Whether the machine of the client knows the authority is not known here.
            own = " -cert FILE -key FILE" if port.asks_for_certificates else ""
            files = f"[--ca FILE]{own.replace('-cert', '--cert').replace('-key', '--key')}"
            try_it = f"openssl s_client -quiet{own} -connect {target}, or: echochat chat --tls {files} {target}"
        else:
            try_it = f"nc {name} {address.port}, or: echochat chat {target}"
        self.log.info(
            "listening on {host} port {port}: try it with: {try_it}", host=host, port=address.port, try_it=try_it
        )

    async def end(self) -> None:
        await self.ports.close()
        factory = self._factory
        # Everybody is about to be told.
        factory.moving.stop()
        seconds = factory.settings.drain
        if factory.connections and seconds > 0:
            self.log.info(
                "draining: connections have {seconds:g} s to end, and there are {count}",
                count=len(factory.connections),
                seconds=seconds,
            )
            factory.tell_all(lambda connection: connection.announce_drain(seconds))
            await self.until_empty(seconds)
        factory.tell_all(EchoChatProtocol.leave)
        # Each connection is aborted when its grace is over; a little more than that cannot pass.
        await self.until_empty(GRACE + 1)
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

    # Ours

    def _open_doors(self, _: None) -> "Deferred[None] | None":
        if self._company is None:
            self.let_in()
            return None
        return self._company.ready().addCallback(lambda _: self.let_in())

    def _no_history(self, failure: Failure) -> None:
        failure.trap(HistoryRefused)
        self._fail(failure.getErrorMessage())

    def _never_opened(self, failure: Failure) -> None:
        # A bug of ours. Nobody would ever be let in: whoever supervises this process can start it again.
        self.log.failure("the server could not be opened", failure)
        self._fail(f"the server could not be opened: {failure.getErrorMessage()}")
