"""
Slowing down whoever guesses passwords: a wait after each failure, by where it came from and by whose name was tried.

By source alone, a guesser with many addresses would not be slowed down; by name alone, one who tries a common password
on all names would not. The price of the wait by name is that a stranger can make the owner wait: so who has logged in
from a source before waits for that source's own failures only.

Nothing here reads a clock: seconds of one that never jumps are passed in.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from echochat.wire.names import fold_name

DELAYS: Final = (2.0, 4.0, 8.0, 15.0)
"""
Seconds to wait after the first failure, the second, and so on; after more than these, the last.
"""

QUIET: Final = 900.0
"""
Seconds without a failure after which all are forgotten.
"""

MOST: Final = 10_000
"""
How many sources, how many names, and how many pairs of both are remembered: about 2 MiB each at most. Beyond that the
least recent goes; to push out one name a guesser has to fail with ten thousand others, which is two minutes of both
hashing processes.
"""


@dataclass(slots=True)
class _Failures:
    number: int
    last: float
    until: float


class _Memory:
    """
    The failures of the sources, or of the names.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def find(self, key: str, now: float) -> _Failures | None:
        failures = self._failures.get(key)
        if failures is not None and now - failures.last >= QUIET:
            del self._failures[key]
            return None
        return failures

    def add(self, key: str, now: float) -> None:
        failures = self.find(key, now)
        if failures is None:
            failures = self._failures[key] = _Failures(0, now, now)
        failures.number += 1
        failures.last = now
        failures.until = now + _delay(failures)
        self._failures.move_to_end(key)
        if len(self._failures) > self._most:
            self._failures.popitem(last=False)

    def forget(self, key: str) -> None:
        self._failures.pop(key, None)


def _delay(failures: _Failures) -> float:
    return DELAYS[min(failures.number, len(DELAYS)) - 1]


class LoginThrottle:
    """
    Who may try to log in now.

    For each attempt, :meth:`take_turn` first; when it allows the attempt, :meth:`failed` or :meth:`succeeded` with its
    result. An attempt whose result is never known (the connection went away, or hashing was busy) needs neither.

    :param most: how much is remembered of each kind.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._sources = _Memory(most)
        self._names = _Memory(most)
        self._proven: OrderedDict[tuple[str, str], None] = OrderedDict()

    @property
    def size(self) -> int:
        """
        How many failures and successes are remembered.
        """
        return len(self._sources) + len(self._names) + len(self._proven)

    def take_turn(self, source: str, name: str, now: float) -> float:
        """
        Ask to try a name and a password.

        :param source: where from: an address, of IPv6 its /64, as connections are counted by.
        :param name: a legal name.
        :return: 0: try now; else how many seconds to wait. A turn that is given counts as taken until its result is
            known: of all who waited for the same delay to end, one goes first, and the others wait again.
        """
        delaying = [failures for failures in self._concerning(source, fold_name(name), now) if failures is not None]
        wait = max((failures.until - now for failures in delaying), default=0.0)
        if wait > 0:
            return wait
        for failures in delaying:
            failures.until = now + _delay(failures)
        return 0.0

    def failed(self, source: str, name: str, now: float) -> None:
        """
        Somebody tried the wrong password, or a name that nobody has.
        """
        self._sources.add(source, now)
        self._names.add(fold_name(name), now)

    def succeeded(self, source: str, name: str, now: float) -> None:
        """
        Somebody logged in. The failures of the name are forgotten, those of the source are not: else a guesser with
        an account of their own could log in between guesses, and never wait.
        """
        folded = fold_name(name)
        self._names.forget(folded)
        failures = self._sources.find(source, now)
        if failures is not None:
            failures.until = now
        self._proven[source, folded] = None
        self._proven.move_to_end((source, folded))
        if len(self._proven) > self._most:
            self._proven.popitem(last=False)

    def _concerning(self, source: str, folded: str, now: float) -> tuple[_Failures | None, ...]:
        of_source = self._sources.find(source, now)
        if (source, folded) in self._proven:
            return (of_source,)
        return (of_source, self._names.find(folded, now))
