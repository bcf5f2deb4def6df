"""
Moving sessions to a backend that has joined: ``--rebalance``.

Least connections alone gives a newcomer what comes next, and sessions that last for days leave it nearly empty for as
long. So those that have clearly more than their share are asked to let some go, once for each that joins. That is when
its slow start is over: before, it gets a part of what comes only, and most sessions would move to where they came from.

When one that has joined serves no more while sessions are still asked, those that have not been asked stay: they would
only move to and fro among the others.
"""

from collections.abc import Callable, Iterable
from typing import Final

from txaio.tx import make_logger

from echochat.balancer.backends import Backend

TOLERANCE: Final = 1.1
"""
How many times its share a backend may have before it is asked for some: what chance brings is not worth moving for.
"""


class Rebalancing:
    """
    Sees which backends have joined, and asks the others.

    :param backends: those of the pool.
    :param move: asks a backend to have so many sessions move within so many seconds.
    :param serves: says whether a backend gets its full share of what comes.
    :param is_wanted: says whether it is switched on.
    :param seconds: over how long sessions are moved.
    :param stay: has the sessions of a backend stay that were to be asked and have not been yet.
    """

    log = make_logger()

    def __init__(
        self,
        backends: Iterable[Backend],
        move: Callable[[Backend, int, float], object],
        serves: Callable[[Backend], bool],
        is_wanted: Callable[[], bool],
        seconds: Callable[[], float],
        stay: Callable[[Backend], object],
    ) -> None:
        self._backends = backends
        self._move = move
        self._serves = serves
        self._is_wanted = is_wanted
        self._seconds = seconds
        # None: not looked yet. At the start nobody has joined.
        self._stay = stay
        self._serving: set[Backend] | None = None
        # Those that have joined last, and those that were asked for them.
        self._joined: set[Backend] = set()
        self._asked: set[Backend] = set()

    def look(self) -> None:
        """
        See whether one has joined since the last look.
        """
        # Backups are not meant to have their share.
        serving = [each for each in self._backends if not each.backup and self._serves(each)]
        before, self._serving = self._serving, set(serving)
        if not self._joined <= self._serving:
            self._call_off(serving)
        if before is None or not self._is_wanted():
            return
        joined = [each for each in serving if each not in before]
        if joined:
            self._joined.update(joined)
            # What is under way for one that has joined before goes on beside this.
            self._asked.intersection_update(serving)
            self._rebalance(serving, ", ".join(each.name for each in joined))

    # Ours

    def _call_off(self, serving: list[Backend]) -> None:
        """
        One that has joined serves no more: what it was to get stays where it is, and what others that joined with it
        were to get is asked for anew.
        """
        gone = [each.name for each in self._joined if each not in serving]
        self._joined.intersection_update(serving)
        asked, self._asked = self._asked, set()
        # Others are drained by an operator, or down. Where everybody has been asked there is nothing to call off.
        called_off = [each for each in serving if each in asked and self._stay(each) is not None]
        for backend in called_off:
            self.log.info(
                "backend {gone} is gone again: {name} keeps the rest", gone=", ".join(gone), name=backend.name
            )
        if called_off and self._joined and self._is_wanted():
            self._rebalance(serving, ", ".join(each.name for each in self._joined))

    def _rebalance(self, serving: list[Backend], joined: str) -> None:
        share = shares(serving)
        for backend in serving:
            if backend.active > TOLERANCE * share[backend]:
                count = backend.active - round(share[backend])
                self.log.info(
                    "backend {joined} has joined: {name} has {active} connections and lets {count} go",
                    joined=joined,
                    name=backend.name,
                    active=backend.active,
                    count=count,
                )
                self._asked.add(backend)
                self._move(backend, count, self._seconds())


def shares(backends: Iterable[Backend]) -> dict[Backend, float]:
    """
    How many of their connections each would have if all had the same for their weight, as far as their limits go.
    """
    remaining = [*backends]
    connections = float(sum(each.active for each in remaining))
    found: dict[Backend, float] = {}
    while remaining:
        for_one = connections / sum(each.weight for each in remaining)
        limited = [each for each in remaining if each.most and each.most < for_one * each.weight]
        if not limited:
            return found | {each: for_one * each.weight for each in remaining}
        # What these cannot have is the others', who may come to their limits by that.
        for each in limited:
            found[each] = float(each.most)
            connections -= each.most
            remaining.remove(each)
    return found
