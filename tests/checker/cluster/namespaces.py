"""
Network namespaces without names: each belongs to a process, and is gone with it, whatever becomes of the test.
"""

import ctypes
import os
import shutil
from collections.abc import Callable
from typing import Final

_CLONE_NEWNET: Final = 0x40000000


class NotPermitted(Exception):
    """
    This machine does not let us have networks of our own.
    """


def enter_own_network() -> Callable[[], None]:
    """
    Give the calling thread, and the processes that it starts, a network with nothing in it. What is connected stays
    connected where it was.

    :return: goes back.
    :raises NotPermitted: it cannot be had.
    """
    for program in ("ip", "nsenter", "unshare"):
        if shutil.which(program) is None:
            raise NotPermitted(f"there is no {program}")
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if libc.unshare(_CLONE_NEWNET) != 0:
        os.close(before)
        raise NotPermitted(os.strerror(ctypes.get_errno()))

    def go_back() -> None:
        try:
            if libc.setns(before, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "there is no way back to the machine's network")
        finally:
            os.close(before)

    return go_back
