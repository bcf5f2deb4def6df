"""
Showing on a terminal how far something long has come.
"""

import os
import stat
import sys
from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    FileSizeColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from twisted.internet.interfaces import IDelayedCall, IReactorTime

PATIENCE: Final = 1.0
"""
Seconds before there is anything to see: what is done by then needs no bar.
"""

INTERVAL: Final = 0.1


class _Bar:
    """
    A bar on standard error, if that is a terminal. It needs no thread: the reactor draws it.

    :param columns: what it shows; the bar's text has the field ``lines``.
    :param total: of the first of what ``look`` tells; None: not known.
    :param look: tells how far it is, and how many lines that are.
    """

    def __init__(
        self,
        clock: IReactorTime,
        columns: Sequence[ProgressColumn],
        total: Callable[[], int | None],
        look: Callable[[], tuple[int, int]],
    ) -> None:
        self._clock = clock
        self._columns = columns
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

    def _begin(self) -> None:
        self._progress = Progress(*self._columns, console=Console(stderr=True), auto_refresh=False)
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
        total = _size_of(descriptor)
        how_much: ProgressColumn = FileSizeColumn() if total is None else DownloadColumn()
        columns = (TextColumn("{task.fields[lines]:,} published"), BarColumn(), how_much, TimeRemainingColumn())
        super().__init__(clock, columns, lambda: total, look)


class CopyProgress(_Bar):
    """
    How much of a history has been copied.

    :param total: tells the last position, and ``look`` the position that was reached and the events copied.
    """

    def __init__(
        self, clock: IReactorTime, total: Callable[[], int | None], look: Callable[[], tuple[int, int]]
    ) -> None:
        columns = (
            TextColumn("{task.fields[lines]:,} copied"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
        )
        super().__init__(clock, columns, total, look)


def _size_of(descriptor: int) -> int | None:
    status = os.fstat(descriptor)
    return status.st_size if stat.S_ISREG(status.st_mode) else None
