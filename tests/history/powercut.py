"""
Power cuts, simulated: after one, a file holds what it held when it was last synced, and nothing of what came later.

A killed process loses nothing, because the kernel has what was written; only a machine that stops shows whether
``fsync`` was called, and called in time. So SQLite's calls are watched: :func:`install` puts itself between SQLite and
its operating system layer (a VFS whose files are the usual ones, but for ``xSync``), and each time that SQLite really
has synced a file, a copy of the file is put beside it, as ``FILE.synced``. :func:`cut` replaces the files with those
copies. That is the worst case of what a disk may do: everything unsynced is lost, and nothing else is known.

Nothing of this asks the history what it thinks it has synced. With ``synchronous=OFF`` SQLite does not call ``xSync``,
and a cut then goes back to the moment when the file was created.

As a command, it runs another one with the watch installed, to be killed and cut::

    python -m tests.history.powercut twisted.scripts.twistd:run -n echochat --history sqlite-unsafe:PATH
"""

import ctypes
import importlib
import os
import shutil
import sqlite3
import sys
from typing import Any

_METHODS = 19  # pointers in sqlite3_io_methods, version 3, after iVersion
_CLOSE, _READ, _WRITE, _TRUNCATE, _SYNC = range(5)

_WATCHED = 0x00000100 | 0x00080000  # SQLITE_OPEN_MAIN_DB, SQLITE_OPEN_WAL

_OPEN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
_DELETE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)
_SYNC_CALL = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)


class _Methods(ctypes.Structure):
    """
    ``sqlite3_io_methods``, see https://www.sqlite.org/c3ref/io_methods.html
    """

    _fields_ = (("version", ctypes.c_int), ("calls", ctypes.c_void_p * (_METHODS - 1)))


class _File(ctypes.Structure):
    """
    The public part of an ``sqlite3_file``.
    """

    _fields_ = (("methods", ctypes.POINTER(_Methods)),)


class _Vfs(ctypes.Structure):
    """
    ``sqlite3_vfs``, see https://www.sqlite.org/c3ref/vfs.html
    """

    _fields_ = (
        ("version", ctypes.c_int),
        ("file_size", ctypes.c_int),
        ("max_path", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("app", ctypes.c_void_p),
        ("open", ctypes.c_void_p),
        ("delete", ctypes.c_void_p),
        ("others", ctypes.c_void_p * 14),
    )


class NotPossible(Exception):
    """
    SQLite's functions cannot be reached here.
    """


class _Watch:
    """
    The watching VFS. Never freed: SQLite keeps pointers into it.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        original = library.sqlite3_vfs_find(None).contents
        self._open_original = _OPEN(original.open)
        self._delete_original = _DELETE(original.delete)
        # A descriptor for each file (by its inode, since a path may get another file), never closed: to close one
        # gives up all locks that this process has on the file.
        self._descriptors: dict[tuple[int, int], int] = {}
        self._paths: dict[int, str] = {}
        self._methods: list[_Methods] = []
        self._sync_original: Any = None
        self._calls = (_OPEN(self._open), _DELETE(self._delete), _SYNC_CALL(self._sync))
        self.vfs = _Vfs()
        ctypes.pointer(self.vfs)[0] = original
        self.vfs.name = b"powercut"
        self.vfs.open = ctypes.cast(self._calls[0], ctypes.c_void_p)
        self.vfs.delete = ctypes.cast(self._calls[1], ctypes.c_void_p)
        if library.sqlite3_vfs_register(ctypes.byref(self.vfs), 1) != sqlite3.SQLITE_OK:
            raise NotPossible("SQLite does not take another VFS")

    def _open(self, vfs: int, name: int | None, file: int, flags: int, out_flags: int | None) -> int:
        result = self._open_original(vfs, name, file, flags, out_flags)
        if result == sqlite3.SQLITE_OK and name and flags & _WATCHED:
            opened = ctypes.cast(file, ctypes.POINTER(_File)).contents
            methods = _Methods()
            ctypes.pointer(methods)[0] = opened.methods.contents
            if self._sync_original is None:
                self._sync_original = _SYNC_CALL(methods.calls[_SYNC])
            methods.calls[_SYNC] = ctypes.cast(self._calls[2], ctypes.c_void_p).value
            self._methods.append(methods)
            opened.methods = ctypes.pointer(methods)
            self._paths[file] = os.fsdecode(ctypes.string_at(name))
        return int(result)

    def _sync(self, file: int, flags: int) -> int:
        result = self._sync_original(file, flags)
        if result == sqlite3.SQLITE_OK:
            try:
                self._keep(self._paths[file])
            except OSError:
                return sqlite3.SQLITE_IOERR_FSYNC
        return int(result)

    def _delete(self, vfs: int, name: bytes, sync_directory: int) -> int:
        result = self._delete_original(vfs, name, sync_directory)
        path = os.fsdecode(name)
        if os.path.exists(f"{path}.synced"):
            os.unlink(f"{path}.synced")
        return int(result)

    def _keep(self, path: str) -> None:
        status = os.stat(path)
        source = self._descriptors.get((status.st_dev, status.st_ino))
        if source is None:
            source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._descriptors[status.st_dev, status.st_ino] = source
        target = os.open(f"{path}.synced.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            offset = 0
            while offset < status.st_size:
                offset += os.sendfile(target, source, offset, status.st_size - offset)
        finally:
            os.close(target)
        os.rename(f"{path}.synced.new", f"{path}.synced")


_watches: list[_Watch] = []


def library() -> ctypes.CDLL:
    """
    :return: SQLite's functions, as Python's own module uses them, whether it has them built in or loads them.
    :raises NotPossible: when they cannot be reached.
    """
    try:
        functions = ctypes.CDLL(importlib.import_module("_sqlite3").__file__)
        functions.sqlite3_vfs_find, functions.sqlite3_vfs_register  # noqa: B018 looked up here, and not there
    except (OSError, AttributeError) as error:
        raise NotPossible(f"SQLite's functions cannot be reached: {error}") from error
    return functions


def install() -> None:
    """
    From now on, watch every database that this process opens. There is no way back: not for a process that tests.

    :raises NotPossible: when SQLite's functions cannot be reached.
    """
    if not _watches:
        _watches.append(_Watch(library()))


def cut(path: str) -> None:
    """
    Cut the power: leave the database at this path as it was synced. No process may have it open.
    """
    for file in (path, f"{path}-wal"):
        if os.path.exists(f"{file}.synced"):
            # The copy stays what the disk has until the next sync: a process that is cut off before it has synced
            # anything has changed nothing.
            shutil.copyfile(f"{file}.synced", file)
        elif os.path.exists(file):
            os.unlink(file)
    if os.path.exists(f"{path}-shm"):
        os.unlink(f"{path}-shm")


def main(arguments: list[str]) -> None:
    """
    Run ``MODULE:FUNCTION``, with the rest for its command line.
    """
    install()
    module, _, function = arguments[0].partition(":")
    sys.argv = arguments
    getattr(importlib.import_module(module), function)()


if __name__ == "__main__":
    main(sys.argv[1:])
