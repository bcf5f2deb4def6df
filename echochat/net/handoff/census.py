"""
How many connections a worker has of balancers that are gone, as far as is known.
"""

from collections.abc import Callable, Collection


class Census:
    """
    Counts them by worker: one that is stopping has its own beside its successor's.

    :param tell: is told their number when it changes.
    """

    def __init__(self, tell: Callable[[int], object]) -> None:
        self._tell = tell
        self._counts: dict[bytes, int] = {}
        self._told = 0

    def count(self, worker: bytes, strangers: int) -> None:
        """
        This worker has so many.
        """
        self._counts[worker] = strangers
        self._look()

    def gone(self, worker: bytes) -> None:
        """
        This worker is gone, and its connections with it.
        """
        self._counts.pop(worker, None)
        self._look()

    def only(self, workers: Collection[bytes]) -> None:
        """
        All but these are.
        """
        self._counts = {worker: count for worker, count in self._counts.items() if worker in workers}
        self._look()

    # Ours

    def _look(self) -> None:
        total = sum(self._counts.values())
        if total != self._told:
            self._told = total
            self._tell(total)
