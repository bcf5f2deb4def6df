"""
What readers ask of the database, each in one statement: one moment's state, and one call.

A call for each row would be the usual way. But each gives up Python's global lock and waits up to 5 ms to get it back
while the reactor works: 5 s for a page of 1,000 events that were published one by one. So SQLite walks along the topic
as far as the page reaches, and hands over everything as two values: the bundles' columns, as lines of numbers, and
their bodies, one after the other.

Nothing behind the position that the writer last acknowledged is read: after a failed commit there may be more in the
file, which may yet vanish.
"""

import json
import sqlite3
from bisect import bisect_left, bisect_right
from typing import Any, Final

from echochat.history.errors import HistoryCorrupt
from echochat.history.records import Event, Page, TopicState
from echochat.history.sqlite.bundles import Bundle, Contents, Damaged, open_bundle

# Topics told in one statement: about 5 ms.
TOPICS_AT_ONCE: Final = 2_000

# walk: a bundle's key, with how many events and bytes the page has before it. It ends before the first bundle that the
# page has no room for, and holds at least one, if there is one.
_PAGE: Final = """
    WITH RECURSIVE
    topic(id, floor) AS MATERIALIZED (SELECT id, floor FROM topics WHERE name = :topic),
    walk(last, events, bytes) AS (
        SELECT {first}, 0, 0
        UNION ALL
        SELECT {next}, w.events + b.count * ({counted}), w.bytes + length(b.body) * ({counted})
        FROM walk w JOIN bundles b ON b.last = w.last
        WHERE w.events + b.count * ({counted}) < :limit AND w.bytes + length(b.body) * ({counted}) < :max_bytes
    ),
    page(columns, bodies, first, last) AS (
        SELECT
            group_concat(b.last || ' ' || b.topic || ' ' || b.previous || ' ' || b.number || ' ' || b.count
                || ' ' || b.time || ' ' || b.crc || ' ' || length(b.body), char(10)),
            group_concat(CAST(b.body AS TEXT), ''),
            min(b.last),
            max(b.last)
        FROM walk w JOIN bundles b ON b.last = w.last
    )
    SELECT (SELECT floor FROM topic), columns, bodies, {more} FROM page
"""

_OF_TOPIC: Final = "FROM bundles WHERE topic = (SELECT id FROM topic)"

_AFTER: Final = _PAGE.format(
    first=f"(SELECT min(last) {_OF_TOPIC} AND last > :after AND last <= :head)",
    next=f"(SELECT min(last) {_OF_TOPIC} AND last > w.last AND last <= :head)",
    counted="1",
    more=f"EXISTS (SELECT 1 {_OF_TOPIC} AND last > page.last AND last <= :head)",
)

# The walk begins with the bundle that the position lies in, of whose events it is not known how many come before it.
_BEFORE: Final = _PAGE.format(
    first=f"""coalesce(
        (SELECT min(last) {_OF_TOPIC} AND last >= :before AND last <= :head),
        (SELECT max(last) {_OF_TOPIC} AND last < :before AND last <= :head))""",
    next=f"(SELECT max(last) {_OF_TOPIC} AND last < w.last)",
    counted="b.last < :before",
    more=f"EXISTS (SELECT 1 {_OF_TOPIC} AND last < page.first)",
)

_HEAD: Final = """
    SELECT t.floor, coalesce((SELECT max(last) FROM bundles WHERE topic = t.id AND last <= :head), t.floor)
    FROM topics t WHERE t.name = :topic
"""

_HEADS: Final = """
    SELECT json_group_array(json_array(
        t.name, coalesce((SELECT max(last) FROM bundles WHERE topic = t.id AND last <= :head), t.floor), t.floor))
    FROM (SELECT id, name, floor FROM topics WHERE name > :after ORDER BY name LIMIT :limit) t
"""

_FAR: Final = (1 << 62) - 1


def read_after(database: sqlite3.Connection, head: int, topic: str, after: int, limit: int, max_bytes: int) -> Page:
    """
    :param database: made by :func:`~echochat.history.sqlite.schema.connect_reader`.
    :param head: the last position that may be read.
    :raises HistoryCorrupt: when the very next event is damaged.
    :raises sqlite3.Error: when SQLite cannot read.
    """
    named = {"topic": topic, "head": head, "after": min(after, _FAR), "limit": limit, "max_bytes": max_bytes}
    floor, bundles, more = _bundles(database, _AFTER, named)
    bundles.sort(key=lambda bundle: bundle.last)
    page = _Filling(topic, limit, max_bytes)
    known = max(after, floor)
    for bundle in bundles:
        # The first may begin before this position; each further one must begin where the one before it ended.
        if bundle.previous > known or (bundle is not bundles[0] and bundle.previous != known):
            return page.stopped(floor, known, bundle.previous, "events are missing")
        known = bundle.last
        try:
            contents = open_bundle(bundle, topic)
        except Damaged as error:
            return page.stopped(floor, bundle.previous, bundle.last, str(error))
        if not page.add(contents, range(bisect_right(contents.positions, after), bundle.count)):
            return Page(page.events, False, floor)
    return Page(page.events, not more, floor)


