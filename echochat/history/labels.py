"""
The dedupe window: which labels were stored lately, and at which position.

Kept in memory, by the one who numbers events: a table on disk with random keys costs a page of 4 KiB written
for each label once it is larger than the cache. What must survive a restart is the business of the durable
history, which writes the same labels down in order and remembers them all anew when it is opened.
"""

from collections import deque
from collections.abc import Callable, Mapping
from functools import lru_cache

from echochat.history.records import Deduplication, Draft
from echochat.wire.names import fold_name

# The same few people publish again and again; to look a name up takes a third of the time of folding it.
_fold = lru_cache(1_000)(fold_name)


def label_key(draft: Draft) -> str:
    """
    What a label is unique for: name (folded), topic and label, none of which may contain a space.
    """
    return f"{_fold(draft.name)} {draft.topic} {draft.label}"


class LabelWindow:
    """
    Positions by label key, each forgotten when it is older than the window and not before.

    :ivar position_of: the position of a label key, or None.
    :param clock: seconds that only grow (never the time of day: an hour set back would double the events of
        everybody who tries again).
    """

    def __init__(self, bounds: Deduplication, clock: Callable[[], float]) -> None:
        self._bounds = bounds
        self._clock = clock
        self._positions: dict[str, int] = {}
        self.position_of: Callable[[str], int | None] = self._positions.get  # asked for every labelled draft
        self._ages: deque[tuple[float, list[str], int]] = deque()

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def room(self) -> int:
        """
        How many more labels may be remembered now.
        """
        return self._bounds.labels - len(self._positions)

    def remember(self, labels: Mapping[str, int], row: int = 0) -> None:
        """
        Begin the window of these: to be called when they are durable.

        :param row: under which the caller has written them down; grows from call to call.
        """
        self._positions.update(labels)
        self._ages.append((self._clock(), list(labels), row))

    def forget_old(self) -> int:
        """
        Make room.

        :return: the last row that was forgotten, 0 if none was.
        """
        oldest = self._clock() - self._bounds.seconds
        last_row = 0
        while self._ages and self._ages[0][0] < oldest:
            _, keys, last_row = self._ages.popleft()
            for key in keys:
                # A label that was used again after its time may stand in two rows, if the process was killed before
                # the first of them was removed.
                self._positions.pop(key, None)
        return last_row

    def clear(self) -> None:
        self._positions.clear()
        self._ages.clear()
