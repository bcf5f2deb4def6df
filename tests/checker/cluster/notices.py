"""
Be asked by the kernel before a program syncs, renames, or opens a file that is synced with each write.

It is done with a seccomp filter that notifies (``man 2 seccomp_unotify``): the thread that makes the call waits until
we have answered, and the call goes on then. The program need not be told, and nothing slips through, however it was
built: Go's programs make their system calls without any library that could be replaced.
"""

import ctypes
import os
import platform
import select
from dataclasses import dataclass
from fcntl import ioctl
from typing import Final


class NotPossible(Exception):
    """
    The kernel does not do this here.
    """


@dataclass(frozen=True)
class _Machine:
    """
    What the numbers of the calls are.
    """

    audit: int
    seccomp: int
    syncs: tuple[int, ...]
    opens: int
    renames: dict[int, tuple[int, int]]
    """
    For each kind of rename, which arguments are the paths.
    """


_MACHINES: Final = {
    "x86_64": _Machine(0xC000003E, 317, (74, 75), 257, {82: (0, 1), 264: (1, 3), 316: (1, 3)}),
    "aarch64": _Machine(0xC00000B7, 277, (82, 83), 56, {38: (1, 3), 276: (1, 3)}),
}

_O_DSYNC: Final = 0o10000  # O_SYNC has it, too
_PR_SET_NO_NEW_PRIVS: Final = 38
_SET_MODE_FILTER: Final = 1
_NEW_LISTENER: Final = 0x08
_WAIT_KILLABLE: Final = 0x20  # Go interrupts its threads all the time; each would ask again
_ALLOW: Final = 0x7FFF0000
_NOTIFY: Final = 0x7FC00000
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_RECEIVE: Final = 0xC0502100
_SEND: Final = 0xC0182101
_CONTINUE: Final = 1


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


class _Notice(ctypes.Structure):
    _fields_ = (
        ("id", ctypes.c_uint64),
        ("pid", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("number", ctypes.c_int32),
        ("audit", ctypes.c_uint32),
        ("at", ctypes.c_uint64),
        ("arguments", ctypes.c_uint64 * 6),
    )


class _Answer(ctypes.Structure):
    _fields_ = (
        ("id", ctypes.c_uint64),
        ("value", ctypes.c_int64),
        ("error", ctypes.c_int32),
        ("flags", ctypes.c_uint32),
    )


@dataclass(frozen=True)
class Sync:
    """
    A file is about to be synced.
    """

    path: str
    descriptor: str


@dataclass(frozen=True)
class OpenSynced:
    """
    A file is about to be opened; what is written through it is synced with each write.
    """

    path: str


@dataclass(frozen=True)
class Rename:
    """
    A file is about to get another name.
    """

    before: str
    after: str


Call = Sync | OpenSynced | Rename


def listen() -> int:
    """
    Have the calling process, and all that comes of it, ask from now on.

    :return: the descriptor for :func:`receive`.
    :raises NotPossible: the kernel does not do this.
    """
    machine = _machine()
    steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, machine.audit), (_RETURN, 0, 0, _ALLOW), (_LOAD, 0, 0, 0)]
    for number in (*machine.syncs, *machine.renames):
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _NOTIFY)]
    # The flags are the third argument, at 32 of struct seccomp_data.
    steps += [(_EQUAL, 0, 3, machine.opens), (_LOAD, 0, 0, 32), (_ANY_BIT, 0, 1, _O_DSYNC), (_RETURN, 0, 0, _NOTIFY)]
    steps += [(_RETURN, 0, 0, _ALLOW)]
    program = _Filter(len(steps), (_Instruction * len(steps))(*(_Instruction(*step) for step in steps)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise NotPossible("no_new_privs")
    for flags in (_NEW_LISTENER | _WAIT_KILLABLE, _NEW_LISTENER):
        descriptor = libc.syscall(machine.seccomp, _SET_MODE_FILTER, flags, ctypes.byref(program))
        if descriptor >= 0:
            return int(descriptor)
    raise NotPossible(f"seccomp: {os.strerror(ctypes.get_errno())}")


def receive(descriptor: int) -> tuple[int, Call | None]:
    """
    Wait for the next call.

    :return: what to answer to, and what is about to be done; None for what cannot be told, because the process is gone.
    :raises EOFError: nobody is left to ask.
    """
    notice = _Notice()
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    # Older kernels do not end a wait for a notice when the last process that could send one has ended.
    while not _received(waiting.poll(), descriptor, notice):
        pass
    try:
        return notice.id, _read(notice)
    except (OSError, UnicodeDecodeError):
        return notice.id, None


def let_go_on(descriptor: int, notice: int) -> None:
    """
    Answer: the call is made now.
    """
    try:
        ioctl(descriptor, _SEND, _Answer(notice, 0, 0, _CONTINUE))
    except FileNotFoundError:
        return  # it was killed meanwhile


def _received(events: list[tuple[int, int]], descriptor: int, notice: _Notice) -> bool:
    if not any(event & select.POLLIN for _, event in events):
        raise EOFError
    try:
        ioctl(descriptor, _RECEIVE, notice)
    except FileNotFoundError:
        return False  # the call was interrupted: it is made again, or its process was killed
    return True


def _machine() -> _Machine:
    try:
        return _MACHINES[platform.machine()]
    except KeyError:
        raise NotPossible(f"its system calls are not known: {platform.machine()}") from None


def _read(notice: _Notice) -> Call:
    machine, arguments = _machine(), notice.arguments
    if notice.number in machine.syncs:
        descriptor = f"/proc/{notice.pid}/fd/{arguments[0]}"
        return Sync(os.readlink(descriptor), descriptor)
    if notice.number == machine.opens:
        return OpenSynced(_text(notice.pid, arguments[1]))
    before, after = machine.renames[notice.number]
    return Rename(_text(notice.pid, arguments[before]), _text(notice.pid, arguments[after]))


def _text(pid: int, address: int) -> str:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        # Up to the end of the page at most, so that nothing is read that is not there.
        read = memory.read(4096 - address % 4096)
        while b"\0" not in read:
            read += memory.read(4096)
    return os.fsdecode(read.partition(b"\0")[0])
