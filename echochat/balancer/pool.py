"""
Which backend a connection goes to: the one with the fewest connections for its weight.

The problem. A choice must cost microseconds among a thousand backends, depend on nothing but the backends, their leases
and the time that is passed in, and go on being right when weights, limits and states change between any two choices.

How. A backend's load is what it would have with one more connection, per weight: ``(active + 1) / weight``. The order
by load is kept up to date by :mod:`echochat.balancer.tiers`; here is what may be chosen at all, and who counts.

Invariants, which the tests check after every step:

- ``active`` of each backend is the number of its leases that are held.
- Right after a choice, no backend that can serve has two connections per weight less than the chosen one, slow start
  aside.
- Every backend that can serve stands exactly once in the tier that is its own, and no other does.

Rejected: a scan of all backends (140 µs for a thousand); a sorted list (insertion moves half of it); round robin with a
correction (needs the correction, and then is this).
"""

from collections.abc import Callable, Collection, Iterator
from enum import Enum
from typing import Final

from echochat.balancer.backends import Backend, Lease, Mode
from echochat.balancer.tiers import Tier

SLOW_START: Final = 30.0


class Shortage(Enum):
    """
    Why there is no backend for a connection.
    """

    # Some are up, and have as many connections as they may have: waiting can help.
    FULL = "every backend has as many connections as it may have"
    # None is up.
    DOWN = "no backend is up"
    # Some may be up, and none of them is to get any: no check will change that.
    OUT = "an operator has drained or taken out every backend"


class Pool:
    """
    The backends, by name, and the choice among them.

    :param slow_start: seconds over which a backend that came up gets its full weight and limit; 0: at once.
    :param panic: when none is up, choose among all that the operator has not taken out, instead of none.
    :param freed: called when a connection that waits may find a place now: a lease was released, or a backend's state
        changed.
    """

    def __init__(
        self, slow_start: float = SLOW_START, *, panic: bool = False, freed: Callable[[], None] = lambda: None
    ) -> None:
        self.slow_start = slow_start
        self.panic = panic
        self.freed = freed
        self._backends: dict[str, Backend] = {}
        # Those in service, and the backups.
        self._tiers = (Tier(), Tier())
        # All that get connections if they have room.
        self._able: set[Backend] = set()
        # All that the operator wants to get some.
        self._ready: set[Backend] = set()
        self._chosen = 0

    # Called by whoever has a connection

    def lease(self, now: float, avoid: Collection[Backend] = ()) -> Lease | Shortage:
        """
        Choose a backend and count a connection against it.

        :param now: seconds of a clock that never goes back.
        :param avoid: not these: they were tried.
        :return: the lease, which the caller has to release; or why there is none.
        """
        for tier in self._tiers:
            best = tier.best(now, self.slow_start, avoid)
            if best is not None:
                return self._take(best, now)
        if len(self._able) > sum(each in self._able for each in avoid):
            return Shortage.FULL
        if self._backends and not self._ready:
            return Shortage.OUT
        if self._able or not self.panic:
            return Shortage.DOWN
        return self._lease_any(now, avoid)

    def count(self, backend: Backend, now: float) -> Lease:
        """
        Count a connection that the backend has already, and that was not given to it here.

        :return: the lease, which the caller has to release.
        """
        backend.active += 1
        if self._backends.get(backend.name) is backend:
            self._tiers[backend.backup].place(backend)
        return Lease(backend, now, self._give_back)

    # Called by health and the operator

    @property
    def shortage(self) -> Shortage | None:
        """
        Why nobody who comes now gets a backend, however many connections there are; None: somebody may.
        """
        if self._backends and not self._ready:
            return Shortage.OUT
        return None if self._able or (self.panic and self._ready) else Shortage.DOWN

    def __iter__(self) -> Iterator[Backend]:
        return iter(self._backends.values())

    def __len__(self) -> int:
        return len(self._backends)

    def get(self, name: str) -> Backend | None:
        """
        The backend of that name.
        """
        return self._backends.get(name)

    def add(self, backend: Backend, now: float | None = None) -> None:
        """
        :param now: begin its slow start then; None: it has its full weight at once, as at the balancer's own start.
        :raises ValueError: there is one of that name.
        """
        if backend.name in self._backends:
            raise ValueError(f"there is a backend {backend.name} already")
        self._backends[backend.name] = backend
        backend.since = now if self.slow_start > 0 else None
        self._place(backend)
        self.freed()

    def remove(self, backend: Backend) -> None:
        """
        Choose it no more. Its leases stay valid, and are released as always.
        """
        del self._backends[backend.name]
        self._able.discard(backend)
        self._ready.discard(backend)
        for tier in self._tiers:
            tier.drop(backend)
        # Whoever waits for a place there may have to be refused.
        self.freed()

    def change(
        self, backend: Backend, *, weight: int | None = None, most: int | None = None, backup: bool | None = None
    ) -> None:
        """
        Give it another share, or another limit, or make it a backup or none.
        """
        backend.weight = backend.weight if weight is None else weight
        backend.most = backend.most if most is None else most
        backend.backup = backend.backup if backup is None else backup
        self._place(backend)
        self.freed()

    def set_mode(self, backend: Backend, mode: Mode, now: float) -> None:
        """
        The operator wants this of it. One that is made ready again begins slowly.
        """
        if mode is Mode.READY and backend.mode is not Mode.READY:
            backend.since = now if self.slow_start > 0 else None
        backend.mode = mode
        self._place(backend)
        self.freed()

    def set_up(self, backend: Backend, now: float) -> None:
        """
        Health says that it serves. It begins slowly.
        """
        if not backend.is_up:
            backend.is_up = True
            backend.since = now if self.slow_start > 0 else None
            self._place(backend)
            self.freed()

    def set_down(self, backend: Backend) -> None:
        """
        Health says that it does not serve.
        """
        if backend.is_up:
            backend.is_up = False
            self._place(backend)
            # As when it is removed.
            self.freed()

    # Ours

    def _lease_any(self, now: float, avoid: Collection[Backend]) -> Lease | Shortage:
        """
        Every one that could serve is down. What health says may be wrong.
        """
        others = [each for each in self._backends.values() if each.mode is Mode.READY and each not in avoid]
        if not others:
            return Shortage.DOWN
        with_room = [each for each in others if each.has_room]
        best = min(with_room, default=None, key=lambda each: ((each.active + 1) / each.weight, each.used))
        return Shortage.FULL if best is None else self._take(best, now)

    def _take(self, backend: Backend, now: float) -> Lease:
        self._chosen += 1
        backend.used = self._chosen
        backend.active += 1
        backend.traffic.connections += 1
        self._tiers[backend.backup].counted(backend)
        return Lease(backend, now, self._give_back)

    def _give_back(self, backend: Backend) -> None:
        backend.active -= 1
        if self._backends.get(backend.name) is backend:
            self._tiers[backend.backup].counted(backend)
            self.freed()

    def _place(self, backend: Backend) -> None:
        """
        What it may get has changed.
        """
        if self._backends.get(backend.name) is not backend:
            # It was removed, and still has connections of which something is told.
            return
        (self._able.add if backend.may_serve else self._able.discard)(backend)
        (self._ready.add if backend.mode is Mode.READY else self._ready.discard)(backend)
        self._tiers[not backend.backup].drop(backend)
        self._tiers[backend.backup].place(backend)
