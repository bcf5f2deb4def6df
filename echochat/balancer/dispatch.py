"""
From a client to a backend: choose one, open the way there, and try another when that fails.

The problem. Between the accept and the join anything can happen: the backend refuses, or does not answer; the client
goes; every backend is full, or none is up; and all of this for thousands of clients at once. A lease must be given
back exactly once on each of these paths, and the usual one, on which nothing happens, has to cost next to nothing.

How. On this machine, and often in a fast network, a backend has the client by the time its route returns: then nothing
is made but the lease. Otherwise a client's placement is the Deferred that its route returned, with one pair of
callbacks. When the route fails, the errback returns the next attempt's Deferred, and Twisted chains them: so a cancel
of the first one, which is what the caller has, reaches whatever is going on, an attempt or a place in the line. One
timer serves all connect timeouts.

Rejected: a coroutine for each client (4 µs more on the usual path), ``addTimeout`` (a timer for each, 6 µs); a Deferred
that has fired for each client that is placed at once (4 µs).
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.balancer.backends import Backend, Lease
from echochat.balancer.placement import Placement
from echochat.balancer.pool import Pool, Shortage
from echochat.balancer.queue import LONGEST, PATIENCE, WaitedInVain, WaitingLine
from echochat.balancer.reasons import is_our_own, why
from echochat.balancer.routes import Client, NoBackend, Reports, Route
from echochat.net.deadlines import Deadlines

CONNECT_TIMEOUT: Final = 3.0
"""
Seconds that an attempt may take: a SYN that was lost is sent again after one second.
"""

RETRIES: Final = 3
"""
Attempts for one client, the first one included.
"""

_KEPT: Final = 1.0
"""
Seconds after which a connection that is still there counts as served.
"""

_LOOK: Final = 0.2
"""
Seconds between looks at the line: the limit of a backend in slow start grows, and nothing happens that would tell so.
"""


class Dispatch:
    """
    Gives clients to backends.

    The pool has to call :meth:`freed`: ``pool.freed = dispatch.freed``.

    :param route_of: how connections get to a backend.
    :param reports: is told of attempts that failed.
    :param connect_timeout: seconds that one attempt may take; 0: as long as it wants.
    :param retries: attempts for one client, the first one included.
    :param queue: how many clients may wait while every backend is full.
    :param queue_timeout: seconds that one waits at most.
    :ivar retries: may be changed at any time, as :attr:`connect_timeout`, :attr:`queue` and :attr:`queue_timeout` may.
    """

    log = make_logger()

    def __init__(
        self,
        clock: IReactorTime,
        pool: Pool,
        route_of: Callable[[Backend], Route],
        reports: Reports,
        *,
        connect_timeout: float = CONNECT_TIMEOUT,
        retries: int = RETRIES,
        queue: int = LONGEST,
        queue_timeout: float = PATIENCE,
    ) -> None:
        self.retries = retries
        self._clock = clock
        self._pool = pool
        self._route_of = route_of
        self._reports = reports
        # Those at backends of which there is doubt.
        self._joined: Deadlines[Lease] = Deadlines(clock, _KEPT, self._look_whether_kept)
        self._attempts: Deadlines[Placement] = Deadlines(clock, connect_timeout, Placement.give_up)
        self._line: WaitingLine[Placement] = WaitingLine(clock, queue, queue_timeout)
        self._serving = False
        self._look: Any = None

    # Called by whoever has a client

    def place(self, client: Client, tried: Sequence[Backend] = ()) -> "Deferred[None] | None":
        """
        Give a client to a backend.

        Its lease is the client's, from the first attempt on; the caller releases it when both sides are closed. When
        the client goes before that, cancel what is returned: the attempt ends and the lease is released.

        :param tried: backends that had the client and did not serve it: each counts as an attempt.
        :return: None: a backend has the client already. Otherwise it fires when one has, and fails with
            :class:`NoBackend`, which says why, when none can.
        """
        if self._line.places:
            # Who came earlier goes first.
            self.freed()
        if tried:
            return self._try(Placement(client, tuple(tried)))
        chosen = self._pool.lease(self._clock.seconds())
        if not isinstance(chosen, Lease):
            return self._find_no_place(chosen, Placement(client, ()))
        opening = self._enter(chosen, client)
        return None if opening is None else self._await(opening, chosen, Placement(client, ()))

    # Called by the pool

    def freed(self) -> None:
        """
        There may be a place for those who wait.
        """
        # An attempt that fails at once gives its lease back from here: the loop that runs already sees to that.
        if not self._line.places or self._serving:
            return
        self._serving = True
        try:
            self._serve()
        finally:
            self._serving = False

    # Called by the service

    @property
    def waiting(self) -> int:
        """
        How many clients wait for a place.
        """
        return len(self._line)

    @property
    def connect_timeout(self) -> float:
        """
        Seconds that one attempt may take; 0: as long as it wants.
        """
        return self._attempts.seconds

    @connect_timeout.setter
    def connect_timeout(self, seconds: float) -> None:
        self._attempts.seconds = seconds

    @property
    def queue(self) -> int:
        """
        How many clients may wait.
        """
        return self._line.most

    @queue.setter
    def queue(self, most: int) -> None:
        self._line.most = most

    @property
    def queue_timeout(self) -> float:
        """
        Seconds that one waits at most.
        """
        return self._line.patience

    @queue_timeout.setter
    def queue_timeout(self, seconds: float) -> None:
        self._line.patience = seconds

    def stop(self) -> None:
        """
        Refuse those who wait. Attempts go on until whoever has the client cancels them, without a time limit.
        """
        self._line.stop(NoBackend("the balancer is stopped"))
        self._attempts.stop()
        self._joined.stop()
        if self._look is not None:
            self._look.cancel()
            self._look = None

    # Ours

    def _try(self, placement: Placement) -> "Deferred[None]":
        chosen = self._choose(placement)
        if isinstance(chosen, Lease):
            return self._open(chosen, placement)
        return self._find_no_place(chosen, placement)

    def _find_no_place(self, shortage: Shortage, placement: Placement) -> "Deferred[None]":
        if shortage is Shortage.FULL and self._line.has_room:
            return self._wait(placement)
        return fail(NoBackend(placement.explain(shortage)))

    def _choose(self, placement: Placement) -> Lease | Shortage:
        now = self._clock.seconds()
        if not placement.tried:
            return self._pool.lease(now)
        # Few attempts are left: they are not for backends that have just failed others.
        doubtful = [backend for backend in self._pool if backend.failed]
        chosen = self._pool.lease(now, {*placement.tried, *doubtful})
        return chosen if isinstance(chosen, Lease) else self._pool.lease(now, placement.tried)

    def _open(self, lease: Lease, placement: Placement) -> "Deferred[None]":
        opening = self._enter(lease, placement.client)
        return succeed(None) if opening is None else self._await(opening, lease, placement)

    def _enter(self, lease: Lease, client: Client) -> "Deferred[None] | None":
        """
        :return: None: the backend has the client.
        """
        client.lease = lease
        backend = lease.backend
        try:
            opening = self._route_of(backend).open(client)
        except Exception:
            self.log.failure("the way to {backend} cannot be opened", backend=backend.name)
            return fail()
        if opening is None and backend.failed:
            self._joined.set(lease)
        return opening

    def _await(self, opening: "Deferred[None]", lease: Lease, placement: Placement) -> "Deferred[None]":
        placement.lease, placement.opening = lease, opening
        self._attempts.set(placement)
        return opening.addCallbacks(self._opened, self._not_opened, callbackArgs=(placement,), errbackArgs=(placement,))

    def _opened(self, result: None, placement: Placement) -> None:
        self._attempts.clear(placement)
        if placement.lease.backend.failed:
            self._joined.set(placement.lease)

    def _look_whether_kept(self, lease: Lease) -> None:
        # Who has the connection reports what came of it when it ends, and that may be tomorrow.
        if lease.is_held:
            self._reports.served(lease.backend)

    def _not_opened(self, failure: Failure, placement: Placement) -> "Failure | Deferred[None]":
        self._attempts.clear(placement)
        lease = placement.lease
        backend = lease.backend
        reason = placement.late or why(failure)
        gone = not placement.late and failure.check(CancelledError)
        placement.late = ""
        placement.client.lease = None
        if not gone and not is_our_own(failure):
            # Before the lease is released: whoever waits for a place there should not get one that is of no use.
            self._reports.connect_failed(backend, reason)
        lease.release()
        if gone:
            return failure
        placement.failed(backend, reason)
        if len(placement.tried) >= self.retries or not placement.client.is_untouched():
            return Failure(NoBackend(placement.explain(None)))
        return self._try(placement)

    def _wait(self, placement: Placement) -> "Deferred[None]":
        if self._look is None:
            self._look = self._clock.callLater(_LOOK, self._look_again)
        waiting = self._line.join(placement)
        return waiting.addCallbacks(self._open, self._not_served, callbackArgs=(placement,), errbackArgs=(placement,))

    def _look_again(self) -> None:
        self._look = None
        self.freed()
        if self._line:
            self._look = self._clock.callLater(_LOOK, self._look_again)

    def _serve(self) -> None:
        hopeless = set()
        for placement in self._line:
            if placement in self._line and placement.tried not in hopeless:
                chosen = self._choose(placement)
                if isinstance(chosen, Lease):
                    self._line.serve(placement, chosen)
                elif chosen is not Shortage.FULL:
                    self._line.refuse(placement, NoBackend(placement.explain(chosen)))
                elif not placement.tried:
                    return
                else:
                    # Another, who has not tried the same backends in vain, may still find a place.
                    hopeless.add(placement.tried)

    def _not_served(self, failure: Failure, placement: Placement) -> Failure:
        if not failure.check(WaitedInVain):
            return failure
        reason = f"{placement.explain(Shortage.FULL)}, for {self.queue_timeout:g} s"
        self.log.warn(
            "a client from {peer} found no place: {why}; {waiting} others wait",
            peer=placement.client.peer,
            why=reason,
            waiting=self.waiting,
        )
        return Failure(NoBackend(reason))
