"""
Checking passwords beside the reactor: on threads of its own, with a bounded queue.

A check takes 26 ms of a processor. On the reactor's thread it would stop everybody; in the reactor's thread pool it
would stand in the way of name look-ups, and a flood of logins would fill its queue without end.
"""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from twisted.cred.error import LoginDenied
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from echochat.identity.passwords import verify

THREADS: Final = max(1, min(2, (os.cpu_count() or 2) - 1))
"""
One fewer than there are processors, and two at most: one processor is left to the reactor's thread. With two on two
processors, 500 logins at once took the 99th percentile of an echo from 0.2 ms to 0.8 - 5 ms, with one to 0.3 - 1 ms.

Rejected: the idle scheduling class, with which a check gives way at once (0.4 ms). A thread of that class which is
interrupted while it has the interpreter's lock stops the whole server: for 1.8 s, with two other programs that wanted
the processors. In a process of its own it has no such lock, but the figures were no better than with a thread.
"""

WAITING: Final = 64
"""
How many checks wait for a thread: the last of them for one or two seconds.
"""

_NICE: Final = 10


class HashingBusy(LoginDenied):
    """
    So many logins are being checked that this one was not begun: try again in a second.
    """


class _ModestThread(threading.Thread):
    """
    A thread of lower priority, so that a flood of logins leaves the reactor's thread its share of the processors. On
    Linux the priority is a thread's own; elsewhere it would be the process's, and is left alone.
    """

    def run(self) -> None:
        if sys.platform == "linux":
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        super().run()


class _ModestPool(ThreadPool):
    threadFactory = _ModestThread


class HashingPool:
    """
    Threads that check passwords. They are started by the first check and end with the reactor.

    :param get_reactor: returns the reactor; called with the first check, for a checker is made before the reactor is.
    :param check: takes the PHC string and the password, and tells whether they match; called on a thread.
    :param pool: has the threads, and is not started yet.
    """

    def __init__(
        self,
        get_reactor: Callable[[], Any],
        check: Callable[[str, bytes], bool] = verify,
        pool: ThreadPool | None = None,
    ) -> None:
        self._get_reactor = get_reactor
        self._check = check
        self._pool = pool or _ModestPool(0, THREADS, "hashing")
        self._reactor: Any = None
        self._active = 0
        self._stopped = False

    @property
    def active(self) -> int:
        """
        How many checks are being done or wait.
        """
        return self._active

    def verify(self, phc: str, password: bytes) -> Deferred[bool]:
        """
        Tell whether this is the password. Cancelled before its turn, the check costs nothing.

        The Deferred fails with :exc:`HashingBusy` when too many wait already, or the reactor stops.
        """
        if self._active >= THREADS + WAITING or self._stopped:
            return fail(HashingBusy("too many logins are being checked"))
        if self._reactor is None:
            self._start()
        self._active += 1
        result: Deferred[bool] = Deferred()

        def work() -> bool:
            if result.called or self._stopped:  # nobody waits for it any more
                raise HashingBusy("too late")
            return self._check(phc, password)

        def done(success: bool, outcome: bool | Failure) -> None:
            self._reactor.callFromThread(finish, outcome)

        def finish(outcome: bool | Failure) -> None:
            self._active -= 1
            if not result.called:
                result.callback(outcome)

        self._pool.callInThreadWithCallback(done, work)
        return result

    def stop(self) -> None:
        """
        End the threads; what still waits is not checked. Called with the reactor's end.
        """
        self._stopped = True
        self._pool.stop()

    def _start(self) -> None:
        self._reactor = self._get_reactor()
        self._pool.start()
        self._reactor.addSystemEventTrigger("during", "shutdown", self.stop)
