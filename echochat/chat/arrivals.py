"""
What has become durable, and not everybody has been told.

To take in what arrives, and to wake a thousand subscribers for it, takes milliseconds. So it is done in steps, between
which others are served: they may follow, leave, and publish.

The order of the steps decides how much is done with one of them. All that has arrived is taken in first, so that
whoever is woken then is given it together. Then everybody is woken. Then those are answered who published it: were they
answered before, they would publish again, and everything would be done for a few events at a time, with 0.7 million
deliveries a second in place of 12.

How many events wait is bounded: when more come, the first of them are dealt with at once.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

WAITING: Final = 10_000
"""
The most events that wait.
"""

Step = Callable[[], bool]
"""
Does a bit of the work, and returns whether more is left.
"""

Act = Callable[[], object]
"""
One of the bits. The others are done also where it has raised.
"""


def at_once(step: Step) -> None:
    """
    Do all of it now.
    """
    while step():
        pass


class Arrivals:
    """
    What is to be done for what has arrived.

    :param wakings: what is to be called to wake everybody for what was taken in since it was last asked. It is asked
        for one after another, while others go on.
    :param in_pieces: has a step called until nothing is left, soon.
    """

    def __init__(self, wakings: Callable[[], Iterator[Act]], in_pieces: Callable[[Step], None]) -> None:
        self._make_wakings = wakings
        self._in_pieces = in_pieces
        self._to_take_in: deque[tuple[Act, int]] = deque()
        self._waiting = 0
        self._wakings: Iterator[Act] | None = None
        self._answers: deque[Act] = deque()
        # How many of the answers come before others are woken.
        self._due = 0

    def add(self, events: int, take_in: Act) -> None:
        """
        Something has arrived.

        :param events: how many.
        """
        while self._waiting > WAITING:
            self._do_next()
        self._to_take_in.append((take_in, events))
        self._waiting += events

    def answer(self, act: Act) -> None:
        """
        Have this done when everybody has been woken for what has arrived.
        """
        self._answers.append(act)
        self.go_on()

    def go_on(self) -> None:
        """
        Begin, if there is something to do.
        """
        self._in_pieces(self._do_next)

    def drop(self) -> None:
        """
        Forget what has arrived. Who is to be answered is.
        """
        self._to_take_in.clear()
        self._waiting = 0
        self._wakings = None

    # Ours

    def _do_next(self) -> bool:
        act = self._next()
        if act is not None:
            act()
        return act is not None

    def _next(self) -> Act | None:
        if self._to_take_in:
            act, events = self._to_take_in.popleft()
            self._waiting -= events
            return act
        if self._wakings is not None:
            for act in self._wakings:
                return act
            self._wakings = None
            self._due = len(self._answers)
        if self._due:
            self._due -= 1
            return self._answers.popleft()
        self._wakings = self._make_wakings()
        for act in self._wakings:
            return act
        self._wakings = None
        return self._answers.popleft() if self._answers else None
