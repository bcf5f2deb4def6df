"""
What goes into a history, and what comes out of one.

Times are milliseconds since the epoch, in UTC. Positions are positive, unique in the log, and grow along a
topic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from echochat.chat.events import Draft as Draft
from echochat.chat.events import Event as Event
from echochat.history.errors import HistoryUnavailable

NOTHING_REFUSED: Final[Mapping[int, HistoryUnavailable]] = {}


@dataclass(slots=True)
class Stored:
    """
    What became of the drafts of one append, in their order.

    Most appends have no labels, and then nothing is made for a single draft: ``positions`` is a range, the
    others are empty, and both can be tested for that before anything is looked up.

    :param positions: one for each draft; that of the first event for a repeated one, 0 for a refused one.
    :param repeated: the indices of the drafts that had been stored before, under the same label.
    :param refused: why, for the indices of those drafts that could not be stored while others could.
    """

    positions: Sequence[int]
    repeated: Sequence[int] = ()
    refused: Mapping[int, HistoryUnavailable] = field(default_factory=lambda: NOTHING_REFUSED)


@dataclass(slots=True)
class Page:
    """
    A piece of one topic, oldest event first, as it was at one moment.

    :param complete: nothing further existed in the direction of the read at that moment.
    :param floor: the highest position of the topic that retention had removed (0: none) at that moment: where
        it is above the position that was read after, what lies between is a gap.
    """

    events: list[Event]
    complete: bool
    floor: int


@dataclass(slots=True)
class TopicState:
    """
    How far a topic reaches.

    :param head: the last position that an event of this topic got, even if it has been removed since; 0: none
        ever.
    :param floor: the highest position of the topic that retention has removed; 0: none.
    """

    topic: str
    head: int
    floor: int


@dataclass(slots=True)
class Status:
    """
    Plain counters since the history was opened, and whether it takes events now.

    :param commits: how often something was made durable, and ``events`` how many fresh events that were;
        ``repeats`` counts drafts that were answered with an earlier position, ``reads`` pages read.
    :param commit_seconds: what commits took in all; ``commit_last`` and ``commit_longest`` single ones.
    :param failures: how often the history became unavailable.
    :param removed: events that retention removed.
    :param unavailable: why nothing can be stored now, in one sentence; None: all is well.
    """

    commits: int = 0
    events: int = 0
    repeats: int = 0
    reads: int = 0
    commit_seconds: float = 0.0
    commit_last: float = 0.0
    commit_longest: float = 0.0
    failures: int = 0
    removed: int = 0
    unavailable: str | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """
    What a durable history keeps: an event goes when it is over any one of these.

    :param age: seconds since it was stored.
    :param size: bytes of the whole store.
    :param events: of one topic.
    """

    age: float = 7 * 86_400.0
    size: int = 1 << 30
    events: int = 100_000


EVERYTHING: Final = Retention(age=1e10, size=1 << 50, events=1_000_000_000)
"""
Nothing is to be removed: by who only reads a history. What is kept under bounds of its own stays as it is, and a stream
that is not there is not made.
"""


@dataclass(frozen=True, slots=True)
class Deduplication:
    """
    How long labels are remembered.

    :param seconds: at least; the protocol promises 120, and the rest is for late timers.
    :param labels: at most so many at once, about 200 bytes of memory each. Beyond it, labelled drafts are
        refused with
        :class:`~echochat.history.errors.HistoryBusy`: to forget one early would break the promise silently.
    """

    seconds: float = 150.0
    labels: int = 1_000_000
