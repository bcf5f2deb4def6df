"""
The life of what listens and has connections: a server's, and a balancer's.
"""

from collections.abc import Callable, Sized
from functools import partial
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from txaio.tx import make_logger

from echochat.daemon.ports import Ports
from echochat.net.gate import Gate


class Crowd(Protocol):
    """
    The factory that makes the connections, and knows all of them.
    """

    @property
    def connections(self) -> Sized:
        """
        Those that there are.
        """

    @property
    def clock(self) -> IReactorTime: ...

    def when_empty(self) -> "Deferred[None]":
        """
        Wait until the last connection has ended.
        """


class ServingService(Service):
    """
    Listens on endpoints until it is stopped. What else begins and ends with it, and how connections are let go, is the
    subclass's: :meth:`listen_first`, :meth:`begin`, :meth:`tell`, :meth:`end`.

    :param reactor: on which to listen; a lean one or any other.
    :param crowd: takes the connections: a factory.
    :param gate: which of the ports is told. It is shut when the service listens, and opened by :meth:`let_in`.
    :param endpoints: where to listen, as Twisted's endpoint strings.
    :param fail: is told in one sentence why the service cannot go on, when that shows after it was started.
    :ivar ports: where it listens.
    """

    log = make_logger()

    def __init__(
        self, reactor: Any, crowd: Crowd, gate: Gate, endpoints: tuple[str, ...], fail: Callable[[str], None]
    ) -> None:
        self.ports = Ports(reactor, fail)
        self._crowd = crowd
        self._gate = gate
        self._endpoints = endpoints
        self._has_begun = False
        # Where it listens and has not said so yet; None: whoever comes is let in.
        self._untold: list[tuple[str, Any]] | None = []
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
        self.begin()

    def stopService(self) -> "Deferred[None]":
        super().stopService()
        return Deferred.fromCoroutine(self.end())

    # Called by the process

    def hurry(self) -> None:
        """
        Do not wait for connections any more while stopping.
        """
        if not self._hurry.called:
            self._hurry.callback(None)

    # The subclass's

    def listen_first(self) -> None:
        """
        Listen where there are no clients, as for operators.
        """
        raise NotImplementedError

    def begin(self) -> None:
        """
        It listens, and nobody knows yet: begin, and :meth:`let_in` who waits, now or later.
        """
        raise NotImplementedError

    def tell(self, endpoint: str, port: Any) -> None:
        """
        Say in the log where it listens.
        """
        raise NotImplementedError

    async def end(self) -> None:
        """
        Stop, step by step.
        """
        raise NotImplementedError

    # Called by the subclass

    def let_in(self) -> None:
        """
        Everything has begun: say where it listens, and let in who waits. Nobody is told before that: what cannot begin
        ends soon, and would have invited in vain.
        """
        untold, self._untold = self._untold or [], None
        # It may have been stopped meanwhile.
        if self.running:
            for endpoint, port in untold:
                self.tell(endpoint, port)
        self._gate.let_in()

    async def until_empty(self, seconds: float) -> None:
        """
        Wait until all connections have ended, the time is over, or somebody is in a hurry.
        """
        if not self._crowd.connections:
            return
        over: Deferred[None] = Deferred()
        deadline = self._crowd.clock.callLater(seconds, over.callback, None)
        try:
            await DeferredList([over, self._crowd.when_empty(), self._hurry], fireOnOneCallback=True)
        finally:
            if deadline.active():
                deadline.cancel()
            if self._hurry.called:
                # Each hurry is for one wait: the next one, when it comes before any.
                self._hurry = Deferred()

    # Ours

    def _listen(self) -> None:
        self._has_begun = True
        # Whoever comes before everything has begun waits, instead of being told that it has not.
        self._gate.hold()
        self.listen_first()
        factory: Any = self._crowd
        for endpoint in self._endpoints:
            self.ports.listen("--listen", endpoint, factory, partial(self._listening, endpoint))

    def _listening(self, endpoint: str, port: Any) -> None:
        self._gate.guard(port)
        if self._untold is None:
            self.tell(endpoint, port)
        else:
            self._untold.append((endpoint, port))
