"""
The files that say who is who: who may read them, and how they are replaced.

A file is looked at through the descriptor that it is then read from, so what was checked is what is read. It is
replaced whole: a reader, and a power cut, find the old one or the new one.
"""

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from typing import Final

MAX_FILE: Final = 16 << 20
"""
The most bytes of a file: a hundred thousand accounts fit well.
"""


class FileRefused(Exception):
    """
    A file cannot be used. The message is one line that names the file, where it helps the line in it, and what to do;
    it repeats nothing that could be secret.
    """


def read_secret(path: str) -> bytes:
    """
    Read a file that only its owner may read.

    As with PostgreSQL's keys, the group may read a file of root's: that is how systemd and Kubernetes hand secrets to
    a service that does not run as root.

    :raises FileRefused: it cannot be read, or others can.
    """
    content, status = _read(path)
    too_open = 0o077 if status.st_uid == os.geteuid() or status.st_uid != 0 else 0o037
    if status.st_mode & too_open:
        raise FileRefused(f"{path} can be read or changed by others than its owner: chmod 600 {path}")
    return content


def read_trusted(path: str) -> bytes:
    """
    Read a file that anybody may know, but not anybody may change.

    :raises FileRefused: it cannot be read, or everybody can change it.
    """
    content, status = _read(path)
    if status.st_mode & stat.S_IWOTH:
        raise FileRefused(f"{path} can be changed by everybody: chmod o-w {path}")
    return content


def create_secret(path: str, content: bytes) -> None:
    """
    Make a new file that only its owner may read.

    :raises FileRefused: there is one already, or it cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise FileRefused(f"{path} exists already, and is not overwritten") from None
    except OSError as error:
        raise FileRefused(f"{path} cannot be made: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        _write(file.fileno(), content)


def replace_secret(path: str, content: bytes) -> None:
    """
    Replace a file that only its owner may read, at once and whole, or make it. Its owner and mode are kept, so that
    root can change what belongs to the service.

    :raises FileRefused: it cannot be written; the old one is as it was.
    """
    folder, name = os.path.split(os.path.realpath(path))
    target = os.path.join(folder, name)
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                _take_after(target, file.fileno())
                _write(file.fileno(), content)
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
        # The new name is on disk only when the folder is.
        _sync_folder(folder)
    except OSError as error:
        raise FileRefused(f"{path} cannot be written: {error.strerror}") from None


@contextlib.contextmanager
def changing(path: str) -> Iterator[None]:
    """
    Be the only one that changes a file: wait until whoever does so now is done.

    The lock is on a file of its own beside it, because the file itself is replaced. The kernel lets go of it when the
    process ends, however it ends.

    :raises FileRefused: the lock's file cannot be made.
    """
    lock = f"{os.path.realpath(path)}.lock"
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FileRefused(f"{lock} cannot be made: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(path: str) -> tuple[bytes, os.stat_result]:
    try:
        # A pipe that nobody writes to would make opening it wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise FileRefused(f"{path} is not a regular file")
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise FileRefused(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_FILE:
        raise FileRefused(f"{path} is larger than {MAX_FILE >> 20} MiB")
    return content, status


def _take_after(path: str, descriptor: int) -> None:
    """
    Give a new file the owner and the mode of the one that it replaces, if there is one.
    """
    try:
        old = os.stat(path)
    except FileNotFoundError:
        return
    if os.geteuid() == 0:  # nobody else can give files away
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
