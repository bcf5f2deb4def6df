"""
One line for each connection that has ended, also when thousands end in a second.

An event of Twisted's log costs 60 µs, most of it to format it: as much as all the rest of a short connection. So the
first few of each tenth of a second are logged as they come, and the others together, at its end, in one event: still a
line for each, in the order in which they came.
"""

from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from txaio.tx import make_logger

WINDOW: Final = 0.1

SINGLE: Final = 5
"""
How many are logged by themselves in each window.
"""


class Journal:
    """
    Logs lines.
    """

    log = make_logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._singles = 0
        self._until = 0.0
        self._lines: list[str] = []
        self._timer: Any = None

    def add(self, line: str) -> None:
        """
        Log a line: now, or soon.
        """
        if self._timer is not None:
            self._lines.append(line)
            return
        now = self._clock.seconds()
        if now >= self._until:
            self._until = now + WINDOW
            self._singles = 0
        self._singles += 1
        if self._singles > SINGLE:
            self._lines.append(line)
            self._timer = self._clock.callLater(WINDOW, self._flush)
        else:
            self.log.info("{line}", line=line)

    def stop(self) -> None:
        """
        Log what waits.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._flush()

    def _flush(self) -> None:
        self._timer = None
        lines, self._lines = self._lines, []
        self.log.info("{lines}", lines="\n".join(lines))
