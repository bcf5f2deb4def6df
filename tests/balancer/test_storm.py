"""
Everything that chooses a backend together: dispatch, pool, health and the watch, while anything happens.
"""

from collections import Counter
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echochat.balancer.backends import Backend
from echochat.balancer.dispatch import Dispatch
from echochat.balancer.health import Health
from echochat.balancer.pool import Pool
from echochat.balancer.routes import NoBackend
from echochat.balancer.watch import HealthWatch
from tests.balancer.doubles import FakeClient


class Server:
    """
    A backend as the network shows it, and the route to it.

    :ivar way: what it does with attempts and checks: ``serve``, ``refuse``, ``swallow``, ``close``.
    """

    def __init__(self, backend: Backend, clock: Clock, random: Random) -> None:
        self.backend = backend
        self.way = "serve"
        self.connections: set[FakeClient] = set()
        self.pending: set[Deferred[None]] = set()
        self._clock = clock
        self._random = random

    def open(self, client: FakeClient) -> "Deferred[None]":
        attempt: Deferred[None] = Deferred(self.pending.discard)
        self.pending.add(attempt)
        self._clock.callLater(self._random.choice([0.0, 0.0, 0.01, 0.3]), self._answer, attempt, client)
        return attempt

    def close(self) -> None:
        """
        Nothing is kept open.
        """

    def check(self, backend: Backend) -> "Deferred[str]":
        checking: Deferred[str] = Deferred()
        if self.way == "refuse":
            checking.errback(ConnectionRefusedError())
        elif self.way != "swallow":
            # A check does not notice that clients are closed.
            checking.callback("connected")
        return checking

    def _answer(self, attempt: "Deferred[None]", client: FakeClient) -> None:
        if attempt not in self.pending or self.way == "swallow":
            return
        self.pending.discard(attempt)
        if self.way == "refuse":
            attempt.errback(ConnectionRefusedError())
        else:
            self.connections.add(client)
            attempt.callback(None)


class Storm:
    """
    Servers and clients at random, on a clock.

    :ivar outcomes: what became of the clients, counted.
    """

    def __init__(self, seed: int, most: int = 0, **settings: Any) -> None:
        self.random = Random(seed)
        self.clock = Clock()
        self.pool = Pool(5.0)
        self.health = Health(self.clock, self.pool)
        self.servers: dict[Backend, Server] = {}
        for name in "abcd":
            backend = Backend(name, f"tcp:{name}:1", most=most)
            self.servers[backend] = Server(backend, self.clock, self.random)
            self.pool.add(backend)
        self.watch = HealthWatch(
            self.clock, self.health, lambda backend: self.servers[backend].check, self.random.uniform
        )
        self.dispatch = Dispatch(self.clock, self.pool, self.servers.__getitem__, self.health, **settings)
        self.pool.freed = self.dispatch.freed
        for backend in self.servers:
            self.watch.begin(backend)
        self.outcomes: Counter[str] = Counter()
        self.joined: list[FakeClient] = []
        self.placing: dict[FakeClient, Deferred[None]] = {}

    def come(self) -> None:
        """
        A client comes.
        """
        client = FakeClient()
        placed = self.dispatch.place(client)
        assert placed is not None
        self.placing[client] = placed
        placed.addCallbacks(self._joins, self._fails, callbackArgs=(client,), errbackArgs=(client,))

    def leave(self, client: FakeClient) -> None:
        """
        A client that has joined goes.
        """
        self.joined.remove(client)
        assert client.lease is not None
        server = self.servers[client.lease.backend]
        server.connections.remove(client)
        self.health.served(server.backend)
        client.lease.release()

    def pass_time(self, seconds: float) -> None:
        """
        In small steps.
        """
        for _ in range(round(seconds / 0.01)):
            self.clock.advance(0.01)

    def end(self) -> None:
        """
        All clients go, and everything stops.
        """
        for placed in list(self.placing.values()):
            placed.cancel()
        for client in list(self.joined):
            self.leave(client)
        self.dispatch.stop()
        self.watch.stop()

    def _joins(self, _: None, client: FakeClient) -> None:
        self.placing.pop(client, None)
        self.outcomes["joined"] += 1
        assert client.lease is not None
        server = self.servers[client.lease.backend]
        if server.way == "close":
            server.connections.remove(client)
            self.outcomes["closed"] += 1
            self.health.closed_at_once(server.backend)
            client.lease.release()
        else:
            self.joined.append(client)

    def _fails(self, failure: Failure, client: FakeClient) -> None:
        self.placing.pop(client, None)
        failure.trap(NoBackend, CancelledError)
        assert client.lease is None
        self.outcomes["cancelled" if failure.check(CancelledError) else "refused"] += 1


class StormTests(SynchronousTestCase):
    """
    Whatever happens, the counts are right, and clients are served while one backend is good.
    """

    def check_counts(self, storm: Storm) -> None:
        """
        Each count is the connections that the backend has, and the attempts that go on there.
        """
        for backend, server in storm.servers.items():
            self.assertEqual(backend.active, len(server.connections) + len(server.pending))

    def weather(self, seed: int, **settings: Any) -> Storm:
        storm = Storm(seed, **settings)
        for step in range(3_000):
            for _ in range(storm.random.randrange(4)):
                storm.come()
            for _ in range(storm.random.randrange(4)):
                if storm.joined:
                    storm.leave(storm.random.choice(storm.joined))
            if storm.placing and storm.random.random() < 0.2:
                storm.random.choice(list(storm.placing.values())).cancel()
            if storm.random.random() < 0.02:
                storm.random.choice(list(storm.servers.values())).way = storm.random.choice(
                    ["serve", "serve", "refuse", "swallow", "close"]
                )
            storm.pass_time(0.02)
            if step % 50 == 0:
                self.check_counts(storm)
        return storm

    def test_counts(self) -> None:
        """
        With thousands of clients that come, wait, go and are failed by backends, every count is that of the connections
        that are there, and zero in the end; no timer is left.
        """
        for seed, settings in ((1, {}), (2, {"most": 20}), (3, {"most": 2, "queue": 30, "queue_timeout": 0.5})):
            storm = self.weather(seed, **settings)
            self.check_counts(storm)
            storm.end()
            self.assertEqual([backend.active for backend in storm.servers], [0] * 4)
            self.assertEqual(len(storm.joined) + len(storm.placing) + storm.dispatch.waiting, 0)
            storm.clock.advance(60)
            self.assertEqual(storm.clock.getDelayedCalls(), [])
            self.assertGreater(storm.outcomes["joined"], 1_000)
            self.assertGreater(storm.outcomes["cancelled"], 20)

    def test_one_good(self) -> None:
        """
        While one backend refuses, one swallows and one closes everything, no client fails because of the first two, and
        three at most are closed by the third before that is known; within six seconds all three are down, and stay so.
        """
        storm = Storm(6)
        storm.pass_time(10)
        for server, way in zip(storm.servers.values(), ("refuse", "swallow", "close", "serve"), strict=True):
            server.way = way
        for second in range(60):
            for _ in range(20):
                storm.come()
                storm.pass_time(0.05)
            if second >= 6:
                up = "".join(backend.name for backend in storm.servers if backend.is_up)
                self.assertIn(up, ("d", "cd"))
        storm.pass_time(5)
        self.assertEqual(storm.outcomes["refused"], 0)
        # Three, and then one for each time that it was held down and tried again: after 2, 4, 8, 16 and 32 s.
        self.assertLessEqual(storm.outcomes["closed"], 3 + 5)
        self.assertEqual(len(storm.joined) + storm.outcomes["closed"], 1_200)
        storm.end()
