"""
How the figures of each backend change: rates over the last seconds, and connections over the last minutes.
"""

from array import array
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.balancer.backends import Backend
from echochat.balancer.routes import Held

STEP: Final = 2.0
"""
Seconds from one look to the next.
"""

KEPT: Final = 150
"""
Looks that are kept: 5 minutes, in 8 bytes each.
"""

_OVER: Final = 5
"""
Steps over which rates are measured.
"""


class Sums:
    """
    What a backend was given since it was added, that of the connections that are still there included.

    A connection adds what it carried to its backend's traffic when it ends, so that nothing is added twice for each
    chunk that it carries.
    """

    __slots__ = ("bytes_in", "bytes_out", "connections")

    def __init__(self, backend: Backend) -> None:
        self.connections = backend.traffic.connections
        self.bytes_in = backend.traffic.bytes_in
        self.bytes_out = backend.traffic.bytes_out


def add_up(backends: Iterable[Backend], connections: Iterable[Held]) -> dict[Backend, Sums]:
    """
    The sums of each backend.
    """
    sums = {each: Sums(each) for each in backends}
    for connection in connections:
        lease = connection.lease
        if lease is not None and lease.backend in sums:
            of_backend = sums[lease.backend]
            of_backend.bytes_in += connection.bytes_in
            of_backend.bytes_out += connection.bytes_out
    return sums


class Trend:
    """
    One backend's.
    """

    __slots__ = ("_active", "_looks")

    def __init__(self) -> None:
        self._looks: deque[tuple[float, Sums]] = deque(maxlen=_OVER + 1)
        self._active = array("L")

    def note(self, now: float, sums: Sums, active: int) -> None:
        """
        How it is now.
        """
        self._looks.append((now, sums))
        self._active.append(active)
        if len(self._active) > KEPT:
            del self._active[0]

    def rate(self, of: Callable[[Sums], int]) -> float:
        """
        How much one of the sums has grown a second, over the last looks.
        """
        if len(self._looks) < 2:
            return 0.0
        (began, before), (ended, after) = self._looks[0], self._looks[-1]
        return (of(after) - of(before)) / (ended - began) if ended > began else 0.0

    @property
    def active(self) -> list[int]:
        """
        How many connections there were at each look, the oldest first.
        """
        return self._active.tolist()


class Trends:
    """
    Looks at the backends every :data:`STEP` seconds.

    :param backends: all that there are.
    :param connections: likewise.
    :param looked: is called after each look.
    """

    log = make_logger()

    def __init__(
        self,
        clock: IReactorTime,
        backends: Iterable[Backend],
        connections: Callable[[], Iterable[Held]],
        looked: Callable[[], object] = lambda: None,
    ) -> None:
        self.looked = looked
        self._clock = clock
        self._backends = backends
        self._connections = connections
        self._trends: dict[Backend, Trend] = {}
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    # Called by the service

    def begin(self) -> None:
        """
        The balancer listens.
        """
        self._loop.start(STEP).addErrback(self._failed)

    def end(self) -> None:
        """
        Look no more.
        """
        if self._loop.running:
            self._loop.stop()

    # Called by whoever wants to know

    def of(self, backend: Backend) -> Trend:
        """
        How a backend's figures change.
        """
        return self._trends.get(backend) or Trend()

    def sums(self) -> dict[Backend, Sums]:
        """
        What each backend was given up to now.
        """
        return add_up(self._backends, self._connections())

    # Ours

    def _failed(self, failure: Failure) -> None:
        self.log.failure("the backends are not looked at any more", failure)

    def _look(self) -> None:
        try:
            self._note()
            self.looked()
        except Exception:
            # A loop whose function raises stops for good.
            self.log.failure("the backends could not be looked at")

    def _note(self) -> None:
        now = self._clock.seconds()
        sums = self.sums()
        # Backends that are gone are forgotten.
        self._trends = {each: self._trends.get(each) or Trend() for each in sums}
        for backend, trend in self._trends.items():
            trend.note(now, sums[backend], backend.active)
