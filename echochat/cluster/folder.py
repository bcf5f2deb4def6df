"""
The folder of a cluster: who has it, what is in it.

=====================  ==================================================================
``broker/``            the broker's store: all that there is to back up
``key``                with which servers and operators are let in by the broker; made once
``run/``               sockets, and what the processes are started with; made at each start
``lock``               held by the cluster that runs
=====================  ==================================================================
"""

import fcntl
import os
from pathlib import Path
from typing import Final

from echochat.broker.credentials import UserCredentials, make_user_key
from echochat.broker.errors import CredentialsRefused

_LONGEST_SOCKET: Final = 107
"""
Bytes that the path of a UNIX socket may have on Linux.
"""

_LONGEST_NAME: Final = len("/run/w256.999999.control")


class FolderRefused(Exception):
    """
    The folder cannot be used. The message is one sentence for whoever starts the cluster.
    """


class Folder:
    """
    The folder, for one cluster at a time.

    :param path: made, for this user alone, if it is not there.
    :ivar public_key: what the broker knows of its key.
    :raises FolderRefused: it cannot be had.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path).absolute()
        room = _LONGEST_SOCKET - _LONGEST_NAME
        if len(os.fsencode(self.path)) > room:
            raise FolderRefused(f"the path {self.path} is too long for sockets in it: at most {room} bytes")
        if not str(self.path).isprintable():
            # Configuration files have it in them.
            raise FolderRefused(f"the path {str(self.path)!r} is no text")
        try:
            for folder in (self.path, self.path / "run", self.path / "broker"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._take()
            self.public_key = self._read_key()
        except OSError as error:
            raise FolderRefused(f"the folder {self.path} cannot be used: {error.strerror}") from None

    @property
    def key(self) -> Path:
        """
        Where the key is.
        """
        return self.path / "key"

    def run(self, name: str) -> Path:
        """
        Where something is that lasts as long as the cluster runs.
        """
        return self.path / "run" / name

    def write(self, name: str, contents: str) -> Path:
        """
        Write a file that only this user may read, whole or not at all.

        :return: where it is.
        """
        path = self.run(name)
        unfinished = path.with_name(f"{name}.new")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(contents)
            file.flush()
            # Else a power cut may leave the name with nothing behind it.
            os.fsync(descriptor)
        unfinished.rename(path)
        return path

    def release(self) -> None:
        """
        Let another cluster have it.
        """
        os.close(self._lock)

    def _take(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._lock, 20, 0).decode(errors="replace").strip()
            os.close(self._lock)
            raise FolderRefused(
                f"the folder {self.path} is in use by process {owner or 'of another cluster'}"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _read_key(self) -> str:
        try:
            return UserCredentials(str(self.key)).public
        except CredentialsRefused:
            # It is not there, or spoilt. The broker is told of the one that there is at each start: any will do.
            self.write("key", make_user_key()).rename(self.key)
            return UserCredentials(str(self.key)).public
