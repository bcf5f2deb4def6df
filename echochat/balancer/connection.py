"""
One client's connection through the balancer, from its coming until both sides are closed.

What carries its bytes is not said here: two Twisted protocols (:mod:`echochat.balancer.halves`), two sockets in the
lean reactor (:mod:`echochat.balancer.direct`), or another process, to which the socket was handed.
"""

from abc import ABC, abstractmethod
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.balancer.backends import Backend, Lease
from echochat.balancer.routes import NoBackend

AT_ONCE = 1.0
"""
Seconds: a backend that closes within them and has not sent a byte might as well have refused the connection.
"""


class Connection(ABC):
    """
    A client, and what became of it. It is a :class:`echochat.balancer.routes.Client`, and a ``Held``.

    :param factory: the proxy, which knows all connections.
    :param number: identifies it in the log.
    :ivar peer: where the client is; behind a trusted proxy, what that proxy's header said.
    :ivar host: where it connected to, likewise.
    :ivar lease: counts it against its backend; None: it has none yet.
    :ivar began: when it came, in seconds of the factory's clock.
    :ivar joined: when its backend had it; None: not yet.
    """

    log = make_logger()

    def __init__(self, factory: Any, number: int, peer: IAddress, host: IAddress) -> None:
        self.factory = factory
        self.number = number
        self.peer = peer
        self.host = host
        self.lease: Lease | None = None
        self.began: float = factory.clock.seconds()
        self.joined: float | None = None
        self._cause = ""
        self._backend: Backend | None = None
        self._placing: Deferred[None] | None = None

    # Called by whoever looks for a backend

    def is_untouched(self) -> bool:
        """
        Whether nothing of what the client sent has been forwarded, so that another backend may still be tried.
        """
        return not self.bytes_in

    # Called by operators and timers

    @property
    def backend(self) -> Backend | None:
        """
        Where it is, or goes to.
        """
        return self.lease.backend if self.lease is not None else None

    @property
    @abstractmethod
    def bytes_in(self) -> int:
        """
        How much of what the client sent the backend was sent.
        """

    @property
    @abstractmethod
    def bytes_out(self) -> int:
        """
        How much of what the backend sent the client was sent.
        """

    @property
    def is_over(self) -> bool:
        """
        Whether both sides are closed.
        """
        return self.number not in self.factory.connections

    def kick(self) -> bool:
        """
        An operator wants it gone: close both sides at once.

        :return: False: it is gone already.
        """
        return self.close("killed")

    def close(self, cause: str) -> bool:
        """
        Close both sides at once.

        :return: False: it is gone already.
        """
        if self.is_over:
            return False
        self.blame(cause)
        self._stop_placing()
        self._abort()
        return True

    # Ours, and of what carries the bytes

    def place(self) -> None:
        """
        Look for a backend.
        """
        self._placing = placing = self.factory.place(self)
        placing.addCallbacks(self._placed, self._not_placed)
        placing.addErrback(self._failed)

    def blame(self, cause: str) -> None:
        """
        Whatever happened first is why the connection ended.
        """
        if not self._cause:
            self._cause = cause

    def end(self) -> None:
        """
        Both sides are closed, or the client has gone and there is no other side.
        """
        if self.is_over:
            return
        self._stop_placing()
        backend = self.backend
        if backend is not None:
            self._report(backend)
        self.factory.ended(self, self._cause)
        if self.lease is not None:
            self.lease.release()

    # Ours, of each kind

    @abstractmethod
    def _abort(self) -> None:
        """
        Close what there is, with a reset; :meth:`end` follows.
        """

    # Ours

    def _report(self, backend: Backend) -> None:
        backend.traffic.bytes_in += self.bytes_in
        backend.traffic.bytes_out += self.bytes_out
        if self.joined is None:
            return
        quick = self.factory.clock.seconds() - self.joined < AT_ONCE
        if self.bytes_out or not quick:
            self.factory.reports.served(backend)
        elif self._cause in ("backend closed", "backend reset"):
            self.factory.reports.closed_at_once(backend)

    def _stop_placing(self) -> None:
        placing, self._placing = self._placing, None
        if placing is not None and not placing.called:
            placing.cancel()

    def _placed(self, _: object) -> None:
        self._placing = None
        self.joined = self.factory.clock.seconds()

    def _not_placed(self, failure: Failure) -> None:
        self._placing = None
        if self.is_over or failure.check(CancelledError):
            return
        failure.trap(NoBackend)
        self.blame(failure.getErrorMessage())
        self._abort()

    def _failed(self, failure: Failure) -> None:
        self.log.failure("connection {number} failed and is closed", failure, number=self.number)
        self.close("a failure of the balancer's own")
