"""
Checking passwords beside the reactor: in processes of their own, with a bounded queue.

A check takes 20 ms of a processor. On the reactor's thread it would stop everybody; in the reactor's thread pool it
would stand in the way of name look-ups, and a flood of logins would fill its queue without end.

Rejected: threads. A thread takes the interpreter's lock between two checks, and the 19 MiB of each are given to and
taken from the server's own memory, for which the kernel interrupts the reactor's thread. And it cannot give way to the
others as a process can: interrupted while it has the lock, it stops the whole server.
"""

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from twisted.cred.error import LoginDenied
from twisted.internet.defer import Deferred, fail, gatherResults
from txaio.tx import make_logger

from echochat.identity.hasher import Hasher, HasherGone, employ

HASHERS: Final = max(1, min(2, (os.cpu_count() or 2) - 1))
"""
One process fewer than there are processors, and two at most: one processor is left to the reactor.
"""

WAITING: Final = 64
"""
How many checks wait for a process: the last of them for one or two seconds.
"""

REST: Final = 1.0
"""
Seconds until another process is started after one that has ended without an answer: what is wrong will be wrong again.
"""


class HashingBusy(LoginDenied):
    """
    So many logins are being checked that this one was not begun: try again in a second.
    """


@dataclass(eq=False, slots=True)
class _Check:
    phc: str
    password: bytes
    result: Deferred[bool]


class HashingPool:
    """
    Processes that check passwords. They are started by the first checks and end with the reactor. One that ends by
    itself fails its check, and is replaced when another is needed.

    :param get_reactor: returns the reactor; called with the first check, for a checker is made before the reactor is.
    :param employ: starts a process.
    """

    log = make_logger()

    def __init__(self, get_reactor: Callable[[], Any], employ: Callable[[Any], Hasher] = employ) -> None:
        self._get_reactor = get_reactor
        self._employ = employ
        self._reactor: Any = None
        self._free: list[Hasher] = []
        self._working: dict[Hasher, _Check] = {}
        self._waiting: deque[_Check] = deque()
        self._rests_until = 0.0
        self._stopped = False

    @property
    def active(self) -> int:
        """
        How many checks are being done or wait.
        """
        return len(self._working) + len(self._waiting)

    @property
    def is_full(self) -> bool:
        """
        Whether the next check would be refused, because too many wait already or the reactor stops.
        """
        return self._stopped or len(self._working) + len(self._waiting) >= HASHERS + WAITING

    def verify(self, phc: str, password: bytes) -> Deferred[bool]:
        """
        Tell whether this is the password. Cancelled before its turn, the check costs nothing.

        The Deferred fails with :exc:`HashingBusy` when the pool :attr:`is_full`, and with
        :exc:`~echochat.identity.hasher.HasherGone` when there is no process to do it.
        """
        if self.is_full:
            return fail(HashingBusy("too many logins are being checked"))
        result: Deferred[bool] = Deferred(lambda _: self._forget(check))
        check = _Check(phc, password, result)
        self._waiting.append(check)
        self._go_on()
        return result

    def stop(self) -> Deferred[Any]:
        """
        End the processes; what still waits is not checked. Called with the reactor's end.

        :return: fires when they have ended.
        """
        self._stopped = True
        while self._waiting:
            self._waiting.popleft().result.errback(HashingBusy("the server is going away"))
        return gatherResults([hasher.stop() for hasher in (*self._free, *self._working)])

    # Ours

    def _forget(self, check: _Check) -> None:
        if check in self._waiting:
            self._waiting.remove(check)

    def _go_on(self) -> None:
        while self._waiting and (self._free or len(self._working) < HASHERS):
            check = self._waiting.popleft()
            try:
                hasher = self._free.pop() if self._free else self._start()
            except HasherGone as gone:
                check.result.errback(gone)
                continue
            if not hasher.is_alive:
                self._waiting.appendleft(check)
                continue
            self._working[hasher] = check
            hasher.verify(check.phc, check.password, self._done)

    def _start(self) -> Hasher:
        if self._reactor is None:
            self._reactor = self._get_reactor()
            self._reactor.addSystemEventTrigger("during", "shutdown", self.stop)
        if self._reactor.seconds() < self._rests_until:
            raise HasherGone("the process that checks passwords does not run")
        try:
            return self._employ(self._reactor)
        except OSError as error:
            self._rest()
            self.log.error("the process that checks passwords cannot be started: {why}", why=error.strerror)
            raise HasherGone("the process that checks passwords cannot be started") from None

    def _rest(self) -> None:
        self._rests_until = self._reactor.seconds() + REST

    def _done(self, hasher: Hasher, matches: bool | None) -> None:
        check = self._working.pop(hasher)
        if hasher.is_alive:
            self._free.append(hasher)
        elif not hasher.has_answered and not self._stopped:
            self._rest()
        self._go_on()
        if check.result.called:
            return
        if matches is None:
            check.result.errback(HasherGone("the process that checks passwords has ended"))
        else:
            check.result.callback(matches)
