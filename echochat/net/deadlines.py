"""
Many deadlines of one length with one timer.

Every connection has a deadline for its first line, and many have others. A ``callLater`` for each costs about 5 µs
and 500 bytes; since all deadlines of a kind are equally long, they expire in the order in which they were set, and a
dictionary, which keeps that order, with one timer for the oldest is enough: 0.2 µs, and 100 bytes while it runs.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from txaio.tx import make_logger

Key = TypeVar("Key")


class Deadlines(Generic[Key]):
    """
    Call ``expire(key)`` for each key, ``seconds`` after it was set, unless it was cleared before.

    :param seconds: how long; 0 or less means never, and nothing is kept then.
    """

    log = make_logger()

    def __init__(self, clock: IReactorTime, seconds: float, expire: Callable[[Key], object]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._expire = expire
        self._due: dict[Key, float] = {}
        self._timer: IDelayedCall | None = None

    @property
    def seconds(self) -> float:
        """
        How long. Set to another length, it holds for those who wait already, too: none waits longer than it, and none
        at all when it means never.
        """
        return self._seconds

    @seconds.setter
    def seconds(self, seconds: float) -> None:
        if seconds == self._seconds:
            return
        self._seconds = seconds
        latest = self._clock.seconds() + seconds
        waiting = {key: min(due, latest) for key, due in self._due.items()} if seconds > 0 else {}
        self.stop()
        self._due = waiting
        if waiting:
            self._look()

    def set(self, key: Key) -> None:
        """
        Begin to wait, or begin anew.
        """
        if self._seconds <= 0:
            return
        due = self._due
        if key in due:
            # The order in which they expire is that of the dictionary.
            del due[key]
        due[key] = self._clock.seconds() + self._seconds
        if self._timer is None:
            self._timer = self._clock.callLater(self._seconds, self._look)

    def clear(self, key: Key) -> None:
        """
        Do not wait any more.
        """
        # The timer stays, and finds nothing: to stop it here and start it for the next key costs more.
        self._due.pop(key, None)

    def stop(self) -> None:
        """
        Forget all keys, and the timer.
        """
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __contains__(self, key: Key) -> bool:
        return key in self._due

    def _look(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        while self._due:
            key, due = next(iter(self._due.items()))
            if due > now:
                # The key for which the timer was set has been cleared or set anew.
                if self._timer is None:
                    self._timer = self._clock.callLater(due - now, self._look)
                return
            del self._due[key]
            try:
                self._expire(key)
            except Exception:
                # One key's failure must not stop the deadlines of all others.
                self.log.failure("a deadline failed")
