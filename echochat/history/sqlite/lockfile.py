"""
One process writes a history: the second is turned away.

The lock is on a file of its own beside the database. SQLite's own locks belong to single transactions, and a lock on
the database file itself would be lost with the first descriptor of it that anything in this process closes (POSIX,
fcntl). The kernel lets go of it when the process ends, however it ends, so there is nothing to clean up; the file
stays, and means nothing by itself.
"""

import errno
import fcntl
import os
from typing import Final

from echochat.history.errors import HistoryRefused

_HELD: Final = (errno.EWOULDBLOCK, errno.EACCES)


class LockFile:
    """
    An exclusive lock, held from :meth:`acquire` to :meth:`release`. Not inherited by programs that are started.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """
        :raises HistoryRefused: when another process holds it, naming that process, or it cannot be made.
        """
        self._look_at_folder()
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HistoryRefused(f"cannot open {self._path}: {error.strerror}") from error
        try:
            os.fchmod(descriptor, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            if error.errno in _HELD:
                raise HistoryRefused(f"{self._path}: the history is in use by {holder}") from error
            raise HistoryRefused(f"cannot lock {self._path}: {error.strerror}") from error
        self._descriptor = descriptor
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)

    def look(self) -> None:
        """
        See whether it could be had now, and leave everything as it is.

        :raises HistoryRefused: when another process holds it, naming that process, or there is no folder for it.
        """
        self._look_at_folder()
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            # It is not there, or whoever acquires it is told what is wrong.
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                raise HistoryRefused(f"{self._path}: the history is in use by {_holder(descriptor)}") from error
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """
        Safe to call when it is not held.
        """
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _look_at_folder(self) -> None:
        folder = os.path.dirname(os.path.abspath(self._path))
        try:
            os.stat(folder)
        except FileNotFoundError as error:
            raise HistoryRefused(f"there is no folder {folder} for the history: make it, or mount its disk") from error
        except OSError:
            # Whoever acquires it is told what is wrong.
            return


def _holder(descriptor: int) -> str:
    holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    return f"process {holder}" if holder.isdigit() else "another process"
