"""
What is told of backends, by checks and by connections, and what follows from it for the pool.

Connections that were closed at once may be the clients' doing. Because of them no more than half of the backends are
held down at a time: the others stay, whatever clients say. For attempts that failed there is no such limit, since no
client can make one fail.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from txaio.tx import make_logger

from echochat.balancer.backends import Backend, Mode
from echochat.balancer.condition import Condition, Rules, State
from echochat.balancer.pool import Pool


class Health:
    """
    Keeps the condition of each backend, and tells the pool when one goes down or comes up.

    :param rules: how much it takes.
    :ivar doubted: called when a backend should be looked at soon: a connection was not served, or it is held down.
    """

    log = make_logger()

    def __init__(self, clock: IReactorTime, pool: Pool, rules: Rules | None = None) -> None:
        self.doubted: Callable[[Backend], None] = lambda backend: None
        self._clock = clock
        self._pool = pool
        self._rules = rules or Rules()
        self._conditions: dict[Backend, Condition] = {}

    # Called by connections

    def connect_failed(self, backend: Backend, why: str) -> None:
        """
        An attempt failed.
        """
        condition = self._count(backend)
        if condition is not None and condition.is_up and condition.has_failed_enough:
            self._take_out(backend, condition, f"connections in a row that failed: {condition.unserved}; {why}")

    def closed_at_once(self, backend: Backend) -> None:
        """
        It closed a connection and had not said anything. When the client closed first, this is not to be called.
        """
        condition = self._count(backend)
        if condition is not None and condition.is_up and condition.has_failed_enough and self._may_take_out():
            self._take_out(backend, condition, f"connections in a row that it closed at once: {condition.unserved}")

    def served(self, backend: Backend) -> None:
        """
        It has served a connection.
        """
        condition = self._conditions.get(backend)
        if condition is not None and condition.unserved:
            condition.served()
            backend.failed = 0

    # Called by the watch

    @property
    def rules(self) -> Rules:
        """
        How much it takes to change one's mind. It may be set at any time.
        """
        return self._rules

    @rules.setter
    def rules(self, rules: Rules) -> None:
        self._rules = rules
        for condition in self._conditions.values():
            condition.rules = rules

    def begin(self, backend: Backend) -> Condition:
        """
        Keep the condition of this one. It is thought to be up until something says otherwise.
        """
        condition = self._conditions.get(backend)
        if condition is None:
            condition = self._conditions[backend] = Condition(self._rules)
        return condition

    def end(self, backend: Backend) -> None:
        """
        Keep it no more. What is told of this one from now on is counted only.
        """
        self._conditions.pop(backend, None)

    def check_passed(self, backend: Backend, what: str) -> None:
        """
        A check was good.

        :param what: what it saw.
        """
        condition = self._conditions[backend]
        now = backend.checked = self._clock.seconds()
        condition.check_passed(now)
        if condition.state is State.HELD:
            what = f"{what}; but connections fail, so it is held down for {condition.hold:g} s"
        self._conclude(backend, condition, what)

    def check_failed(self, backend: Backend, why: str) -> None:
        """
        A check was not.
        """
        condition = self._conditions[backend]
        backend.checked = self._clock.seconds()
        backend.traffic.refused += 1
        condition.check_failed()
        self._conclude(backend, condition, why)

    def is_unchecked(self, backend: Backend) -> None:
        """
        There is no check of this one.
        """
        condition = self._conditions[backend]
        if not condition.is_up:
            condition.is_unchecked(self._clock.seconds())
            if condition.is_up:
                self._conclude(backend, condition, "its time is over; it is not checked")

    # Ours

    def _count(self, backend: Backend) -> Condition | None:
        backend.traffic.failures += 1
        condition = self._conditions.get(backend)
        if condition is not None:
            condition.unserved += 1
            backend.failed = condition.unserved
            self.doubted(backend)
        return condition

    def _may_take_out(self) -> bool:
        ready = sum(backend.mode is Mode.READY for backend in self._pool)
        held = sum(condition.state is State.HELD for condition in self._conditions.values())
        return held < ready // 2

    def _take_out(self, backend: Backend, condition: Condition, why: str) -> None:
        condition.take_out(self._clock.seconds())
        self._conclude(backend, condition, why)
        self.doubted(backend)

    def _conclude(self, backend: Backend, condition: Condition, why: str) -> None:
        backend.why = why
        backend.failed = condition.unserved
        if condition.is_up and not backend.is_up:
            self.log.info("backend {name} is up: {why}", name=backend.name, why=why)
            self._pool.set_up(backend, self._clock.seconds())
        elif backend.is_up and not condition.is_up:
            self.log.warn("backend {name} is down: {why}", name=backend.name, why=why)
            self._pool.set_down(backend)
