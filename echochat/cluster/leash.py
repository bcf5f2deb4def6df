"""
Starts a program that ends with the process that started it, however that ends.

``python -m echochat.cluster.leash PARENT PROGRAM ARGUMENT...`` becomes PROGRAM, once the kernel has been told to send
it SIGTERM when its parent is gone. A supervisor that is killed cannot end its children itself, and one that is started
again would find their sockets and the broker's store in use. Linux only: elsewhere the program is started without.

And it has a session of its own: what is typed in a terminal, Ctrl-C, would otherwise be sent to all of them at once,
and the broker would end before those that cannot do without it.

Rejected: a pipe whose end the children watch, because a program that is not ours does not.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def command(program: Sequence[str]) -> list[str]:
    """
    What starts a program so, as a child of this process.
    """
    return [sys.executable, "-m", "echochat.cluster.leash", str(os.getpid()), *program]


def main(arguments: Sequence[str]) -> None:
    """
    Become the program.
    """
    parent, program = int(arguments[0]), arguments[1:]
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            # It was gone before the kernel was told.
            sys.exit(1)
    try:
        os.execvp(program[0], list(program))  # noqa: S606  there is nothing for a shell to do
    except OSError as error:
        sys.exit(f"echochat: {program[0]} cannot be started: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
