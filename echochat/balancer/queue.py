"""
The line in which clients wait while every backend has as many connections as it may have: first come, first served.
"""

from collections.abc import Iterator
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from echochat.net.deadlines import Deadlines

LONGEST: Final = 1_000
"""
How many wait at most. A client that would be the next has little to hope for, and is told so at once.
"""

PATIENCE: Final = 5.0
"""
Seconds that one waits at most.
"""

Waiting = TypeVar("Waiting")


class WaitedInVain(Exception):
    """
    The time is over, and no place has become free.
    """


class WaitingLine(Generic[Waiting]):
    """
    Those who wait, each with a Deferred that fires with a place.

    :param most: how many may wait; 0: nobody. Who waits already stays when it becomes less.
    :param patience: seconds that one waits at most.
    :ivar places: of those who wait, in the order in which they came.
    """

    def __init__(self, clock: IReactorTime, most: int = LONGEST, patience: float = PATIENCE) -> None:
        self.most = most
        self.places: dict[Waiting, Deferred[Any]] = {}
        self._deadlines: Deadlines[Waiting] = Deadlines(clock, patience, self._expire)

    @property
    def patience(self) -> float:
        """
        Seconds that one waits at most. Set, it holds for those who wait already, too.
        """
        return self._deadlines.seconds

    @patience.setter
    def patience(self, seconds: float) -> None:
        self._deadlines.seconds = seconds

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Waiting]:
        """
        In the order in which they came. They may come and go in the meantime.
        """
        return iter(tuple(self.places))

    def __contains__(self, waiting: Waiting) -> bool:
        return waiting in self.places

    @property
    def has_room(self) -> bool:
        """
        Whether one more may wait.
        """
        return len(self.places) < self.most

    def join(self, waiting: Waiting) -> "Deferred[Any]":
        """
        Wait, as the last one. Cancel what is returned to leave the line.

        :return: fires with what :meth:`serve` is given, and fails with what :meth:`refuse` is given, or with
            :class:`WaitedInVain`.
        """

        def leave(_: Deferred[Any]) -> None:
            self._take_out(waiting)

        place: Deferred[Any] = Deferred(leave)
        self.places[waiting] = place
        self._deadlines.set(waiting)
        return place

    def serve(self, waiting: Waiting, place: Any) -> None:
        """
        It has its turn.
        """
        self._take_out(waiting).callback(place)

    def refuse(self, waiting: Waiting, error: Exception) -> None:
        """
        It has nothing to wait for.
        """
        self._take_out(waiting).errback(error)

    def stop(self, error: Exception) -> None:
        """
        Refuse all.
        """
        for waiting in self:
            if waiting in self.places:
                self.refuse(waiting, error)
        self._deadlines.stop()

    # Ours

    def _expire(self, waiting: Waiting) -> None:
        self.refuse(waiting, WaitedInVain())

    def _take_out(self, waiting: Waiting) -> "Deferred[Any]":
        self._deadlines.clear(waiting)
        return self.places.pop(waiting)
