"""
How long to wait before the next attempt.

Full jitter: a random time up to a bound that doubles with each failure. When a server with ten thousand clients
restarts, they come back spread over the whole time instead of in waves
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
"""

from collections.abc import Callable
from typing import Final

FIRST: Final = 0.1
LONGEST: Final = 20.0

Jitter = Callable[[float, float], float]
"""
A random number between two: ``random.uniform``, or what a test wants.
"""


class Backoff:
    """
    :param jitter: chooses the time.
    :param first: seconds that the first wait takes at most.
    :param longest: seconds that any wait takes at most. There is no limit to the number of attempts.
    """

    def __init__(self, jitter: Jitter, first: float = FIRST, longest: float = LONGEST) -> None:
        self._jitter = jitter
        self._first = first
        self._longest = longest
        self._bound = first

    def next_delay(self) -> float:
        """
        An attempt has failed: how many seconds to wait.
        """
        delay = self._jitter(0.0, self._bound)
        self._bound = min(self._bound * 2, self._longest)
        return delay

    def reset(self) -> None:
        """
        An attempt has succeeded: begin again with short waits.
        """
        self._bound = self._first
