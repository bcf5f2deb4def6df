"""
Files of accounts and processes that are good for tests.
"""

import os
from collections.abc import Callable
from typing import Any

from argon2 import PasswordHasher
from twisted.internet.defer import Deferred, succeed
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


class HashersByHand:
    """
    Processes that check passwords, and a reactor, in the test's own: what they are asked is done when the test says so.

    :param check: what they do.
    :ivar waiting: what was asked and is not answered.
    :ivar checked: the hashes that were verified, in their order.
    :ivar running: how many processes there are.
    """

    def __init__(self, check: Callable[[str, bytes], bool] = verify) -> None:
        self.waiting: list[tuple[str, bytes, Callable[[bool | None], None]]] = []
        self.checked: list[str] = []
        self.running = 0
        self.triggers: list[Callable[[], Any]] = []
        self.hashing = HashingPool(lambda: self, lambda reactor: _Hasher(self))  # type: ignore[arg-type,return-value]  # doubles
        self._check = check

    def run(self) -> None:
        """
        Do all that waits.
        """
        while self.waiting:
            phc, password, answer = self.waiting.pop(0)
            self.checked.append(phc)
            answer(self._check(phc, password))

    # A reactor

    def seconds(self) -> float:
        return 0.0

    def addSystemEventTrigger(self, phase: str, event: str, call: Callable[[], Any]) -> None:
        assert (phase, event) == ("during", "shutdown")
        self.triggers.append(call)


class _Hasher:
    has_answered = True

    def __init__(self, by_hand: HashersByHand) -> None:
        self._by_hand = by_hand
        self._asker: Any = None
        self.is_alive = True
        by_hand.running += 1

    def verify(self, phc: str, password: bytes, asker: Any) -> None:
        self._asker = asker
        self._by_hand.waiting.append((phc, password, self._answer))

    def _answer(self, matches: bool | None) -> None:
        asker, self._asker = self._asker, None
        if asker is not None:
            asker(self, matches)

    def stop(self) -> Deferred[None]:
        self.is_alive = False
        self._by_hand.running -= 1
        self._by_hand.waiting = [each for each in self._by_hand.waiting if each[2] != self._answer]
        self._answer(None)
        return succeed(None)
