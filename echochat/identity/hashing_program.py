"""
The program that checks passwords: ``python -m echochat.identity.hashing_program``, which
:mod:`echochat.identity.hasher` starts. What is to be checked comes on standard input, one at a time, and the answers go
to standard output: secrets are in no file, on no command line, and in no environment.

It ends with its standard input, and so with the server, however that ends. What a terminal tells all its processes is
not for this one: who types Control-C tells the server, which may need it until the last client has gone.
"""

import signal

if __name__ == "__main__":
    # Before the other imports, which take so long that somebody would see their traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

import ctypes
import os
import platform
import struct
import sys
from contextlib import suppress
from typing import BinaryIO, Final

from echochat.identity.passwords import verify

QUESTION: Final = struct.Struct("<HH")
"""
What a question begins with: how many bytes the PHC string has that follows, and the password after that.
"""

RIGHT: Final = b"+"
WRONG: Final = b"-"

_NICE: Final = 19
_SLICE: Final = 100_000_000
"""
Nanoseconds: the most that Linux allows.
"""

# The system call sched_setattr(2), which the C library has no function for before glibc 2.41, and its structure:
# size, policy, flags, nice, priority, runtime, deadline, period.
_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
_ATTRIBUTES: Final = struct.Struct("=IIQiIQQQ")


def answer_all(questions: BinaryIO, answers: BinaryIO) -> None:
    """
    Check passwords until no more are asked.
    """
    while len(head := questions.read(QUESTION.size)) == QUESTION.size:
        of_phc, of_password = QUESTION.unpack(head)
        phc, password = questions.read(of_phc), questions.read(of_password)
        answers.write(RIGHT if verify(phc.decode(), password) else WRONG)
        answers.flush()


def give_way() -> None:
    """
    Have this process give way to others, where the system lets it.

    With the lowest priority it has a seventieth of a processor that others want, too, and with a long slice, since
    Linux 6.12, others that wake up need not wait until its own is over (3 ms). In the idle class it would give way as
    well, no sooner as far as could be measured, and have a three hundredth: on a busy machine a login would take 7 s
    instead of one or two.
    """
    with suppress(OSError):
        os.nice(_NICE)
    number = _SCHED_SETATTR.get(platform.machine())
    if sys.platform == "linux" and number is not None:
        wish = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, _NICE, 0, _SLICE, 0, 0)
        # An older system does not know of slices, and one that forbids the call loses nothing else.
        ctypes.CDLL(None).syscall(number, 0, wish, 0)


if __name__ == "__main__":
    give_way()
    answer_all(sys.stdin.buffer, sys.stdout.buffer)
