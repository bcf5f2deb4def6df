"""
Showing on a terminal how far something long has come.

What draws it is imported when there is something to draw: a publish from a script, of which many are made one after
another, would spend a tenth of its time on that.
"""

import os
import stat
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

PATIENCE: Final = 1.0
"""
Seconds before there is anything to see: what is done by then needs no bar.
"""

INTERVAL: Final = 0.1


class _Bar:
    """
    A bar on standard error, if that is a terminal. It needs no thread: the reactor draws it.

    :param total: of the first of what ``look`` tells; None: not known.
    :param look: tells how far it is, and how many lines that are.
    """

    def __init__(
        self, clock: IReactorTime, total: Callable[[], int | None], look: Callable[[], tuple[int, int]]
    ) -> None:
        self._clock = clock
        self._look = look
        self._total = total
        self._progress: Progress | None = None
        self._timer: IDelayedCall | None = None
        if sys.stderr.isatty():
            self._timer = clock.callLater(PATIENCE, self._begin)

    def stop(self) -> None:
        """
        It is done: leave the last state to be seen.
        """
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._progress is not None:
            self._show()
            self._progress.stop()

    def columns(self) -> "Sequence[ProgressColumn]":
        """
        What it shows; the bar's text has the field ``lines``.
        """
        raise NotImplementedError

    def _begin(self) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._progress = Progress(*self.columns(), console=Console(stderr=True), auto_refresh=False)
        self._task = self._progress.add_task("", total=self._total(), lines=0)
        self._progress.start()
        self._tick()

    def _tick(self) -> None:
        self._show()
        self._timer = self._clock.callLater(INTERVAL, self._tick)

    def _show(self) -> None:
        assert self._progress is not None
        done, lines = self._look()
        self._progress.update(self._task, completed=done, total=self._total(), lines=lines, refresh=True)


class LineProgress(_Bar):
    """
    How much of an input has been published.

    :param look: tells the bytes of the input that were read, and the lines that were published.
    """

    def __init__(self, clock: IReactorTime, look: Callable[[], tuple[int, int]], descriptor: int = 0) -> None:
        self._size = _size_of(descriptor)
        super().__init__(clock, lambda: self._size, look)

    def columns(self) -> "Sequence[ProgressColumn]":
        from rich.progress import BarColumn, DownloadColumn, FileSizeColumn, TextColumn, TimeRemainingColumn

        how_much = FileSizeColumn() if self._size is None else DownloadColumn()
        return (TextColumn("{task.fields[lines]:,} published"), BarColumn(), how_much, TimeRemainingColumn())


class CopyProgress(_Bar):
    """
    How much of a history has been copied.

    :param total: tells the last position, and ``look`` the position that was reached and the events copied.
    """

    def columns(self) -> "Sequence[ProgressColumn]":
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

        return (
            TextColumn("{task.fields[lines]:,} copied"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
        )


def _size_of(descriptor: int) -> int | None:
    status = os.fstat(descriptor)
    return status.st_size if stat.S_ISREG(status.st_mode) else None
