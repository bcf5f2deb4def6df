"""
Remove what need not be kept, in steps that are short enough to be done between two commits.

Whole bundles go, so a topic keeps up to 255 events more than it must. What goes is in each case the oldest: of the log,
for age and size, and of a topic, for the number of its events. Each step is one transaction, and is not synced: a power
cut may bring back what was removed, which harms nobody, and the next commit's sync covers it.

The file never shrinks: pages that become free are used for the next events, so it stays at the size that it had when
retention first took hold. ``auto_vacuum`` was measured at 7 % of the throughput, and would give back only what is
needed again a moment later.

Age is counted from when an event was stored, by the log's own clock, and not by the event's time, which may be
anything.
"""

import json
import sqlite3
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

from echochat.history.sqlite.store import Store

# Bundles in a step: at least so many, and otherwise twice as many as the last commit added, so that retention keeps up
# with any rate and takes no longer than a commit.
_STEP: Final = 64

# Topics looked at in one step when it is not known which have grown.
_SWEEP: Final = 500

_OLDEST: Final = """
    SELECT json_group_array(json_array(last, topic, number, count, time, size))
    FROM (SELECT last, topic, number, count, time, length(body) AS size FROM bundles ORDER BY last LIMIT ?)
"""

_OLDEST_OF_TOPIC: Final = """
    SELECT json_group_array(json_array(last, topic, number, count, time, size))
    FROM (
        SELECT last, topic, number, count, time, length(body) AS size
        FROM bundles WHERE topic = ? ORDER BY last LIMIT ?
    )
    WHERE number <= (SELECT number FROM bundles WHERE topic = ? ORDER BY last DESC LIMIT 1) - ?
"""

_SIZES: Final = """
    SELECT json_group_array(json_array(id, kept)) FROM (
        SELECT t.id, b.number - t.floor_number AS kept
        FROM topics t LEFT JOIN bundles b ON b.last = (SELECT max(last) FROM bundles WHERE topic = t.id)
        WHERE t.id > ? ORDER BY t.id LIMIT ?
    )
"""

_RAISE_FLOORS: Final = """
    UPDATE topics SET floor = json_extract(f.value, '$[1]'), floor_number = json_extract(f.value, '$[2]')
    FROM json_each(?) f WHERE topics.id = json_extract(f.value, '$[0]')
"""


# About what the table of topics and its index take: twice the name, and four small numbers.
_TOPICS_SIZE: Final = "SELECT coalesce(sum(2 * length(name) + 48), 0) FROM topics"


class Retainer:
    """
    Knows what may have to go, and removes it step by step. Any method may raise :class:`sqlite3.Error`; the store must
    be abandoned then.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._database: sqlite3.Connection = store.database
        self._retention = store.settings.retention
        self._sweep_from = 0
        self._sweeping = True  # once after opening: the bounds may have been others before
        self._check_age = False
        self._check_size = False

    def tick(self) -> None:
        """
        Time has passed: look again for what is too old or too much. To be called once in a second or so.
        """
        self._check_age = self._check_size = True

    @property
    def due(self) -> bool:
        """
        Whether :meth:`step` may have something to do.
        """
        return self._check_age or self._check_size or self._sweeping or bool(self._store.topics.grown)

    def step(self) -> int:
        """
        Do a little of what is due.

        :return: how many events were removed.
        """
        if self._store.topics.grown:
            return self._trim_topic()
        if self._check_age:
            return self._remove_old()
        if self._check_size:
            return self._remove_surplus()
        self._sweep()
        return 0

    def forget_labels(self, row: int) -> None:
        """
        The window of these labels has ended, up to and with that row.
        """
        self._remove([], "DELETE FROM labels WHERE id <= ?", [row])

    @property
    def _limit(self) -> int:
        return max(_STEP, 2 * self._store.last_rows)

    def _trim_topic(self) -> int:
        grown = self._store.topics.grown
        topic = next(iter(grown))
        limit = self._limit
        rows = self._rows(_OLDEST_OF_TOPIC, [topic, limit, topic, self._retention.events])
        if len(rows) < limit:
            grown.discard(topic)
        if not rows:
            return 0
        return self._remove(rows, "DELETE FROM bundles WHERE topic = ? AND last <= ?", [topic, rows[-1][0]])

    def _remove_old(self) -> int:
        oldest = self._store.time() - self._retention.age * 1000
        limit = self._limit
        rows = self._rows(_OLDEST, [limit])
        kept = next((index for index, row in enumerate(rows) if row[4] >= oldest), len(rows))
        self._check_age = kept == limit
        if not kept:
            return 0
        return self._remove(rows[:kept], "DELETE FROM bundles WHERE last <= ?", [rows[kept - 1][0]])

    def _remove_surplus(self) -> int:
        surplus = self._store.size() - self._retention.size
        if surplus > 0:
            # Topics are not removed with their events. They must not take the place of all events, however many
            # somebody has made.
            surplus -= self._database.execute(_TOPICS_SIZE).fetchone()[0]
        rows = self._rows(_OLDEST, [self._limit]) if surplus > 0 else []
        if not rows:
            self._check_size = False
            return 0
        freed = list(accumulate(row[5] for row in rows))
        rows = rows[: bisect_left(freed, surplus) + 1]
        return self._remove(rows, "DELETE FROM bundles WHERE last <= ?", [rows[-1][0]])

    def _sweep(self) -> None:
        sizes = self._rows(_SIZES, [self._sweep_from, _SWEEP])
        for topic, kept in sizes:
            self._sweep_from = topic
            if kept is not None and kept > self._retention.events:
                self._store.topics.grown.add(topic)
        self._sweeping = len(sizes) == _SWEEP

    def _rows(self, query: str, parameters: Sequence[int]) -> list[list[int]]:
        rows: list[list[int]] = json.loads(self._database.execute(query, parameters).fetchone()[0])
        return rows

    def _remove(self, rows: Sequence[Sequence[int]], delete: str, parameters: Sequence[int]) -> int:
        """
        :param rows: what goes, ascending.
        """
        floors = {topic: (last, number) for last, topic, number, *_ in rows}
        execute = self._database.execute
        synchronous = self._store.settings.synchronous
        if synchronous == "FULL":
            execute("PRAGMA synchronous=NORMAL")
        execute("BEGIN IMMEDIATE")
        execute(delete, parameters)
        if floors:
            raised: list[Any] = [(topic, last, number) for topic, (last, number) in floors.items()]
            execute(_RAISE_FLOORS, [json.dumps(raised)])
        execute("COMMIT")
        execute(f"PRAGMA synchronous={synchronous}")
        for topic, (_, number) in floors.items():
            self._store.topics.removed(topic, number)
        self._store.wrote(0, len(rows) + len(floors))
        return sum(count for _, _, _, count, *_ in rows)
