"""
Start a victim, let something happen to it, and look whether what it was told is true.
"""

import os
import subprocess
import sys
from collections.abc import Sequence

import tests
from echochat.history.sqlite.check import check
from echochat.history.sqlite.reading import read_after
from echochat.history.sqlite.schema import connect_reader

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(tests.__file__)))


class Ordeal:
    """
    One history, and the processes that append to it, one after the other.

    :param kept: how many events the history is to keep.
    :ivar acknowledged: the position of each number that a victim said was acknowledged.
    """

    def __init__(self, path: str, kind: str = "sqlite", kept: int = 1_000_000) -> None:
        self.path = path
        self._kept = kept
        self.acknowledged: dict[int, int] = {}
        self._kind = kind

    def start(self, *before: str) -> "Victim":
        """
        :param before: a command that runs the victim, if not itself.
        """
        return self._start(*before, sys.executable, "-m", "tests.history.victim")

    def start_watched(self) -> "Victim":
        """
        With power cuts to come.
        """
        return self._start(sys.executable, "-m", "tests.history.powercut", "tests.history.victim:main")

    def stored(self) -> tuple[dict[int, int], int]:
        """
        :return: the position of each number that is in the history, and the position up to which retention removed
            them.
        """
        database = connect_reader(self.path)
        try:
            stored: list[tuple[int, int]] = []
            after, complete = 0, False
            while not complete:
                page = read_after(database, 1 << 60, "lobby", after, 1_000, 1 << 20)
                stored.extend((int(event.text), event.position) for event in page.events)
                after = page.events[-1].position if page.events else after
                complete = page.complete
        finally:
            database.close()
        return _each_once(stored), page.floor

    def _start(self, *command: str) -> "Victim":
        first = max(self.acknowledged, default=0) + 1
        return Victim([*command, f"{self._kind}:{self.path}", str(first), str(self._kept)], self)

    def verdict(self) -> list[str]:
        """
        :return: what is wrong; nothing, if every acknowledged number is stored once, where it was said to be (or was
            removed by retention, which says so), and all are in order.
        """
        problems = list(check(self.path).problems)
        stored, floor = self.stored()
        for number, position in self.acknowledged.items():
            if position > floor and stored.get(number) != position:
                problems.append(f"{number} was acknowledged at {position}, and is at {stored.get(number)}")
        if list(stored) != sorted(stored):
            problems.append("the numbers are not in order")
        return problems


class Victim:
    """
    A running process of :mod:`tests.history.victim`. What it logs is in a file beside the history.
    """

    def __init__(self, command: Sequence[str], ordeal: Ordeal) -> None:
        self._ordeal = ordeal
        with open(f"{ordeal.path}.log", "a") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=_ROOT, text=True, bufsize=1
            )

    def until(self, what: str, times: int = 1) -> str:
        """
        Read what it says, up to a line that begins so, for the n-th time.

        :return: that line; the empty string if it ended before.
        """
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith("\n"):
                break  # killed in the middle of it
            word, *rest = line.split()
            if word == "acked":
                self._ordeal.acknowledged[int(rest[0])] = int(rest[1])
            if line.startswith(what):
                times -= 1
                if times == 0:
                    return line
        return ""

    def kill(self) -> None:
        """
        At once (``SIGKILL``); what it said before that counts.
        """
        self.process.kill()
        self._end()

    def stop(self) -> int:
        """
        Politely.
        """
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self._end()

    def _end(self) -> int:
        assert self.process.stdout is not None
        self.until("nothing that is ever said")
        self.process.stdout.close()
        if self.process.stdin is not None:
            self.process.stdin.close()
        return self.process.wait()


def _each_once(stored: Sequence[tuple[int, int]]) -> dict[int, int]:
    positions: dict[int, int] = {}
    for number, position in stored:
        if number in positions:
            raise AssertionError(f"{number} is stored at {positions[number]} and at {position}")
        positions[number] = position
    return positions
