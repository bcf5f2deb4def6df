"""
Connections on their way to a worker, and why one may not get there.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from echochat.net.handoff.frames import End, Willing

UNWILLING: Final[Mapping[Willing, str]] = {
    Willing.OPEN: "it does not take it",
    Willing.FULL: "it has as many connections as it may have",
    Willing.DRAINING: "it is stopping",
}


class NotTaken(Exception):
    """
    A worker does not take a connection. Nothing was read from it. The message says why, in a clause.
    """


class Unwilling(NotTaken):
    """
    The worker is well, and takes no connections now: it has as many as it may have, or is stopping.
    """


class Passenger(Protocol):
    """
    A connection that is handed over.
    """

    def taken(self) -> None:
        """
        It is the worker's now.
        """

    def refused(self, why: NotTaken) -> None:
        """
        It is not, and never will be for having been handed over now.
        """

    def over(self, received: int, sent: int, end: End | None) -> None:
        """
        It was taken, and is over.

        :param received: bytes; -1: not known.
        :param sent: likewise.
        :param end: how; None: with its worker.
        """
