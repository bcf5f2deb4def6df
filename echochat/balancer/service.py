"""
A balancer's life: listen, relay, drain, stop.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IProtocolFactory
from txaio.tx import make_logger

from echochat.balancer.proxy import GRACE, ProxyFactory
from echochat.daemon.control import ControlFactory
from echochat.daemon.ports import Ports
from echochat.daemon.serving import ServingService
from echochat.net.gate import Gate


class Part(Protocol):
    """
    What runs while the balancer does, such as the watch over its backends.
    """

    def begin(self) -> None:
        """
        The balancer listens.
        """

    def end(self) -> "Deferred[None] | None":
        """
        The last connection has ended.
        """


class BalancerService(ServingService):
    """
    Relays connections: see :class:`echochat.daemon.serving.ServingService`.

    :param reactor: on which to listen; a lean one or any other.
    :param factory: takes the connections.
    :param gate: which of the ports is told.
    :param endpoints: where to listen, as Twisted's endpoint strings.
    :param fail: is told in one sentence why the service cannot go on, when that shows after it was started.
    :param parts: what begins and ends with it, in this order.
    :param control: where to listen for operators, and what serves them.
    :param others: where else to listen, and for what: a status page.
    :ivar ports: where it listens.
    """

    log = make_logger()

    def __init__(
        self,
        reactor: Any,
        factory: ProxyFactory,
        gate: Gate,
        endpoints: tuple[str, ...],
        fail: Callable[[str], None],
        parts: Sequence[Part] = (),
        control: tuple[str, ControlFactory] | None = None,
        others: Sequence[tuple[str, IProtocolFactory]] = (),
    ) -> None:
        super().__init__(reactor, factory, gate, endpoints, fail)
        self._others = Ports(reactor, fail)
        self._factory = factory
        self._parts = parts
        self._control = control
        self._status = others

    # The steps of its life

    def listen_first(self) -> None:
        if self._control is not None:
            self._others.listen_for_operators(*self._control)
        for endpoint, factory in self._status:
            self._others.listen("--status", endpoint, factory, partial(self._tell_what, endpoint, "status page"))

    def begin(self) -> None:
        for part in self._parts:
            part.begin()
        self.let_in()

    def tell(self, endpoint: str, port: Any) -> None:
        self._tell_what(endpoint, "balancer", port)

    async def end(self) -> None:
        await self.ports.close()
        factory = self._factory
        seconds = factory.settings.drain
        self._let_go()
        if factory.connections and seconds > 0:
            self.log.info(
                "draining: connections have {seconds:g} s to end, and there are {count}",
                count=len(factory.connections),
                seconds=seconds,
            )
            await self.until_empty(seconds)
        self._let_go()
        for connection in list(factory.connections.values()):
            connection.close("drained")
        # What is closed at once is gone in the next turn, unless the reactor is very busy.
        await self.until_empty(GRACE)
        for part in reversed(self._parts):
            await maybeDeferred(part.end)
        factory.stop_timers()
        await self._others.close()

    # Ours

    def _tell_what(self, endpoint: str, what: str, port: Any) -> None:
        address = port.getHost()
        host = getattr(address, "host", None)
        if host is None:
            self.log.info("listening on {endpoint}: {what}", endpoint=endpoint, what=what)
        else:
            self.log.info("listening on {host} port {port}: {what}", host=host, port=address.port, what=what)

    def _let_go(self) -> None:
        """
        What other processes have goes on.
        """
        for connection in list(self._factory.connections.values()):
            connection.carrier.let_go()
