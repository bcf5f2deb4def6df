"""
What the writer's thread is asked for, and what it says: all that passes between it and the reactor's thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from echochat.history.numbering import Numbered
from echochat.history.records import Draft, Stored


@dataclass(slots=True)
class Append:
    """
    What was asked for in one call, and who is to be told.

    :param positions: where these are to be, above all others and ascending; None: behind the others.
    """

    drafts: Sequence[Draft]
    characters: int
    answer: Deferred[Stored]
    positions: Sequence[int] | None = None


class Work(Enum):
    """
    What the writer can be asked for, besides appending.
    """

    TICK = "look whether retention is due"
    PROBE = "try to become available again"
    CLOSE = "store what waits, and end"


class Reports(Protocol):
    """
    What the writer says. Each is called in the reactor's thread.
    """

    def opened(self, epoch: str, head: int) -> None:
        """
        The log can be used.
        """

    def refused(self, why: Failure) -> None:
        """
        It cannot; the thread has ended.
        """

    def committed(self, appends: Sequence[Append], numbered: Numbered, seconds: float) -> None:
        """
        These are on disk.
        """

    def failed(self, appends: Sequence[Append], why: str, error: Failure | None) -> None:
        """
        These are not acknowledged, nor will any others be until :meth:`recovered`.

        :param error: what happened; None when this is only what came after it.
        """

    def recovered(self, drafts: Sequence[Draft], positions: Sequence[int]) -> None:
        """
        The log can be used again; these are on disk though they were never acknowledged.
        """

    def still_failed(self, why: str, error: Failure, hopeless: bool) -> None:
        """
        A probe was in vain.

        :param hopeless: and so will be all others.
        """

    def removed(self, events: int) -> None:
        """
        Retention removed so many.
        """

    def closed(self, error: Failure | None) -> None:
        """
        Everything is let go of; the thread has ended.
        """
