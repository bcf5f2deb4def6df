"""
Power cuts, simulated: after one, the files of a folder hold what they held when they were last synced.

A killed process loses nothing, because the kernel has what was written; only a machine that stops shows whether it was
synced, and in time. So a program is run with its syncs watched (:mod:`tests.checker.cluster.notices`): whenever it
syncs a file, the file is copied first, into a folder beside, and :func:`cut` leaves the program's folder with these
copies and nothing else. What was not synced at all is not there any more, what was written since the last sync neither.
That is the worst that a disk may do to files; what becomes of their names is kept, as with a file system that has a
journal of them.

Nothing of this asks the program what it thinks it has synced. As a command::

    python -m tests.checker.cluster.disk FOLDER KEPT PROGRAM [ARGUMENT ...]
"""

import array
import os
import shutil
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress

from tests.checker.cluster.notices import NotPossible, OpenSynced, Rename, Sync, let_go_on, listen, receive


class Kept:
    """
    The copies of what was synced.

    :param folder: the program's.
    :param kept: where the copies are.
    """

    def __init__(self, folder: str, kept: str) -> None:
        self._folder = os.path.join(os.path.realpath(folder), "")
        self._kept = kept
        self._always: set[str] = set()

    def sync(self, path: str, descriptor: str) -> None:
        """
        What the file has now is on the disk.
        """
        target = self._target(path)
        if target is not None and stat.S_ISREG(os.stat(descriptor).st_mode):
            _copy(descriptor, target)

    def opened(self, path: str) -> None:
        """
        Whatever is written there will be on the disk.
        """
        if self._target(path) is not None:
            self._always.add(path)

    def rename(self, before: str, after: str) -> None:
        """
        What was kept has another name now.
        """
        source, target = self._target(before), self._target(after)
        if before in self._always:
            self._always.discard(before)
            self.sync(before, before)
        if source is not None and target is not None and os.path.isfile(source):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.replace(source, target)

    def finish(self) -> None:
        """
        The program has ended.
        """
        for path in self._always:
            if os.path.isfile(path):
                self.sync(path, path)

    def cut(self) -> None:
        """
        Leave what was synced.
        """
        for path in [*_files(self._folder)]:
            target = self._target(path)
            if target is not None and os.path.isfile(target):
                shutil.copyfile(target, path)
            else:
                os.unlink(path)

    def _target(self, path: str) -> str | None:
        return os.path.join(self._kept, path.removeprefix(self._folder)) if path.startswith(self._folder) else None


def cut(folder: str, kept: str) -> None:
    """
    Cut the power. The program must have ended.
    """
    Kept(folder, kept).cut()


def main(folder: str, kept: str, *command: str) -> None:
    """
    Become the program, watched by a process of its own.
    """
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        _watch(_taken(theirs), Kept(folder, kept))
        # Nothing that was inherited is to be flushed twice.
        os._exit(0)
    theirs.close()
    descriptor = listen()
    ours.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))])
    os.execv(command[0], command)


def _taken(channel: socket.socket) -> int:
    with channel:
        _, ancillary, _, _ = channel.recvmsg(1, socket.CMSG_SPACE(4))
    if not ancillary:
        os._exit(1)  # the other end says why
    return array.array("i", ancillary[0][2])[0]


def _watch(descriptor: int, kept: Kept) -> None:
    while True:
        try:
            notice, call = receive(descriptor)
        except EOFError:
            break
        # A process that is killed meanwhile takes its descriptors with it: it has synced nothing, then.
        with suppress(FileNotFoundError):
            match call:
                case Sync(path, opened):
                    kept.sync(path, opened)
                case OpenSynced(path):
                    kept.opened(path)
                case Rename(before, after):
                    kept.rename(before, after)
        let_go_on(descriptor, notice)
    kept.finish()


def _copy(source: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copyfile(source, f"{target}.new")
    os.rename(f"{target}.new", target)


def _files(folder: str) -> Iterator[str]:
    for path, _, names in os.walk(folder):
        yield from (os.path.join(path, name) for name in names)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except NotPossible as why:
        sys.exit(f"power cuts cannot be simulated here: {why}")
