"""
The order of backends by load.

Those that can serve stand in a heap, by load and among equals by when they were last chosen. An entry is not moved when
a connection begins or ends: a new one is pushed, and the old one, whose number is not the backend's any more, is thrown
away when it comes to the top. Backends in slow start have a load that changes with the time, so they are kept apart and
looked at one by one; they are few.

Slow start. A backend that comes back is empty, and the others are not: by load alone it would get every single new
connection for as long as it takes to fill up, when its caches are cold and whatever brought it down may happen again.
So its weight and its limit grow over the time, and besides it gets no more than twice its fair share of what comes: for
each choice it earns twice the part that its weight is of all, and spends one when it is chosen. A growing weight alone
is not enough: with a thousand sessions on each of the others, one percent of the weight means ten connections at once,
and then all that come, if fewer than thirty do in a second.
"""

import heapq
from collections.abc import Collection
from typing import Final

from echochat.balancer.backends import Backend

_LEAST: Final = 0.01
"""
The share of its weight that a backend begins its slow start with.
"""

_MOST: Final = 2.0
"""
How many times its fair share of the choices a backend in slow start gets at most.
"""


class Tier:
    """
    Backends that are equal but for their load: those in service, or the backups.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, Backend]] = []
        # The number of the entry that is valid, for each backend in the heap.
        self._valid: dict[Backend, int] = {}
        # What each that is in slow start has earned.
        self._slow: dict[Backend, float] = {}
        self._number = 0
        # The weight with which each of both kinds counts, and all together.
        self._weights: dict[Backend, int] = {}
        self._weight = 0

    def place(self, backend: Backend) -> None:
        """
        The backend has changed.
        """
        if not (backend.may_serve and backend.has_room):
            self.drop(backend)
            return
        if self._weights.get(backend) != backend.weight:
            self._weight += backend.weight - self._weights.get(backend, 0)
            self._weights[backend] = backend.weight
        if backend.since is not None:
            self._valid.pop(backend, None)
            self._slow.setdefault(backend, 0.0)
            return
        self._slow.pop(backend, None)
        self._number = number = self._number + 1
        self._valid[backend] = number
        heapq.heappush(self._heap, ((backend.active + 1) / backend.weight, backend.used, number, backend))
        if len(self._heap) > 2 * len(self._valid) + 64:
            self._tidy()

    def counted(self, backend: Backend) -> None:
        """
        It has one connection more, or one less.
        """
        valid = self._valid
        before = valid.get(backend)
        if before is None or backend.most:
            self.place(backend)
            return
        # It stays where it is: what can serve can do so with any number of connections.
        self._number = number = self._number + 1
        valid[backend] = number
        heap = self._heap
        entry = ((backend.active + 1) / backend.weight, backend.used, number, backend)
        if heap[0][2] == before:
            # As that of one that was just chosen is.
            heapq.heapreplace(heap, entry)
            return
        heapq.heappush(heap, entry)
        if len(heap) > 2 * len(valid) + 64:
            self._tidy()

    def drop(self, backend: Backend) -> None:
        """
        It cannot serve now.
        """
        self._valid.pop(backend, None)
        self._slow.pop(backend, None)
        self._weight -= self._weights.pop(backend, 0)

    def best(self, now: float, slow_start: float, avoid: Collection[Backend]) -> Backend | None:
        """
        Choose the least loaded one.
        """
        if not self._slow:
            return self._first(avoid)
        self._finish(now, slow_start)
        quick = self._first(avoid)
        if not self._slow:
            return quick
        self._earn()
        candidates = self._candidates(now, slow_start, avoid)
        if quick is not None:
            load = (quick.active + 1) / quick.weight, quick.used
            candidates = [each for each in candidates if each[:2] < load and self._slow[each[2]] >= 1]
        if not candidates:
            return quick
        slow = min(candidates, key=lambda each: each[:2])[2]
        self._slow[slow] = max(0.0, self._slow[slow] - 1)
        return slow

    # Ours

    def _first(self, avoid: Collection[Backend]) -> Backend | None:
        heap, valid = self._heap, self._valid
        if heap and not avoid:
            _, _, number, backend = heap[0]
            if valid.get(backend) == number:
                return backend
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

    def _earn(self) -> None:
        for backend, earned in self._slow.items():
            # What is earned and not spent is not kept: it would be spent all at once.
            self._slow[backend] = min(earned + _MOST * backend.weight / self._weight, 1.0)

    def _candidates(
        self, now: float, slow_start: float, avoid: Collection[Backend]
    ) -> list[tuple[float, int, Backend]]:
        candidates = []
        for backend in self._slow:
            assert backend.since is not None
            share = max(_LEAST, (now - backend.since) / slow_start)
            if backend not in avoid and (not backend.most or backend.active < max(1.0, backend.most * share)):
                candidates.append(((backend.active + 1) / (backend.weight * share), backend.used, backend))
        return candidates

    def _tidy(self) -> None:
        self._heap = [entry for entry in self._heap if self._valid.get(entry[3]) == entry[2]]
        heapq.heapify(self._heap)
