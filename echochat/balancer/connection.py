"""
One client's connection through the balancer, from its coming until both sides are closed.
"""

from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.balancer.backends import Backend, Lease
from echochat.balancer.routes import NoBackend
from echochat.wire.hello import HANDSHAKE, server_name

AT_ONCE = 1.0
"""
Seconds: a backend that closes within them and has not sent a byte might as well have refused the connection.
"""

LOOKS = 4
"""
How often, in the time of the idle limit, it is looked whether anything has come. A connection is closed when all of
that time has passed without a byte, and a quarter more at most.
"""

_OF_BACKEND: Final = ("backend closed", "backend reset")


class Connection:
    """
    A client, and what became of it. It is a :class:`echochat.balancer.routes.Client`, and a ``Held``.

    :param factory: the proxy, which knows all connections.
    :param number: identifies it in the log.
    :param address: where the client is: Twisted's, or as the socket gave it.
    :param port: which accepted the socket; None: the address is Twisted's.
    :ivar lease: counts it against its backend; None: it has none yet.
    :ivar began: when it came, in seconds of the factory's clock.
    :ivar joined: when its backend had it; None: not yet.
    :ivar server_name: what the client wants to talk to, as its TLS says; empty: it does not, or not yet.
    """

    log = make_logger()

    __slots__ = (
        "_cause",
        "_is_reported",
        "_placing",
        "_port",
        "_quiet",
        "_seen",
        "_tried",
        "address",
        "began",
        "carrier",
        "factory",
        "joined",
        "lease",
        "number",
        "server_name",
    )

    carrier: Any  # a Carrier; routes know of which kind

    def __init__(self, factory: Any, number: int, address: Any, port: Any = None) -> None:
        self.factory = factory
        self.number = number
        self.address = address
        self._port = port
        self.lease: Lease | None = None
        self.began: float = factory.clock.seconds()
        self.joined: float | None = None
        self.server_name = ""
        self._cause = ""
        self._tried: tuple[Backend, ...] = ()
        self._seen = 0
        self._quiet = 0
        self._is_reported = False
        self._placing: Deferred[None] | None = None

    # Called by whoever looks for a backend

    @property
    def peer(self) -> IAddress:
        """
        Where the client is; behind a trusted proxy, what that proxy's header said.
        """
        # Made when somebody asks: of most nobody does.
        peer: IAddress = self.address if self._port is None else self._port.address_of(self.address)
        return peer

    @property
    def host(self) -> IAddress:
        """
        Where it connected to; behind a trusted proxy, what that proxy's header said.
        """
        host: IAddress = self.carrier.host
        return host

    def is_untouched(self) -> bool:
        """
        Whether nothing of what the client sent has been forwarded, so that another backend may still be tried.
        """
        return not self.carrier.bytes_in

    # Called by operators and timers

    @property
    def backend(self) -> Backend | None:
        """
        Where it is, or goes to.
        """
        return self.lease.backend if self.lease is not None else None

    @property
    def bytes_in(self) -> int:
        """
        How much of what the client sent the backend was sent.
        """
        count: int = self.carrier.bytes_in
        return count

    @property
    def bytes_out(self) -> int:
        """
        How much of what the backend sent the client was sent.
        """
        count: int = self.carrier.bytes_out
        return count

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
        # One side may have closed already: the connection went on until now.
        self._cause = cause
        self._stop_placing()
        self.carrier.abort()
        return True

    def look_whether_idle(self) -> None:
        """
        A part of the idle limit is over, one of :data:`LOOKS`: so nothing need be noted for each byte.
        """
        seen = self.bytes_in + self.bytes_out
        self._quiet = self._quiet + 1 if seen == self._seen else 0
        self._seen = seen
        if self._quiet < LOOKS:
            self.factory.idle.set(self)
        else:
            self.close("idle")

    # Called by the carrier

    def hear(self, first: bytes) -> None:
        """
        The first bytes of what the client says.
        """
        if first[0] == HANDSHAKE:
            self.server_name = server_name(first)

    def begin(self) -> None:
        """
        The client has come.
        """
        self.factory.connected(self)
        self._place()

    def try_another(self) -> bool:
        """
        The backend has gone: look for another, if it had not even begun, and nobody can have noticed.

        :return: whether there is somebody to ask: the carrier waits again then, as it does at first, and has nothing of
            this backend any more.
        """
        lease, carrier = self.lease, self.carrier
        if lease is None or self.joined is None or carrier.bytes_in or carrier.bytes_out:
            return False
        tried = (*self._tried, lease.backend)
        if self.factory.clock.seconds() - self.joined >= AT_ONCE or len(tried) >= self.factory.settings.retries:
            return False
        self._tried = tried
        return True

    def place_again(self) -> None:
        """
        ... and do so.
        """
        lease, self.lease, self.joined = self.lease, None, None
        assert lease is not None
        self.factory.reports.closed_at_once(lease.backend)
        lease.release()
        self._place()

    def blame(self, cause: str) -> None:
        """
        Whatever happened first is why the connection ended.
        """
        if not self._cause:
            self._cause = cause
            if cause in _OF_BACKEND:
                # Now, and not when the client closes as well: that may be long after.
                self._report()

    def end(self) -> None:
        """
        Both sides are closed, or the client has gone and there is no other side.
        """
        factory, carrier, lease = self.factory, self.carrier, self.lease
        if self.number not in factory.connections:
            return
        bytes_in, bytes_out = carrier.bytes_in, carrier.bytes_out
        factory.ended(self, self._cause, bytes_in, bytes_out)
        if self._placing is not None:
            self._stop_placing()
            lease = self.lease
        if lease is not None:
            traffic = lease.backend.traffic
            traffic.bytes_in += bytes_in
            traffic.bytes_out += bytes_out
            if not self._is_reported:
                self._report()
            lease.release()

    # Ours

    def _place(self) -> None:
        placing = self.factory.place(self, self._tried)
        if placing is None:
            self.joined = self.factory.clock.seconds()
            return
        self._placing = placing
        placing.addCallbacks(self._placed, self._not_placed)
        # That it was called says nothing: an attempt that failed at once has chained the next one to it.
        if self._placing is not None:
            placing.addErrback(self._failed)
            self.carrier.wait()

    def _report(self) -> None:
        """
        Tell once what the backend did with the connection.
        """
        if self.joined is None or self.lease is None or self._is_reported:
            return
        self._is_reported = True
        backend = self.lease.backend
        if self.carrier.bytes_out or self.factory.clock.seconds() - self.joined >= AT_ONCE:
            self.factory.reports.served(backend)
        elif self._cause in _OF_BACKEND:
            self.factory.reports.closed_at_once(backend)

    def _stop_placing(self) -> None:
        placing, self._placing = self._placing, None
        if placing is not None:
            # One that was called may wait for the next attempt, and hands this on.
            placing.cancel()

    def _placed(self, _: object) -> None:
        self._placing = None
        self.joined = self.factory.clock.seconds()

    def _not_placed(self, failure: Failure) -> None:
        self._placing = None
        if self.is_over or failure.check(CancelledError):
            return
        if failure.check(NoBackend) is None:
            self._failed(failure)
            return
        if self._tried:
            # There was a backend, and it closed: so does the balancer.
            self.blame("backend closed")
            self.carrier.part()
            return
        # Whatever the client did while it waited: this is why it ends.
        self._cause = failure.getErrorMessage()
        self.carrier.abort()

    def _failed(self, failure: Failure) -> None:
        self.log.failure("connection {number} failed and is closed", failure, number=self.number)
        self.close("a failure of the balancer's own")
