"""
Asking sessions to move while the server goes on: before it is taken out of service, or because another one has joined.

A session is told ``/drain`` and reconnects, which takes it to wherever the balancer has room. All at once they would
come as a flood there, with their replays; so they are asked one after the other, in equal steps, in an order and with a
beginning by chance: several servers that begin together do not ask in step.
"""

from collections.abc import Iterable
from random import Random
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

NOTICE: Final = 2.0
"""
Seconds that a session is told it has. Clients spread their going over most of the time that they are told, so it is
short: it is the server that spreads them.
"""

GRAIN: Final = 0.01
"""
Seconds between two looks at who is to be asked: a timer for each of 10,000 sessions a second would cost more than to
ask them.
"""


class Movable(Protocol):
    """
    A session that can be asked.
    """

    def announce_drain(self, seconds: float) -> None:
        """
        Tell the client to reconnect within this time.
        """


class Moving:
    """
    Asks sessions to move, paced.

    :param random: says who is asked, and in which order.
    """

    def __init__(self, clock: IReactorTime, random: Random | None = None) -> None:
        self._clock = clock
        self._random = random if random is not None else Random()  # noqa: S311  # nothing secret depends on it
        # Those that have not been asked yet; the last is the next.
        self._waiting: dict[Movable, None] = {}
        self._step = 0.0
        self._due = 0.0
        self._end = 0.0
        self._notice = 0.0
        self._timer: IDelayedCall | None = None

    # Called by the operator

    def move(self, sessions: Iterable[Movable], count: int | None, seconds: float) -> int:
        """
        Ask sessions, spread over this time. It takes the place of what was asked before: who has not been asked for
        that yet may stay.

        :param sessions: all that there are.
        :param count: how many of them; None: all.
        :return: how many will be asked.
        """
        self.stop()
        chosen = [*sessions]
        self._random.shuffle(chosen)
        self._waiting = dict.fromkeys(chosen if count is None else chosen[:count])
        asked = len(self._waiting)
        if asked:
            now = self._clock.seconds()
            self._step = seconds / asked
            self._due = now + self._random.random() * self._step
            self._end = now + seconds
            self._notice = min(NOTICE, seconds)
            self._look()
        return asked

    # Called by the factory

    def forget(self, session: Movable) -> None:
        """
        This one has gone: its turn is passed over.
        """
        self._waiting.pop(session, None)

    def stop(self) -> None:
        """
        Ask nobody any more.
        """
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Ours

    def _look(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        while self._waiting and (self._due <= now or now >= self._end):
            self._waiting.popitem()[0].announce_drain(self._notice)
            self._due += self._step
        if self._waiting:
            wait = min(max(GRAIN, self._due - now), self._end - now)
            self._timer = self._clock.callLater(wait, self._look)
