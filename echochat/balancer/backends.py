"""
What the balancer knows of a backend, and the lease that counts one connection against it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

MOST_WEIGHT: Final = 1_000_000


class Mode(Enum):
    """
    What the operator wants of a backend.
    """

    READY = "ready"
    # No new connections; those that there are go on, and are asked to move.
    DRAIN = "drain"
    # No new connections, and no health checks.
    DOWN = "down"


@dataclass(eq=False, slots=True)
class Traffic:
    """
    What has passed since the backend was added; sizes in bytes.

    :ivar connections: connections that it was given.
    :ivar failures: attempts that failed, and connections that it closed at once.
    :ivar refused: checks that failed.
    """

    connections: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    failures: int = 0
    refused: int = 0


@dataclass(eq=False, slots=True)
class Backend:
    """
    One server behind the balancer.

    Only the :class:`echochat.balancer.pool.Pool` writes what it orders by: ``weight``, ``most``, ``backup``, ``mode``,
    ``is_up``, ``since`` and ``active``.

    :ivar name: unique in the pool: letters, digits, ``.``, ``_``, ``-``.
    :ivar endpoint: where it is, as a client endpoint string, or ``handoff:PATH``.
    :ivar weight: its share of the connections, 1 to :data:`MOST_WEIGHT`.
    :ivar most: how many connections it may have at once; 0: no limit.
    :ivar backup: it gets connections only when no other backend can.
    :ivar check: how its health is looked at: ``tcp``, ``ping`` or ``none``; None: as the balancer's settings say.
    :ivar control: the control socket of the echochat server there, ``unix:PATH``, for asking sessions to move; None: it
        has none.
    :ivar is_up: what health says.
    :ivar why: why health says so, for people: the last check's result.
    :ivar checked: when that was, in seconds of the balancer's clock; None: not yet.
    :ivar failed: connections in a row that it did not serve: attempts that failed, and those that it closed at once;
        2 while it is up on trial.
    :ivar since: when it came up, for slow start; None: it has all of its weight.
    :ivar active: leases that are held.
    :ivar used: grows with every choice: of equals the one that was chosen least recently is next.
    """

    name: str
    endpoint: str
    weight: int = 1
    most: int = 0
    backup: bool = False
    check: str | None = None
    control: str | None = None
    mode: Mode = Mode.READY
    is_up: bool = True
    why: str = "not checked yet"
    checked: float | None = None
    failed: int = 0
    since: float | None = None
    active: int = 0
    used: int = 0
    traffic: Traffic = field(default_factory=Traffic)

    @property
    def may_serve(self) -> bool:
        """
        Whether it gets new connections, if it has room.
        """
        return self.is_up and self.mode is Mode.READY

    @property
    def has_room(self) -> bool:
        """
        Whether it has fewer connections than it may have, slow start aside.
        """
        return not self.most or self.active < self.most


@dataclass(eq=False, slots=True)
class Lease:
    """
    One connection, counted against one backend from the attempt until both sides are closed: released exactly once.

    :ivar began: when it was given, in seconds.
    """

    backend: Backend
    began: float
    _give_back: Callable[[Backend], None]
    _held: bool = True

    @property
    def is_held(self) -> bool:
        """
        Whether the connection goes on.
        """
        return self._held

    def release(self) -> None:
        """
        The connection is over. Further calls do nothing.
        """
        if self._held:
            self._held = False
            self._give_back(self.backend)
