"""
Which backend a connection goes to: the one with the fewest connections for its weight.

The problem. A choice must cost microseconds among a thousand backends, depend on nothing but the backends, their leases
and the time that is passed in, and go on being right when weights, limits and states change between any two choices.

How. A backend's load is what it would have with one more connection, per weight: ``(active + 1) / weight``. Those that
can serve stand in a heap by load, and among equals by when they were last chosen. An entry is not moved when a
connection begins or ends: a new one is pushed, and the old one, whose number is not the backend's any more, is thrown
away when it comes to the top. Backends in slow start have a load that changes with the time, so they are kept apart and
looked at one by one; they are few.

Invariants, which the tests check after every step:

- ``active`` of each backend is the number of its leases that are held.
- Right after a choice, no backend that can serve has two connections per weight less than the chosen one.
- Every backend that can serve has exactly one valid entry in its heap, and no other has one.

Rejected: a scan of all backends (140 µs for a thousand); a sorted list (insertion moves half of it); round robin with a
correction (needs the correction, and then is this).
"""

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator
from enum import Enum
from typing import Final

from echochat.balancer.backends import Backend, Lease, Mode

SLOW_START: Final = 30.0

_LEAST: Final = 0.01
"""
The share of its weight that a backend begins its slow start with.
"""


class Shortage(Enum):
    """
    Why there is no backend for a connection.
    """

    # Some are up, and have as many connections as they may have: waiting can help.
    FULL = "every backend has as many connections as it may have"
    # None is up.
    DOWN = "no backend is up"


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
        self._tiers = (_Tier(), _Tier())
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
        others = [each for each in self._backends.values() if each not in avoid and each.mode is Mode.READY]
        if any(each.is_up for each in others):
            return Shortage.FULL
        if not self.panic or not others or any(each.may_serve for each in self._backends.values()):
            return Shortage.DOWN
        with_room = [each for each in others if each.has_room]
        if not with_room:
            return Shortage.FULL
        return self._take(min(with_room, key=lambda each: ((each.active + 1) / each.weight, each.used)), now)

    # Called by health and the operator

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
        for tier in self._tiers:
            tier.drop(backend)

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
            # Whoever waits for a place at a backend that is gone may have to be refused.
            self.freed()

    # Ours

    def _take(self, backend: Backend, now: float) -> Lease:
        self._chosen += 1
        backend.used = self._chosen
        backend.active += 1
        backend.traffic.connections += 1
        self._place(backend)
        return Lease(backend, now, self._give_back)

    def _give_back(self, backend: Backend) -> None:
        backend.active -= 1
        if self._backends.get(backend.name) is backend:
            self._place(backend)
            self.freed()

    def _place(self, backend: Backend) -> None:
        tier, other = self._tiers if not backend.backup else self._tiers[::-1]
        other.drop(backend)
        tier.place(backend)


class _Tier:
    """
    Backends that are equal but for their load: those in service, or the backups.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, Backend]] = []
        # The number of the entry that is valid, for each backend in the heap.
        self._valid: dict[Backend, int] = {}
        self._slow: dict[Backend, None] = {}
        self._number = 0

    def place(self, backend: Backend) -> None:
        """
        The backend has changed.
        """
        if not (backend.may_serve and backend.has_room):
            self.drop(backend)
        elif backend.since is not None:
            self._valid.pop(backend, None)
            self._slow[backend] = None
        else:
            self._slow.pop(backend, None)
            self._number += 1
            self._valid[backend] = self._number
            heapq.heappush(self._heap, _entry(backend, self._number))
            if len(self._heap) > 2 * len(self._valid) + 64:
                self._tidy()

    def drop(self, backend: Backend) -> None:
        """
        It cannot serve now.
        """
        self._valid.pop(backend, None)
        self._slow.pop(backend, None)

    def best(self, now: float, slow_start: float, avoid: Collection[Backend]) -> Backend | None:
        """
        The least loaded one.
        """
        quick = self._first(avoid)
        if not self._slow:
            return quick
        self._finish(now, slow_start)
        quick = self._first(avoid)
        slow = min(self._candidates(now, slow_start, avoid), default=None, key=lambda each: each[:2])
        if slow is None:
            return quick
        if quick is None or slow[:2] < ((quick.active + 1) / quick.weight, quick.used):
            return slow[2]
        return quick

    # Ours

    def _first(self, avoid: Collection[Backend]) -> Backend | None:
        heap, valid = self._heap, self._valid
        passed = []
        found = None
        while heap:
            _, _, number, backend = heap[0]
            if valid.get(backend) != number:
                heapq.heappop(heap)
            elif backend in avoid:
                passed.append(heapq.heappop(heap))
            else:
                found = backend
                break
        for entry in passed:
            heapq.heappush(heap, entry)
        return found

    def _finish(self, now: float, slow_start: float) -> None:
        """
        Whose slow start is over joins the others.
        """
        over = [each for each in self._slow if each.since is None or now - each.since >= slow_start]
        for backend in over:
            backend.since = None
            self.place(backend)

    def _candidates(
        self, now: float, slow_start: float, avoid: Collection[Backend]
    ) -> Iterable[tuple[float, int, Backend]]:
        for backend in self._slow:
            assert backend.since is not None
            share = max(_LEAST, (now - backend.since) / slow_start)
            if backend in avoid or (backend.most and backend.active >= max(1.0, backend.most * share)):
                continue
            yield (backend.active + 1) / (backend.weight * share), backend.used, backend

    def _tidy(self) -> None:
        self._heap = [entry for entry in self._heap if self._valid.get(entry[3]) == entry[2]]
        heapq.heapify(self._heap)


def _entry(backend: Backend, number: int) -> tuple[float, int, int, Backend]:
    return (backend.active + 1) / backend.weight, backend.used, number, backend
