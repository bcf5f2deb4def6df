"""
The backends with all that belongs to each: its place in the pool, its route, and the watch over its health.

What changes them, a command or the configuration that was read again, changes all three together, and no connection.
"""

from collections.abc import Callable, Iterable, Iterator

from twisted.internet.interfaces import IReactorTime
from txaio.tx import make_logger

from echochat.balancer.backends import Backend, Mode
from echochat.balancer.pool import Pool, Shortage
from echochat.balancer.routes import Route, Watch


class Fleet:
    """
    Adds, changes and removes backends while connections come and go.

    :param make_route: makes the way to a backend; raises ValueError when its endpoint is none.
    :param watch: looks at their health.
    :param vacate: asks all sessions of a backend that was removed to move.
    :ivar routes: the way to each backend, those that are leaving too.
    """

    log = make_logger()

    def __init__(
        self,
        clock: IReactorTime,
        pool: Pool,
        make_route: Callable[[Backend], Route],
        watch: Watch,
        vacate: Callable[[Backend], object] = lambda backend: None,
    ) -> None:
        self.pool = pool
        self.vacate = vacate
        self.routes: dict[Backend, Route] = {}
        self._clock = clock
        self._make_route = make_route
        self._watch = watch
        self._is_watched = False
        self._configured: set[str] = set()
        self._leaving: list[Backend] = []

    def __iter__(self) -> Iterator[Backend]:
        """
        All that have connections or may get some: those of the pool, and then those that are leaving.
        """
        self._let_go()
        return iter([*self.pool, *self._leaving])

    def is_leaving(self, backend: Backend) -> bool:
        """
        Whether it was removed, and still has connections.
        """
        return backend in self._leaving

    # Called by the service

    def take(self, backends: Iterable[Backend]) -> None:
        """
        Have the backends of the configuration, with their full weight at once.

        :raises ValueError: an endpoint is wrong, or two have one name.
        """
        for backend in backends:
            self._take(backend, None)
            self._configured.add(backend.name)

    def begin(self) -> None:
        """
        The process runs: look at their health.
        """
        self._is_watched = True
        for backend in self.pool:
            self._watch.begin(backend)

    def end(self) -> None:
        """
        Look at none any more, and let nothing more in.
        """
        self._is_watched = False
        for backend in self.pool:
            self._watch.end(backend)
            self.routes[backend].close()

    # Called when the configuration was read again

    def follow(self, wanted: Iterable[Backend]) -> list[str]:
        """
        Become what the configuration says now. Backends that only an operator has added stay, and so does what the
        operator wants of each (:class:`echochat.balancer.backends.Mode`).

        :param wanted: as the configuration says, made anew: those that are there already are only read.
        :return: what has changed, a line each, for people.
        :raises ValueError: an endpoint is wrong; nothing has changed then.
        """
        by_name = {each.name: each for each in wanted}
        new = self._make_routes(each for each in by_name.values() if self._is_new(each))
        changes = []
        for name in sorted(self._configured - set(by_name)):
            gone = self.pool.get(name)
            if gone is not None:
                self.remove(gone)
                changes.append(f"{name}: removed, with {gone.active} connections")
        for name, backend in by_name.items():
            there = self.pool.get(name)
            if there is None:
                self._enter(backend, new[backend], self._clock.seconds())
                changes.append(f"{name}: added, {backend.endpoint}")
            elif backend in new:
                backend.mode = there.mode
                self.remove(there)
                self._enter(backend, new[backend], self._clock.seconds())
                changes.append(f"{name}: {there.endpoint} -> {backend.endpoint}")
            else:
                changes += self._become(there, backend)
        self._configured = set(by_name)
        for change in changes:
            self.log.info("the configuration has changed backend {change}", change=change)
        return changes

    # Called by the operator

    def add(self, backend: Backend) -> None:
        """
        Another one, which begins slowly.

        :raises ValueError: its endpoint is wrong, or there is one of that name.
        """
        self._take(backend, self._clock.seconds())
        self.log.info("backend {name} was added: {endpoint}", name=backend.name, endpoint=backend.endpoint)

    def remove(self, backend: Backend) -> None:
        """
        Give it no more connections. Those that it has are asked to move; it is gone when the last has ended.
        """
        self.pool.remove(backend)
        self._watch.end(backend)
        self._configured.discard(backend.name)
        self._leaving.append(backend)
        self.log.info("backend {name} was removed; connections: {count}", name=backend.name, count=backend.active)
        self._look_whether_any_serves()
        if backend.active:
            # By its route, perhaps, which is closed after that.
            self.vacate(backend)
        self.routes[backend].close()
        self._let_go()

    def set_mode(self, backend: Backend, mode: Mode) -> None:
        """
        Make it ready, drain it, or take it out.
        """
        self.pool.set_mode(backend, mode, self._clock.seconds())
        self._look_at(backend)
        self.log.info("backend {name} is to be: {mode}", name=backend.name, mode=mode.value)
        if mode is not Mode.READY:
            self._look_whether_any_serves()

    def set_weight(self, backend: Backend, weight: int) -> None:
        """
        Give it another share of the connections to come.
        """
        self.pool.change(backend, weight=weight)
        self.log.info("backend {name} has weight {weight} now", name=backend.name, weight=weight)

    # Ours

    def _take(self, backend: Backend, now: float | None) -> None:
        if self.pool.get(backend.name) is not None:
            raise ValueError(f"there is a backend {backend.name} already")
        # A wrong endpoint has to be known before the pool may choose it.
        self._enter(backend, self._make_route(backend), now)

    def _enter(self, backend: Backend, route: Route, now: float | None) -> None:
        self.routes[backend] = route
        self.pool.add(backend, now)
        self._look_at(backend)

    def _look_whether_any_serves(self) -> None:
        """
        Say so when an operator has left none: no check will find out.
        """
        if self.pool.shortage is Shortage.OUT:
            self.log.warn("clients are refused from now on: {why}", why=Shortage.OUT.value)

    def _look_at(self, backend: Backend) -> None:
        if self._is_watched:
            self._watch.begin(backend)

    def _make_routes(self, backends: Iterable[Backend]) -> dict[Backend, Route]:
        routes: dict[Backend, Route] = {}
        try:
            for backend in backends:
                routes[backend] = self._make_route(backend)
        except ValueError:
            for route in routes.values():
                route.close()
            raise
        return routes

    def _is_new(self, backend: Backend) -> bool:
        there = self.pool.get(backend.name)
        return there is None or there.endpoint != backend.endpoint

    def _become(self, backend: Backend, wanted: Backend) -> list[str]:
        changes = []
        for attribute, word in (
            ("weight", "weight"),
            ("most", "max"),
            ("backup", "backup"),
            ("check", "check"),
            ("control", "control"),
        ):
            before, after = getattr(backend, attribute), getattr(wanted, attribute)
            if before != after:
                changes.append(f"{backend.name}: {word} {_written(before)} -> {_written(after)}")
        if changes:
            self.pool.change(backend, weight=wanted.weight, most=wanted.most, backup=wanted.backup)
            has_changed = (backend.check, backend.control) != (wanted.check, wanted.control)
            backend.check, backend.control = wanted.check, wanted.control
            if has_changed:
                self._look_at(backend)
        return changes

    def _let_go(self) -> None:
        for backend in [each for each in self._leaving if not each.active]:
            self._leaving.remove(backend)
            del self.routes[backend]
            self.log.info("backend {name} is gone: its last connection has ended", name=backend.name)


def _written(value: object) -> str:
    return "as for all" if value is None else str(value).lower()
