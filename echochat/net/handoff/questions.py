"""
What a balancer asks a worker, and waits for.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from echochat.net.handoff.frames import EVERYBODY, Frame, FrameError, Move, Moved, Ping, Pong


class Questions:
    """
    Asked on one link, and unanswered when that ends.

    :param say: sends a frame.
    """

    def __init__(self, say: Callable[[Frame], None]) -> None:
        self._say = say
        self._pings: dict[int, Deferred[None]] = {}
        self._pinged = 0
        self._moves: deque[Deferred[int]] = deque()

    # Called by the channel

    def ping(self) -> "Deferred[None]":
        """
        Fires when the worker answers.
        """
        self._pinged += 1
        number = self._pinged

        def cancel(_: "Deferred[None]") -> None:
            self._pings.pop(number, None)

        answered: Deferred[None] = Deferred(cancel)
        self._pings[number] = answered
        self._say(Ping(number))
        return answered

    def move(self, count: int | None, seconds: float) -> "Deferred[int]":
        """
        Have the worker ask sessions to move.

        :param count: how many; None: all.
        :return: how many will be asked.
        """
        asked: Deferred[int] = Deferred()
        self._moves.append(asked)
        self._say(Move(EVERYBODY if count is None else min(count, EVERYBODY - 1), round(seconds * 1_000)))
        return asked

    # Called by the link

    def ponged(self, frame: Pong) -> None:
        """
        The worker has answered a ping; perhaps nobody wants to know any more.
        """
        answered = self._pings.pop(frame.number, None)
        if answered is not None:
            answered.callback(None)

    def moved(self, frame: Moved) -> None:
        """
        The worker has answered the oldest of the others.

        :raises FrameError: there is none.
        """
        if not self._moves:
            raise FrameError("a worker answered what was not asked")
        self._moves.popleft().callback(frame.sessions)

    def end(self, why: Exception) -> None:
        """
        No answer comes any more.
        """
        asked: list[Deferred[Any]] = [*self._pings.values(), *self._moves]
        self._pings.clear()
        self._moves.clear()
        for each in asked:
            each.errback(why)
