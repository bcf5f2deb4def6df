"""
Tests for :mod:`echochat.balancer.dispatch`.
"""

import errno
import gc
import weakref
from collections.abc import Collection
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echochat.balancer.backends import Backend, Lease, Mode
from echochat.balancer.dispatch import Dispatch
from echochat.balancer.pool import Pool, Shortage
from echochat.balancer.routes import NoBackend
from tests.balancer.doubles import FakeClient, FakeReports, FakeRoute


class DispatchCase(SynchronousTestCase):
    """
    Backends ``a``, ``b`` and so on, each with a route whose attempts end when the test says so.
    """

    def make(self, *names: str, most: int = 0, **settings: Any) -> None:
        self.clock = Clock()
        self.pool = Pool()
        self.reports = FakeReports()
        self.backends = [Backend(name, f"tcp:{name}:1", most=most) for name in names]
        self.routes = {backend: FakeRoute() for backend in self.backends}
        self.a, *self.others = self.routes.values()
        for backend in self.backends:
            self.pool.add(backend)
        self.dispatch = Dispatch(self.clock, self.pool, self.routes.__getitem__, self.reports, **settings)
        self.pool.freed = self.dispatch.freed

    @property
    def counts(self) -> list[int]:
        return [backend.active for backend in self.backends]

    def place(self) -> tuple[FakeClient, "Deferred[None]"]:
        client = FakeClient()
        placed = self.dispatch.place(client)
        assert placed is not None
        return client, placed

    def leave(self, client: FakeClient) -> None:
        assert client.lease is not None
        client.lease.release()

    def why(self, placed: "Deferred[None]") -> str:
        return str(self.failureResultOf(placed, NoBackend).value)

    def quiet(self) -> None:
        """
        No timer is left when the time of all that were set is over.
        """
        self.clock.advance(100)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class PlacingTests(DispatchCase):
    """
    A client gets to a backend, or is told why not.
    """

    def test_good(self) -> None:
        """
        The connection counts from the attempt on, and until the client's owner gives its lease back.
        """
        self.make("a", "b")
        client, placed = self.place()
        self.assertNoResult(placed)
        self.assertEqual(self.counts, [1, 0])
        self.a.succeed()
        self.assertIsNone(self.successResultOf(placed))
        self.assertEqual(self.counts, [1, 0])
        self.leave(client)
        self.assertEqual(self.counts, [0, 0])
        self.assertEqual(self.reports.told, [])
        self.quiet()

    def test_at_once(self) -> None:
        """
        A route that has its result at once is like any other, and has no time limit any more.
        """
        self.make("a")
        self.routes[self.backends[0]].open = lambda client: succeed(None)  # type: ignore[method-assign]
        client, placed = self.place()
        self.successResultOf(placed)
        self.quiet()
        self.assertEqual(self.counts, [1])
        self.leave(client)
        self.assertEqual(self.counts, [0])

    def test_there_already(self) -> None:
        """
        There is nothing to wait for when the backend has the client by the time the route returns: after a refusal of
        another backend, too. One of which there was doubt has served when it keeps the connection.
        """
        self.make("a", "b")
        self.backends[1].failed = 1
        self.routes[self.backends[1]].open = lambda client: None  # type: ignore[assignment, method-assign, return-value]
        client, placed = self.place()
        self.a.refuse()
        self.successResultOf(placed)
        self.pool.remove(self.backends[0])
        second = FakeClient()
        self.assertIsNone(self.dispatch.place(second))
        self.assertEqual(self.backends[1].active, 2)
        self.leave(client)
        self.quiet()
        self.assertEqual(self.reports.told, [("a", "connection refused"), ("b", "served")])
        self.leave(second)
        self.assertEqual(self.counts, [0, 0])

    def test_another(self) -> None:
        """
        When a backend refuses, another one gets the client; the first one's lease is given back, and it is reported.
        """
        self.make("a", "b")
        client, placed = self.place()
        self.a.refuse()
        self.assertNoResult(placed)
        self.assertEqual(self.counts, [0, 1])
        self.assertEqual(self.reports.told, [("a", "connection refused")])
        self.others[0].succeed()
        self.successResultOf(placed)
        assert client.lease is not None
        self.assertIs(client.lease.backend, self.backends[1])
        self.quiet()

    def test_black_hole(self) -> None:
        """
        A backend that does not answer is given up after the connect timeout, and another one gets the client.
        """
        self.make("a", "b", connect_timeout=3)
        _, placed = self.place()
        self.clock.advance(2.9)
        self.assertEqual((self.a.cancelled, self.counts), (0, [1, 0]))
        self.clock.advance(0.1)
        self.assertEqual((self.a.cancelled, self.counts), (1, [0, 1]))
        self.assertEqual(self.reports.told, [("a", "no connection in time")])
        self.clock.advance(2.9)
        self.others[0].succeed()
        self.successResultOf(placed)
        self.quiet()

    def test_three_at_most(self) -> None:
        """
        After three attempts the client is told what came of each.
        """
        self.make("a", "b", "c", "d")
        client, placed = self.place()
        for route in (self.a, *self.others[:2]):
            self.assertNoResult(placed)
            route.refuse()
        reason = self.why(placed)
        self.assertEqual(reason, "a: connection refused; b: connection refused; c: connection refused")
        self.assertEqual((self.counts, client.lease, self.others[2].clients), ([0] * 4, None, []))
        self.quiet()

    def test_each_once(self) -> None:
        """
        A backend that failed a client is not tried again for it.
        """
        self.make("a")
        _, placed = self.place()
        self.a.refuse()
        self.assertEqual(self.why(placed), "a: connection refused; of the others, no backend is up")

    def test_not_the_doubtful(self) -> None:
        """
        The second attempt is for a backend that has not just failed others, if there is one.
        """
        self.make("a", "b", "c", "d")
        self.backends[1].failed = 1
        self.backends[2].failed = 2
        _, placed = self.place()
        self.a.refuse()
        self.assertEqual(self.counts, [0, 0, 0, 1])
        self.others[2].refuse()
        self.assertEqual(self.counts, [0, 1, 0, 0])
        self.others[0].succeed()
        self.successResultOf(placed)

    def test_touched(self) -> None:
        """
        Once something that the client sent was forwarded, no other backend is tried: it might be done twice.
        """
        self.make("a", "b")
        client, placed = self.place()
        client.forwarded = b"/pub"
        self.a.refuse()
        self.assertEqual(self.why(placed), "a: connection refused")
        self.assertEqual(self.counts, [0, 0])

    def test_tried_before(self) -> None:
        """
        A backend that had the client and did not serve it counts as an attempt.
        """
        self.make("a", "b", "c", retries=2)
        placed = self.dispatch.place(FakeClient(), (self.backends[0],))
        assert placed is not None
        self.assertEqual(self.counts, [0, 1, 0])
        self.others[0].refuse()
        self.assertEqual(self.why(placed), "b: connection refused")

    def test_client_gone(self) -> None:
        """
        When the client goes during an attempt, that ends, the lease is given back once, and no backend is blamed.
        """
        self.make("a", "b")
        client, placed = self.place()
        placed.cancel()
        self.failureResultOf(placed, CancelledError)
        self.assertEqual((self.a.cancelled, self.counts, client.lease), (1, [0, 0], None))
        self.assertEqual((self.reports.told, self.others[0].clients), ([], []))
        self.quiet()

    def test_client_gone_later(self) -> None:
        """
        So it is during a later attempt.
        """
        self.make("a", "b", "c")
        _, placed = self.place()
        self.a.refuse()
        placed.cancel()
        self.failureResultOf(placed, CancelledError)
        self.assertEqual((self.others[0].cancelled, self.counts), (1, [0, 0, 0]))
        self.assertEqual(self.reports.told, [("a", "connection refused")])
        self.quiet()

    def test_client_gone_after_a_black_hole(self) -> None:
        """
        A client that goes after an attempt was given up is gone: it is no second time-out.
        """
        self.make("a", "b", connect_timeout=3)
        _, placed = self.place()
        self.clock.advance(3)
        placed.cancel()
        self.failureResultOf(placed, CancelledError)
        self.assertEqual((self.counts, self.reports.told), ([0, 0], [("a", "no connection in time")]))

    def test_our_own_limits(self) -> None:
        """
        That this machine has no descriptor left is not a backend's fault.
        """
        self.make("a")
        _, placed = self.place()
        self.a.attempts.pop().errback(ConnectError(errno.EMFILE, "Too many open files"))
        self.assertEqual(self.why(placed), "a: too many open files; of the others, no backend is up")
        self.assertEqual((self.reports.told, self.counts), ([], [0]))

    def test_broken_route(self) -> None:
        """
        A route that raises is logged with its traceback, and another backend gets the client.
        """
        self.make("a", "b")
        del self.routes[self.backends[0]]
        _, placed = self.place()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.counts, [0, 1])
        self.others[0].succeed()
        self.successResultOf(placed)

    def test_forgotten(self) -> None:
        """
        Nothing is kept of a client that has got to its backend, or has gone.
        """
        self.make("a")
        client, placed = self.place()
        self.a.succeed()
        self.leave(client)
        client.lease = None
        kept = [weakref.ref(client)]
        client, placed = self.place()
        placed.cancel()
        self.failureResultOf(placed, CancelledError)
        kept.append(weakref.ref(client))
        self.a.clients.clear()
        del client, placed
        gc.collect()
        self.assertEqual([each() for each in kept], [None, None])

    def test_kept(self) -> None:
        """
        A connection that a doubtful backend has kept for a second was served, though it goes on; one that has ended by
        then is the business of who had it.
        """
        self.make("a")
        for failed, told in ((0, []), (1, [("a", "served")])):
            self.backends[0].failed = failed
            client, placed = self.place()
            self.a.succeed()
            self.successResultOf(placed)
            self.clock.advance(1)
            self.assertEqual(self.reports.told, told)
            _, placed = self.place()
            self.a.succeed()
            self.leave(self.a.clients[-1])
            self.clock.advance(1)
            self.assertEqual(self.reports.told, told)
            self.leave(client)
        self.quiet()

    def test_all_down(self) -> None:
        """
        When no backend is up, the client is told so at once.
        """
        self.make("a", "b")
        self.pool.set_down(self.backends[0])
        self.pool.set_mode(self.backends[1], Mode.DRAIN, 0.0)
        _, placed = self.place()
        self.assertEqual(self.why(placed), "no backend is up")
        self.assertEqual(self.dispatch.waiting, 0)

    def test_settings(self) -> None:
        """
        All settings can change while clients are on their way.
        """
        self.make("a", "b")
        _, placed = self.place()
        self.dispatch.connect_timeout = 1
        self.dispatch.retries = 1
        self.clock.advance(1)
        self.assertEqual(self.why(placed), "a: no connection in time")
        self.dispatch.queue = 7
        self.dispatch.queue_timeout = 8
        settings = (self.dispatch.connect_timeout, self.dispatch.queue, self.dispatch.queue_timeout)
        self.assertEqual(settings, (1, 7, 8))