def read_before(
    database: sqlite3.Connection, head: int, topic: str, before: int | None, last: int, max_bytes: int
) -> Page:
    """
    The same towards the beginning; the events are ascending all the same.
    """
    page = _read_backwards(database, head, topic, _FAR if before is None else min(before, _FAR), last, max_bytes)
    page.events.reverse()
    return page


def _read_backwards(
    database: sqlite3.Connection, head: int, topic: str, before: int, last: int, max_bytes: int
) -> Page:
    named = {"topic": topic, "head": head, "before": before, "limit": last, "max_bytes": max_bytes}
    floor, bundles, more = _bundles(database, _BEFORE, named)
    bundles.sort(key=lambda bundle: -bundle.last)
    page = _Filling(topic, last, max_bytes)
    known: int | None = None
    for bundle in bundles:
        if known is not None and bundle.last != known:
            return page.stopped(floor, bundle.last, known, "events are missing")
        known = bundle.previous
        try:
            contents = open_bundle(bundle, topic)
        except Damaged as error:
            return page.stopped(floor, bundle.previous, bundle.last, str(error))
        if not page.add(contents, range(bisect_left(contents.positions, before))[::-1]):
            return Page(page.events, False, floor)
    return Page(page.events, not more, floor)


def read_topic(database: sqlite3.Connection, head: int, topic: str) -> TopicState:
    """
    :raises sqlite3.Error: when SQLite cannot read.
    """
    row = database.execute(_HEAD, {"topic": topic, "head": head}).fetchone()
    return TopicState(topic, row[1], row[0]) if row else TopicState(topic, 0, 0)


def read_topics(database: sqlite3.Connection, head: int, after: str) -> list[TopicState]:
    """
    :return: the next :data:`TOPICS_AT_ONCE` topics by name; fewer, when these are the last.
    :raises sqlite3.Error: when SQLite cannot read.
    """
    named = {"after": after, "head": head, "limit": TOPICS_AT_ONCE}
    return [TopicState(*row) for row in json.loads(database.execute(_HEADS, named).fetchone()[0])]


class _Filling:
    """
    A page that is being filled.
    """

    def __init__(self, topic: str, limit: int, max_bytes: int) -> None:
        self.events: list[Event] = []
        self._topic = topic
        self._limit = limit
        self._bytes_left = max_bytes

    def add(self, contents: Contents, indices: range) -> bool:
        """
        :return: whether all of these had room.
        """
        fitting = indices[: max(0, self._limit - len(self.events))]
        for count, index in enumerate(fitting):
            self._bytes_left -= len(contents.texts[index])
            if self._bytes_left < 0 and (count or self.events):
                fitting = fitting[:count]
                break
        self.events += contents.events(fitting, self._topic)
        return len(fitting) == len(indices)

    def stopped(self, floor: int, after: int, upto: int, why: str) -> Page:
        """
        :return: what comes before the damage.
        :raises HistoryCorrupt: when that is nothing.
        """
        if not self.events:
            raise HistoryCorrupt(f"{self._topic}, behind {after} up to {upto}: {why}", upto)
        return Page(self.events, False, floor)


def _bundles(database: sqlite3.Connection, query: str, named: dict[str, Any]) -> tuple[int, list[Bundle], bool]:
    """
    :return: the topic's floor, bundles in any order, and whether there are more.
    """
    floor, columns, bodies, more = database.execute(query, named).fetchone()
    bundles: list[Bundle] = []
    start = 0
    try:
        for line in columns.split(b"\n") if columns else ():
            last, its_topic, previous, number, count, time, crc, length = map(int, line.split(b" "))
            body = bodies[start : start + length]
            bundles.append(Bundle(last, its_topic, previous, number, count, time, crc, body))
            start += length
    except (TypeError, ValueError) as error:
        raise HistoryCorrupt(f"{named['topic']}: a row cannot be read") from error
    return floor or 0, bundles, bool(more)
