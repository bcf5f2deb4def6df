"""
A fleet for tests, with routes that go nowhere and a watch that only notes whom it looks at.
"""

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from echochat.balancer.backends import Backend, Lease
from echochat.balancer.fleet import Fleet
from echochat.balancer.pool import Pool


class QuietRoute:
    """
    The way to a backend that nobody goes.
    """

    def __init__(self) -> None:
        self.closed = 0

    def open(self, client: Any) -> "Deferred[None]":
        return succeed(None)

    def close(self) -> None:
        self.closed += 1


class MovingRoute(QuietRoute):
    """
    One that can ask sessions to move.

    :ivar asked: how many, and in how many seconds, each time.
    :ivar answer: what it says next.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int | None, float]] = []
        self.answer: Deferred[int] = succeed(0)

    def move(self, count: int | None, seconds: float) -> "Deferred[int]":
        self.asked.append((count, seconds))
        return self.answer


class NotingWatch:
    """
    Looks at nobody.

    :ivar looked_at: those that it should look at.
    :ivar begun: how often it was told to.
    """

    def __init__(self) -> None:
        self.looked_at: list[Backend] = []
        self.begun = 0

    def begin(self, backend: Backend) -> None:
        self.begun += 1
        if backend not in self.looked_at:
            self.looked_at.append(backend)

    def end(self, backend: Backend) -> None:
        self.looked_at.remove(backend)


def make_route(backend: Backend) -> QuietRoute:
    """
    The way to a backend; an endpoint that begins with ``wrong`` is none.
    """
    if backend.endpoint.startswith("wrong"):
        raise ValueError(f"{backend.endpoint} is no endpoint")
    return MovingRoute() if backend.endpoint.startswith("handoff:") else QuietRoute()


class TestFleet(Fleet):
    """
    Backends a, b, ... of a test, and the time that it passes.

    :ivar clock: the fleet's.
    :ivar watch: likewise.
    :ivar vacated: the names of those whose sessions were asked to move because they were removed.
    """

    def __init__(self, *names: str, slow_start: float = 0) -> None:
        self.clock = Clock()
        self.watch = NotingWatch()
        self.vacated: list[str] = []
        super().__init__(self.clock, Pool(slow_start), make_route, self.watch, self._vacate)
        self.take(Backend(name, f"tcp:{name}:7007") for name in names)
        self.begin()

    def backend(self, name: str) -> Backend:
        """
        The one of that name, which has to be there.
        """
        found = self.pool.get(name)
        assert found is not None, name
        return found

    def lease(self) -> Lease:
        """
        Give a backend a connection.
        """
        lease = self.pool.lease(self.clock.seconds())
        assert isinstance(lease, Lease), lease
        return lease

    def _vacate(self, backend: Backend) -> None:
        self.vacated.append(backend.name)
