"""
So much of every turn, and no more, for work that is dear.

A TLS handshake takes half a millisecond. A thousand clients that reconnect at once would take half a second of it, and
in that turn nobody else would be served. What is over the ration waits for the next turn, in order.
"""

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from txaio.tx import make_logger

SHARE = 0.010
"""
Seconds of a turn: what a client that waits for an answer does not notice, and twenty handshakes.
"""


class Ration:
    """
    Do work now while there is time for it in this turn of the reactor, and otherwise in the turns that follow.

    :param seconds: how much time there is in a turn. The work that is begun last is finished.
    """

    log = make_logger()

    def __init__(self, clock: IReactorTime, seconds: float = SHARE) -> None:
        self._clock = clock
        self._seconds = seconds
        self._spent = 0.0
        self._waiting: deque[Callable[[], object]] = deque()
        self._turning = False

    def do(self, work: Callable[[], object]) -> bool:
        """
        Do some work, now or later. What it raises now is the caller's; what it raises later is logged.

        :return: whether it was done.
        """
        # While anything waits, the turn's share is used up: nothing overtakes it.
        if self._spent >= self._seconds:
            self._waiting.append(work)
            return False
        if not self._turning:
            self._turning = True
            self._clock.callLater(0, self._turn)
        self._take(work)
        return True

    def _take(self, work: Callable[[], object]) -> None:
        began = self._clock.seconds()
        try:
            work()
        finally:
            self._spent += self._clock.seconds() - began

    def _turn(self) -> None:
        """
        A new turn has begun.
        """
        self._spent = 0.0
        self._turning = bool(self._waiting)
        if self._turning:
            self._clock.callLater(0, self._turn)
        while self._waiting and self._spent < self._seconds:
            work = self._waiting.popleft()
            try:
                self._take(work)
            except Exception:
                self.log.failure("a connection failed in its handshake")
