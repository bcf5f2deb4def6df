"""
Files of accounts and threads that are good for tests.
"""

import os
from collections.abc import Callable
from typing import Any

from argon2 import PasswordHasher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echochat.identity.hashing import HashingPool
from echochat.identity.passwords import hash_password, verify

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""
Hashes in microseconds what takes 26 ms otherwise.
"""


def cheap_hash(password: bytes) -> str:
    """
    What is kept of a password, made without much work.
    """
    return hash_password(password, CHEAP)


def write_file(test: SynchronousTestCase, content: bytes | str, mode: int = 0o600) -> str:
    """
    Make a file, readable by its owner only unless told otherwise.
    """
    path: str = os.path.abspath(test.mktemp())
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
    os.chmod(path, mode)
    return path


class ThreadsByHand:
    """
    A pool of threads, and a reactor, on the test's own thread: what was handed over is done when the test says so.

    :ivar waiting: what was handed over and is not done.
    :ivar checked: the hashes that were verified, in their order.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[bool, Any], None], Callable[[], Any]]] = []
        self.checked: list[str] = []
        self.running = False
        self.triggers: list[Callable[[], None]] = []
        self.hashing = HashingPool(lambda: self, self._check, self)  # type: ignore[arg-type]  # a double

    def run(self) -> None:
        """
        Do all that waits.
        """
        waiting, self.waiting = self.waiting, []
        for done, work in waiting:
            try:
                outcome = work()
            except Exception:
                done(False, Failure())
            else:
                done(True, outcome)

    def _check(self, phc: str, password: bytes) -> bool:
        self.checked.append(phc)
        return verify(phc, password)

    # A ThreadPool

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def callInThreadWithCallback(self, done: Callable[[bool, Any], None], work: Callable[[], Any]) -> None:
        assert self.running
        self.waiting.append((done, work))

    # A reactor

    def callFromThread(self, call: Callable[..., None], *arguments: Any) -> None:
        call(*arguments)

    def addSystemEventTrigger(self, phase: str, event: str, call: Callable[[], None]) -> None:
        assert (phase, event) == ("during", "shutdown")
        self.triggers.append(call)
