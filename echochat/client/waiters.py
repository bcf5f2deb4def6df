"""
Those who wait for the same thing.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


class Waiters(Generic[T]):
    """
    They are told in the order in which they came. Whoever is told may cancel another that has not been told yet, and
    may wait anew, for the next time.
    """

    def __init__(self) -> None:
        self._waiting: dict[Deferred[T], None] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self) -> Deferred[T]:
        """
        One more. It may be cancelled.
        """
        waiter: Deferred[T] = Deferred(self._forget)
        self._waiting[waiter] = None
        return waiter

    def fire(self, value: T) -> None:
        """
        Tell all that wait now.
        """
        self._tell(lambda waiter: waiter.callback(value))

    def fail(self, why: Callable[[], Exception]) -> None:
        """
        Tell all that wait now that it will not come.

        :param why: gives the reason, and is called for each: an exception that is raised belongs to whoever raises it.
        """
        self._tell(lambda waiter: waiter.errback(why()))

    def _forget(self, waiter: Deferred[T]) -> None:
        self._waiting.pop(waiter, None)

    def _tell(self, tell: Callable[[Deferred[T]], None]) -> None:
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting:
            if not waiter.called:
                tell(waiter)
