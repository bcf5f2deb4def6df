"""
What the writer knows of topics: their numbers in the tables, and where they end.
"""

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

# About 250 bytes each. One that is not known here is read from the database before it is written to.
MAX_KNOWN: Final = 200_000

# All that are asked for in one call, see the essay in bundles.py.
_LOAD: Final = """
    SELECT json_group_array(json_array(t.name, t.id, t.floor, t.floor_number, b.last, b.number))
    FROM topics t LEFT JOIN bundles b
        ON b.last = (SELECT max(last) FROM bundles WHERE topic = t.id)
    WHERE t.name IN (SELECT value FROM json_each(?))
"""


@dataclass(slots=True)
class Topic:
    """
    :param last: the position of its last event, 0 if it never had one.
    :param number: how many events it has had, and ``removed`` how many of them retention has removed.
    :param stored: whether the table of topics has it.
    """

    id: int
    last: int = 0
    number: int = 0
    removed: int = 0
    stored: bool = True


class TopicTable:
    """
    The topics that are being written to, by name. Lives as long as the database connection: after a failure it is
    made anew, since what it says may not have come true.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        # The numbers of topics that hold more events than they may; who adds events, adds to it.
        self.grown: set[int] = set()
        self._database = database
        self._known: dict[str, Topic] = {}
        self._by_id: dict[int, Topic] = {}
        self._next_id = database.execute("SELECT coalesce(max(id), 0) + 1 FROM topics").fetchone()[0]

    def load(self, names: Collection[str]) -> dict[str, Topic]:
        """
        :return: all of these; those that were never used before are new, and have yet to be stored.
        """
        missing = [name for name in names if name not in self._known]
        if missing:
            if len(self._known) + len(missing) > MAX_KNOWN:
                self._known.clear()
                self._by_id.clear()
                missing = list(names)
            self._load(missing)
        return self._known

    def removed(self, topic_id: int, number: int) -> None:
        """
        Retention removed the events of this topic up to that number.
        """
        topic = self._by_id.get(topic_id)
        if topic is not None:
            topic.removed = number

    def _load(self, names: Collection[str]) -> None:
        found = json.loads(self._database.execute(_LOAD, [json.dumps(list(names))]).fetchone()[0])
        for name, topic_id, floor, floor_number, last, number in found:
            self._know(name, Topic(topic_id, last or floor, number or floor_number, floor_number))
        for name in names:
            if name not in self._known:
                self._know(name, Topic(self._next_id, stored=False))
                self._next_id += 1

    def _know(self, name: str, topic: Topic) -> None:
        self._known[name] = topic
        self._by_id[topic.id] = topic
