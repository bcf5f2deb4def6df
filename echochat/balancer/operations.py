"""
What an operator may ask of a running balancer.
"""

from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred

from echochat.balancer.backends import Backend, Mode
from echochat.balancer.moving import Mover
from echochat.balancer.routes import Held
from echochat.balancer.status import Status
from echochat.daemon.reloads import Reloads


class UnknownBackend(Exception):
    """
    There is no backend of that name. The message says which there are.
    """


class Operations:
    """
    Changes the backends and ends connections, each at once and without touching what else there is.

    :param connections: all that the balancer has.
    :param seconds: over how long sessions are asked to move, unless told.
    :ivar reloads: what is read again.
    :ivar changes: what the last reload has changed of the backends.
    """

    def __init__(
        self,
        status: Status,
        mover: Mover,
        connections: Callable[[], Iterable[Held]],
        seconds: Callable[[], float],
    ) -> None:
        self.status = status
        self.reloads = Reloads()
        self.changes: list[str] = []
        self._fleet = status.fleet
        self._mover = mover
        self._connections = connections
        self._seconds = seconds

    # Called by the operator

    def drain(self, name: str, seconds: float | None = None) -> "Deferred[str] | None":
        """
        Give a backend no more connections, and have its sessions asked to move.

        :return: what came of asking, in a sentence; None: it has no connections.
        :raises UnknownBackend: there is none.
        """
        backend = self.backend(name)
        self._fleet.set_mode(backend, Mode.DRAIN)
        if not backend.active:
            return None
        return self._mover.move(backend, None, self._seconds() if seconds is None else seconds)

    def ready(self, name: str) -> None:
        """
        Give it connections again, more and more of them. Those of its sessions that were not asked to move yet stay.

        :raises UnknownBackend: there is none.
        """
        backend = self.backend(name)
        self._fleet.set_mode(backend, Mode.READY)
        self._mover.stay(backend)

    def down(self, name: str) -> None:
        """
        Give it no more connections, and look at its health no more. Those that it has go on.

        :raises UnknownBackend: there is none.
        """
        self._fleet.set_mode(self.backend(name), Mode.DOWN)

    def weigh(self, name: str, weight: int) -> None:
        """
        Give it another share of the connections to come.

        :raises UnknownBackend: there is none.
        """
        self._fleet.set_weight(self.backend(name), weight)

    def add(self, backend: Backend) -> None:
        """
        Another backend.

        :raises ValueError: it cannot be had.
        """
        self._fleet.add(backend)

    def remove(self, name: str) -> int:
        """
        Give it no more connections, have its sessions asked to move, and forget it when it has none.

        :return: how many it has.
        :raises UnknownBackend: there is none.
        """
        backend = self.backend(name)
        self._fleet.remove(backend)
        return backend.active

    def kick(self, is_meant: Callable[[Held], bool]) -> int:
        """
        End connections.

        :return: how many there were.
        """
        return sum([each.kick() for each in [*self._connections()] if is_meant(each)])

    def backend(self, name: str) -> Backend:
        """
        The one of that name.

        :raises UnknownBackend: there is none.
        """
        backend = self._fleet.pool.get(name)
        if backend is None:
            there = ", ".join(each.name for each in self._fleet.pool)
            raise UnknownBackend(f"there is no backend {name}; there are: {there or 'none'}")
        return backend

    # Called when the configuration is read again

    def follow(self, wanted: Iterable[Backend]) -> None:
        """
        Make the backends as the configuration says now.

        :raises ValueError: one of them cannot be had: nothing has changed.
        """
        self.changes = []
        self.changes = self._fleet.follow(wanted)