class WaitingTests(DispatchCase):
    """
    When every backend is full, clients wait.
    """

    def make_full(self, *names: str, **settings: Any) -> list[FakeClient]:
        self.make(*names, most=1, **settings)
        clients = []
        for route in self.routes.values():
            client, placed = self.place()
            route.succeed()
            self.successResultOf(placed)
            clients.append(client)
        return clients

    def test_first_come_first_served(self) -> None:
        """
        A place that becomes free is for the one who waits longest, and nobody overtakes.
        """
        held = self.make_full("a", "b")
        first, second = self.place(), self.place()
        self.assertEqual((self.dispatch.waiting, self.counts), (2, [1, 1]))
        self.leave(held[1])
        third = self.place()
        self.assertEqual(self.others[0].clients[1:], [first[0]])
        self.others[0].succeed()
        self.successResultOf(first[1])
        self.leave(first[0])
        self.assertEqual(self.others[0].clients[2:], [second[0]])
        self.assertNoResult(third[1])
        self.assertEqual((self.dispatch.waiting, self.counts), (1, [1, 1]))

    def test_in_vain(self) -> None:
        """
        Who waited for the queue timeout is told so, and so is the log, with the client's address.
        """
        self.make_full("a", queue_timeout=5)
        _, placed = self.place()
        self.clock.advance(4.9)
        self.assertNoResult(placed)
        self.clock.advance(0.2)
        self.assertEqual(self.why(placed), "every backend has as many connections as it may have, for 5 s")
        self.assertEqual((self.dispatch.waiting, self.counts), (0, [1]))
        self.quiet()

    def test_bounded(self) -> None:
        """
        When the line is as long as it may be, one more is told at once.
        """
        self.make_full("a", queue=1)
        _, waits = self.place()
        _, refused = self.place()
        self.assertEqual(self.why(refused), "every backend has as many connections as it may have")
        self.assertNoResult(waits)

    def test_leave_the_line(self) -> None:
        """
        A client that goes while it waits leaves the line, and takes nobody's turn.
        """
        held = self.make_full("a")
        first, second = self.place(), self.place()
        first[1].cancel()
        self.failureResultOf(first[1], CancelledError)
        self.leave(held[0])
        self.assertEqual(self.a.clients[1:], [second[0]])
        second[1].cancel()
        self.failureResultOf(second[1], CancelledError)
        self.assertEqual(self.counts, [0])
        self.quiet()

    def test_down_meanwhile(self) -> None:
        """
        When the backends for which they wait go down, those who wait are told at once.
        """
        self.make_full("a", "b")
        waiting = [self.place()[1] for _ in range(3)]
        self.pool.set_down(self.backends[0])
        self.assertEqual(self.dispatch.waiting, 3)
        self.pool.set_down(self.backends[1])
        self.assertEqual([self.why(each) for each in waiting], ["no backend is up"] * 3)

    def test_drained_meanwhile(self) -> None:
        """
        ... and when an operator takes them out: they are told that, and not that none is up.
        """
        self.make_full("a", "b")
        waiting = [self.place()[1] for _ in range(3)]
        self.pool.set_mode(self.backends[0], Mode.DRAIN, 0.0)
        self.assertEqual(self.dispatch.waiting, 3)
        self.pool.set_mode(self.backends[1], Mode.DOWN, 0.0)
        why = "an operator has drained or taken out every backend"
        self.assertEqual([self.why(each) for each in waiting], [why] * 3)
        self.assertEqual(self.why(self.place()[1]), why)

    def test_more_room(self) -> None:
        """
        A higher limit, or another backend, is for those who wait.
        """
        self.make_full("a")
        first, second, third = self.place(), self.place(), self.place()
        self.pool.change(self.backends[0], most=2)
        self.assertEqual((self.a.clients[1:], self.dispatch.waiting), ([first[0]], 2))
        other = Backend("z", "tcp:z:1", most=1)
        self.routes[other] = FakeRoute()
        self.pool.add(other)
        self.assertEqual((self.routes[other].clients, self.dispatch.waiting), ([second[0]], 1))
        self.assertNoResult(third[1])

    def test_after_a_failure(self) -> None:
        """
        A client whose first attempt failed waits for the other backend, not for the one that failed it; another client
        that waits behind it may have that one.
        """
        held = self.make_full("a", "b")
        self.leave(held[0])
        first, placed = self.place()
        second, _ = self.place()
        self.a.refuse()
        self.assertEqual(self.a.clients[2:], [second])
        self.assertEqual(self.dispatch.waiting, 1)
        self.leave(held[1])
        self.assertEqual(self.others[0].clients[1:], [first])
        self.others[0].succeed()
        self.successResultOf(placed)
        self.assertEqual(self.counts, [1, 1])

    def test_hopeless(self) -> None:
        """
        For many who wait for the same backends, the pool is asked once.
        """
        held = self.make_full("a", "b")
        self.leave(held[0])
        for _ in range(50):
            self.place()
            self.a.refuse()
        self.assertEqual(self.dispatch.waiting, 50)
        asked: list[object] = []
        lease = self.pool.lease

        def ask(now: float, avoid: Collection[Backend] = ()) -> Lease | Shortage:
            asked.append(avoid)
            return lease(now, avoid)

        self.patch(self.pool, "lease", ask)
        self.dispatch.freed()
        # Without those that failed others, and then with them.
        self.assertEqual(len(asked), 2)

    def test_slow_start(self) -> None:
        """
        The limit of a backend in slow start grows with the time, and those who wait profit from that.
        """
        self.make_full("a", queue_timeout=60, connect_timeout=0)
        self.pool.set_mode(self.backends[0], Mode.DRAIN, self.clock.seconds())
        late = Backend("z", "tcp:z:1", most=10)
        self.routes[late] = FakeRoute()
        self.pool.add(late, self.clock.seconds())
        for _ in range(3):
            self.place()
        self.assertEqual((late.active, self.dispatch.waiting), (1, 2))
        self.clock.pump([0.5] * 13)
        self.assertEqual((late.active, self.dispatch.waiting), (3, 0))

    def test_many_fail_at_once(self) -> None:
        """
        A whole line of clients whose attempts fail at once is served without running out of stack.
        """
        held = self.make_full("a", retries=1, queue=5_000)
        waiting = [self.place()[1] for _ in range(5_000)]

        def fails(client: FakeClient) -> "Deferred[None]":
            raise ValueError("no way")

        self.a.open = fails  # type: ignore[method-assign]
        self.leave(held[0])
        self.assertEqual({self.why(each) for each in waiting}, {"a: no way"})
        self.assertEqual(self.counts, [0])
        self.flushLoggedErrors(ValueError)

    def test_stop(self) -> None:
        """
        When the balancer stops, those who wait are told, and no timer is left.
        """
        self.make_full("a")
        _, waits = self.place()
        self.dispatch.stop()
        self.assertEqual(self.why(waits), "the balancer is stopped")
        self.assertEqual(self.clock.getDelayedCalls(), [])
