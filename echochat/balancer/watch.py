"""
When backends are checked: every two seconds, and more often while something changes.
"""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from echochat.balancer.backends import Backend, Mode
from echochat.balancer.checks import Check
from echochat.balancer.condition import SOON
from echochat.balancer.health import Health
from echochat.balancer.rounds import Rounds
from echochat.net.deadlines import Deadlines

TIMEOUT: Final = 2.0
"""
Seconds that a check may take.
"""

_SHORTEST: Final = 0.05
"""
Seconds that a check may take at least, whatever is set: no backend is as quick as that would ask.
"""

_JITTER: Final = 0.1
"""
The part by which a time between checks may be longer or shorter, so that they do not come all at once.
"""


class HealthWatch:
    """
    Checks backends from time to time.

    :param health: is told what comes out.
    :param check_of: how a backend is checked; None: not at all. It is asked again at each :meth:`begin`.
    :param uniform: a random number between two, for the jitter: ``random.uniform``.
    :param timeout: seconds that a check may take.
    """

    def __init__(
        self,
        clock: IReactorTime,
        health: Health,
        check_of: Callable[[Backend], Check | None],
        uniform: Callable[[float, float], float],
        timeout: float = TIMEOUT,
    ) -> None:
        self._clock = clock
        self._health = health
        self._check_of = check_of
        self._uniform = uniform
        self._rounds: dict[Backend, Rounds] = {}
        self._deadlines: Deadlines[Deferred[Any]] = Deadlines(clock, max(timeout, _SHORTEST), Deferred.cancel)
        health.doubted = self._look_soon

    @property
    def timeout(self) -> float:
        """
        Seconds that a check may take. Set, it holds for those that go on, too.
        """
        return self._deadlines.seconds

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        self._deadlines.seconds = max(seconds, _SHORTEST)

    # Called by the fleet

    def begin(self, backend: Backend) -> None:
        """
        Check this one, the first time at once; or in another way: its ``check`` or ``mode`` may have changed.
        """
        self._stop(backend)
        condition = self._health.begin(backend)
        if backend.mode is Mode.DOWN:
            return
        rounds = Rounds(
            self._clock, self._health, backend, condition, self._check_of(backend), self._deadlines, self._vary
        )
        self._rounds[backend] = rounds
        rounds.look_within(self._uniform(0.0, SOON))

    def end(self, backend: Backend) -> None:
        """
        Check it no more.
        """
        self._stop(backend)
        self._health.end(backend)

    # Called by the service

    def stop(self) -> None:
        """
        Check none any more.
        """
        for backend in list(self._rounds):
            self.end(backend)
        self._deadlines.stop()

    # Ours

    def _look_soon(self, backend: Backend) -> None:
        rounds = self._rounds.get(backend)
        if rounds is not None:
            rounds.look_soon()

    def _vary(self, seconds: float) -> float:
        return seconds * self._uniform(1 - _JITTER, 1 + _JITTER)

    def _stop(self, backend: Backend) -> None:
        rounds = self._rounds.pop(backend, None)
        if rounds is not None:
            rounds.stop()
