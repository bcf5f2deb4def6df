"""
The drafts on their way to the broker, whose acknowledgements have not come.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from twisted.internet.defer import Deferred

from echochat.history.errors import HistoryUnavailable
from echochat.history.records import Draft, Stored

IN_FLIGHT: Final = 2_000
"""
Drafts that may be on their way: the broker refuses what exceeds 10,000, of all servers together.
"""

BYTES_IN_FLIGHT: Final = 8 << 20

DEADLINE: Final = 5.0
"""
Seconds that the next acknowledgement may take, whichever it is.
"""

LONGEST: Final = 60.0
"""
Seconds that any acknowledgement may take.
"""


@dataclass(slots=True)
class Append:
    """
    One append, until it is answered.

    :param characters: of the texts, together.
    :param open: how many drafts have no answer yet.
    :param upto: the receiver must have been given the events up to here before.
    """

    drafts: Sequence[Draft]
    characters: int
    answer: Deferred[Stored]
    positions: list[int]
    open: int
    begun: float
    repeated: list[int] = field(default_factory=list)
    refused: dict[int, HistoryUnavailable] = field(default_factory=dict)
    upto: int = 0


Place = tuple[Append, int]
"""
A draft, as an append and its index there.
"""


@dataclass(slots=True)
class Sent:
    """
    A draft on its way, and the places that wait for its position: those of repeats of its label, too.
    """

    places: list[Place]
    size: int
    since: float
    label: str | None


class Flight:
    """
    All that is on its way, by numbers, which tell the answers apart.
    """

    def __init__(self) -> None:
        self._numbers = count(1)
        # By number, so by age as well.
        self._sent: dict[int, Sent] = {}
        self._labels: dict[str, Sent] = {}
        self._bytes = 0
        self._landed_at = 0.0

    @property
    def has_room(self) -> bool:
        """
        Whether more may be sent.
        """
        return len(self._sent) < IN_FLIGHT and self._bytes < BYTES_IN_FLIGHT

    def joins(self, label: str, place: Place) -> bool:
        """
        Have a draft wait for the one that has its label, if one is on its way.
        """
        sent = self._labels.get(label)
        if sent is None:
            return False
        sent.places.append(place)
        return True

    def begins(self, place: Place, size: int, label: str | None, now: float) -> int:
        """
        A draft is sent.

        :return: its number.
        """
        number = next(self._numbers)
        sent = self._sent[number] = Sent([place], size, now, label)
        self._bytes += size
        if label is not None:
            self._labels[label] = sent
        return number

    def lands(self, number: int, now: float) -> Sent | None:
        """
        An answer has come.

        :return: to what; None: it was given up.
        """
        self._landed_at = now
        sent = self._sent.pop(number, None)
        if sent is None:
            return None
        self._bytes -= sent.size
        if sent.label is not None:
            del self._labels[sent.label]
        return sent

    def clear(self) -> None:
        """
        Give all of it up.
        """
        self._sent.clear()
        self._labels.clear()
        self._bytes = 0

    def is_overdue(self, now: float) -> bool:
        """
        Whether an answer should have come. A slow disk needs its time for all that is under way; what was passed over
        by later ones got lost.
        """
        oldest = next(iter(self._sent.values()), None)
        if oldest is None:
            return False
        return now - max(oldest.since, self._landed_at) > DEADLINE or now - oldest.since > LONGEST
