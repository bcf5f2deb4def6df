"""
The checks of one backend, one after the other, and sometimes one beside the other.

A backend to which no packet gets shows it only when a check's time is over, and three such checks one after the other
take eight seconds. So when the check of one that is up has not ended after half a second, the next one begins beside
it, up to as many as it takes: each has its whole time, and all is known after 5.2 s (an interval of 2.2, a timeout of
2, and twice 0.5).
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.balancer.backends import Backend
from echochat.balancer.checks import Check
from echochat.balancer.condition import SOON, Condition
from echochat.balancer.health import Health
from echochat.balancer.reasons import is_our_own, why
from echochat.net.deadlines import Deadlines


class Rounds:
    """
    Checks a backend until it is stopped.

    :param health: is told what comes out.
    :param check: checks it; None: it is not checked, and only the time heals it.
    :param deadlines: cancels a check whose time is over.
    :param vary: makes a time a little longer or shorter.
    """

    log = make_logger()

    def __init__(
        self,
        clock: IReactorTime,
        health: Health,
        backend: Backend,
        condition: Condition,
        check: Check | None,
        deadlines: Deadlines[Any],
        vary: Callable[[float], float],
    ) -> None:
        self._clock = clock
        self._health = health
        self._backend = backend
        self._condition = condition
        self._check = check
        self._deadlines = deadlines
        self._vary = vary
        self._timer: Any = None
        # Those that go on.
        self._checks: set[Deferred[Any]] = set()

    # Called by the watch

    def look_within(self, seconds: float) -> None:
        """
        Let no more time than this pass before the next check.
        """
        if self._timer is not None and self._timer.getTime() - self._clock.seconds() > seconds:
            self._stop_timer()
        if self._timer is None:
            self._timer = self._clock.callLater(seconds, self._look)

    def look_soon(self) -> None:
        """
        Something speaks against the backend.
        """
        self.look_within(self._vary(self._condition.until_next(self._clock.seconds())))

    def stop(self) -> None:
        """
        No more checks, and none that goes on.
        """
        self._stop_timer()
        checks, self._checks = self._checks, set()
        for check in checks:
            check.cancel()

    # Ours

    def _look(self) -> None:
        self._timer = None
        if self._check is None:
            self._health.is_unchecked(self._backend)
            self.look_soon()
        elif len(self._checks) < self._condition.rules.fall:
            if self._condition.is_up:
                self.look_within(SOON)
            self._begin(self._check)

    def _begin(self, check: Check) -> None:
        try:
            checking = check(self._backend)
        except Exception:
            self.log.failure("a check of {backend} cannot begin", backend=self._backend.name)
            checking = fail()
        self._checks.add(checking)
        self._deadlines.set(checking)
        began = self._clock.seconds()
        checking.addCallbacks(self._passed, self._failed, callbackArgs=(checking, began), errbackArgs=(checking,))

    def _passed(self, what: str, checking: "Deferred[Any]", began: float) -> None:
        if self._is_over(checking):
            milliseconds = (self._clock.seconds() - began) * 1_000
            self._health.check_passed(self._backend, f"{what} after {milliseconds:.1f} ms")
            self._go_on()

    def _failed(self, failure: Failure, checking: "Deferred[Any]") -> None:
        if not self._is_over(checking):
            return
        if failure.check(CancelledError):
            self._health.check_failed(self._backend, f"no answer within {self._deadlines.seconds:g} s")
        elif is_our_own(failure):
            self.log.warn("{backend} could not be checked: {why}", backend=self._backend.name, why=why(failure))
        else:
            self._health.check_failed(self._backend, why(failure))
        self._go_on()

    def _is_over(self, checking: "Deferred[Any]") -> bool:
        """
        :return: whether its result matters: not when it was stopped.
        """
        self._deadlines.clear(checking)
        if checking not in self._checks:
            return False
        self._checks.discard(checking)
        return True

    def _go_on(self) -> None:
        # The timer is that of a check that took long. What came out says when the next one is due.
        self._stop_timer()
        self.look_soon()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
