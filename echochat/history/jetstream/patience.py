"""
Wait no longer than so long.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Patience:
    """
    Something is expected, again and again, and has so many seconds each time.

    :param over: is called when it has not come.
    """

    def __init__(self, clock: IReactorTime, seconds: float, over: Callable[[], object]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._over = over
        self._call: IDelayedCall | None = None

    def wait(self) -> None:
        """
        It is expected from now on, or has been already.
        """
        if self._call is None or not self._call.active():
            self._call = self._clock.callLater(self._seconds, self._over)

    def renew(self) -> None:
        """
        It has come, and is expected again.
        """
        self.end()
        self.wait()

    def end(self) -> None:
        """
        It is not expected any more.
        """
        if self._call is not None and self._call.active():
            self._call.cancel()
