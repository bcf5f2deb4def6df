"""
Whether a backend is up: what checks say, and what becomes of clients' connections.

The problem. Checks come every two seconds, and a backend that has died meanwhile would be given every client in
between. Connections tell at once, but only of what clients do: a backend that accepts and closes is fine for a check
and of no use to anybody; and a client that says what makes a good server close at once must not be able to take it out
of service.

How. Two witnesses, and four states:

- ``UP``: it serves. ``fall`` failed checks in a row make it ``DOWN``; three connections in a row that it did not serve
  make it ``HELD``, and one that it served begins the row anew.
- ``DOWN``: the checks say so, and ``rise`` good ones in a row make it ``UP``.
- ``HELD``: the connections say so. A failed check agrees, and makes it ``DOWN``: the checks will see it come back. Good
  ones contradict, so they count only when a time is over. It doubles each time, from 2 s to a minute: else such a
  backend would be up for a moment every second.
- ``TRIAL``: up after that. The first connection that it does not serve takes it out again; one that it does makes it
  ``UP``.

What is passed in is all that this depends on; :mod:`echochat.balancer.watch` has the timers.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

FIRST_HOLD: Final = 2.0
LONGEST_HOLD: Final = 60.0

CONNECTIONS: Final = 3
"""
Connections in a row that were not served and make a backend count as down.
"""

SOON: Final = 0.5
"""
Seconds between checks while the state may be about to change.
"""


_SHORTEST: Final = 0.05
"""
Seconds between checks, whatever is set: they would be all that is done.
"""


class State(Enum):
    """
    What is thought of a backend.
    """

    UP = "up"
    TRIAL = "up, on trial"
    DOWN = "down"
    HELD = "held down"


@dataclass(frozen=True, slots=True)
class Rules:
    """
    How much it takes to change one's mind.

    :ivar fall: failed checks in a row after which a backend is down.
    :ivar rise: good ones in a row after which it is up again.
    :ivar interval: seconds between checks.
    """

    fall: int = 3
    rise: int = 2
    interval: float = 2.0


class Condition:
    """
    What is known of one backend's health. Times are in seconds of one clock.

    :ivar state: the verdict.
    :ivar unserved: connections in a row that it did not serve.
    :ivar hold: seconds for which it is held down, or was the last time.
    """

    __slots__ = ("_bad", "_good", "_held_until", "_risen", "hold", "rules", "state", "unserved")

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.state = State.UP
        self.unserved = 0
        self.hold = 0.0
        # Checks in a row.
        self._good = 0
        self._bad = 0
        self._held_until = 0.0
        # When its last trial began.
        self._risen: float | None = None

    @property
    def is_up(self) -> bool:
        """
        Whether it gets connections.
        """
        return self.state in (State.UP, State.TRIAL)

    @property
    def has_failed_enough(self) -> bool:
        """
        Whether so many connections in a row were not served that the next one should go elsewhere.
        """
        return self.unserved >= CONNECTIONS

    def until_next(self, now: float) -> float:
        """
        How many seconds may pass before the next check.
        """
        if self.is_up:
            is_changing = bool(self._bad or (self.unserved and self.state is State.UP))
        else:
            is_changing = 0 < self._good < self.rules.rise
        seconds = min(SOON, self.rules.interval) if is_changing else self.rules.interval
        if self.state is State.HELD and self._held_until > now:
            seconds = min(seconds, self._held_until - now)
        return max(seconds, _SHORTEST)

    # What happens

    def check_passed(self, now: float) -> None:
        """
        A check was good.
        """
        self._bad = 0
        self._good += 1
        if self._good < self.rules.rise:
            return
        if self.state is State.DOWN:
            self._become(State.UP)
        elif self.state is State.HELD and now >= self._held_until:
            self._try(now)

    def check_failed(self) -> None:
        """
        A check was not.
        """
        self._good = 0
        self._bad += 1
        if self.state is State.HELD or (self.is_up and self._bad >= self.rules.fall):
            self._become(State.DOWN)

    def is_unchecked(self, now: float) -> None:
        """
        There are no checks of it: when its time is over, it gets another chance.
        """
        if self.state is State.DOWN:
            self._become(State.UP)
        elif self.state is State.HELD and now >= self._held_until:
            self._try(now)

    def take_out(self, now: float) -> None:
        """
        Too many connections were not served: hold it down, for longer than the last time unless that was long ago.
        """
        is_recent = self._risen is not None and now - self._risen < LONGEST_HOLD
        self.hold = min(self.hold * 2, LONGEST_HOLD) if is_recent else FIRST_HOLD
        self._held_until = now + self.hold
        self._become(State.HELD)

    def served(self) -> None:
        """
        A connection was served.
        """
        self.unserved = 0
        if self.state is State.TRIAL:
            self.state = State.UP

    # Ours

    def _try(self, now: float) -> None:
        self._risen = now
        self._become(State.TRIAL)
        # One more is enough.
        self.unserved = CONNECTIONS - 1

    def _become(self, state: State) -> None:
        self.state = state
        self.unserved = 0
        self._good = 0
        self._bad = 0
