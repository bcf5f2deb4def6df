"""
How events lie in a row: the events of one topic in one commit are one *bundle*.

A row for each event was the first choice. With 8,000 events of one topic waiting, in thousands, it reached 418,000
events/s while the reactor slept, but 28,000 while it worked (with ``json_each``, one call for all: 180,000 and 88,000).
Python gives up its global lock for every call into SQLite, and a thread that wants it back from a busy one waits 5 ms:
what counts is the number of calls, and how long the lock is held for each event. Bundles reached 540,000 and 190,000 in
the same runs; the finished history, whose texts are lines, 780,000 and 520,000 with 16,000 waiting. They have further
advantages:

- Retention removes a bundle as fast as a row; at full speed a topic that keeps its last 100,000 events loses as many
  rows as it gains.
- One checksum covers 256 events; and since it also covers where the topic's previous bundle ended, a bundle that is
  missing, because of damage in an index for instance, is noticed as well as one that is damaged.

With a single event in each it is a row for each event again, and costs as much: 90,000 events/s over 100,000 topics,
where the rows of single events reached 110,000.

A body is one line of JSON and then the texts, one a line: ``[POSITIONS, TIMES, NAMES, TEXTS]``, where POSITIONS is
``null`` if they are consecutive, TIMES and NAMES are a single value where all are equal, and TEXTS is ``null`` unless
one of them holds a line break. Texts as lines cost 0.03 µs an event instead of JSON's 0.16, and can still be read with
``sqlite3 PATH "SELECT CAST(body AS TEXT) FROM bundles"``.
"""

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Final

from echochat.history.records import Draft, Event

MAX_EVENTS: Final = 256
MAX_CHARACTERS: Final = 128 * 1024

SELECT_BUNDLES: Final = """
    SELECT t.name, b.last, b.topic, b.previous, b.number, b.count, b.time, b.crc, b.body FROM bundles b
"""

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode

_decoder = json.JSONDecoder()  # its raw_decode() takes half the time of loads()


class Damaged(Exception):
    """
    A bundle is not what was written; the first argument says what is wrong with it.
    """


@dataclass(slots=True)
class Bundle:
    """
    One row.

    :param last: the position of its last event; unique in the log, and the row's key.
    :param topic: the topic's number in the table of topics.
    :param previous: the position of the topic's event before these, 0 if there never was one.
    :param number: how many events the topic has had, up to and with the last of these.
    :param time: when it was stored, by the log's own clock, which never goes back; its events have times of their own.
    """

    last: int
    topic: int
    previous: int
    number: int
    count: int
    time: int
    crc: int
    body: bytes

    def verify(self, topic: str) -> None:
        """
        :raises Damaged: when this is not what was written for this topic.
        """
        crc = _checksum(topic, self.last, self.previous, self.number, self.count, self.time, self.body)
        if crc != self.crc:
            raise Damaged("its checksum is wrong")


# A bundle's columns. As a plain tuple it goes straight into the database; where each holds one event, to make an object
# of it first is a fifth of the cost.
Row = tuple[int, int, int, int, int, int, int, bytes]


def make_rows(
    topic: str,
    topic_id: int,
    previous: int,
    number: int,
    time: int,
    positions: Sequence[int],
    drafts: Sequence[Draft],
) -> list[Row]:
    """
    Put consecutive events of a topic into as few bundles as the bounds allow.

    :param previous: the position of the topic's last event before these.
    :param number: how many it has had.
    """
    rows: list[Row] = []
    done = 0
    for start in range(0, len(drafts), MAX_EVENTS):
        end = start + MAX_EVENTS
        for count, body in _bodies(positions[start:end], drafts[start:end]):
            done += count
            last = positions[done - 1]
            crc = _checksum(topic, last, previous, number + done, count, time, body)
            rows.append((last, topic_id, previous, number + done, count, time, crc, body))
            previous = last
    return rows


def _checksum(topic: str, last: int, previous: int, number: int, count: int, time: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(f"{topic} {last} {previous} {number} {count} {time}".encode()))


def _bodies(positions: Sequence[int], drafts: Sequence[Draft]) -> list[tuple[int, bytes]]:
    """
    :return: for each body how many events it holds, and itself.
    """
    count = len(drafts)
    if count == 1 and "\n" not in drafts[0].text:
        # The most frequent bundle of a quiet server, four times as fast as in general.
        draft = drafts[0]
        text = f"[null,{draft.time},{encode_basestring(draft.name)},null]\n{draft.text}"
        return [(1, text.encode("utf-8", "surrogatepass"))]
    texts = [draft.text for draft in drafts]
    lines = "\n".join(texts)
    if len(lines) > MAX_CHARACTERS and count > 1:
        half = count // 2
        return _bodies(positions[:half], drafts[:half]) + _bodies(positions[half:], drafts[half:])
    times = [draft.time for draft in drafts]
    names = [draft.name for draft in drafts]
    as_lines = lines.count("\n") == count - 1
    head = _dumps(
        [
            None if positions[-1] - positions[0] == count - 1 else list(positions),
            times[0] if times.count(times[0]) == count else times,
            names[0] if names.count(names[0]) == count else names,
            None if as_lines else texts,
        ]
    )
    body = f"{head}\n{lines}" if as_lines else head
    return [(count, body.encode("utf-8", "surrogatepass"))]


@dataclass(slots=True)
class Contents:
    """
    What is in a bundle, column by column: an event is made of it only when it is wanted.

    :param texts: still encoded, so that their bytes can be counted.
    """

    positions: Sequence[int]
    times: Sequence[int]
    names: Sequence[str]
    texts: Sequence[bytes]

    def events(self, indices: Iterable[int], topic: str) -> list[Event]:
        positions, times, names, texts = self.positions, self.times, self.names, self.texts
        return [
            Event(positions[i], topic, names[i], texts[i].decode("utf-8", "surrogatepass"), times[i]) for i in indices
        ]

    def draft(self, index: int, topic: str) -> Draft:
        text = self.texts[index].decode("utf-8", "surrogatepass")
        return Draft(topic, self.names[index], text, None, self.times[index])


def open_bundle(bundle: Bundle, topic: str) -> Contents:
    """
    Verify a bundle, and take it apart.

    :raises Damaged: when it is not what was written; nothing of it may be used.
    """
    bundle.verify(topic)
    count = bundle.count
    try:
        head, _, lines = bundle.body.partition(b"\n")
        (positions, times, names, texts), _ = _decoder.raw_decode(head.decode("utf-8", "surrogatepass"))
    except (TypeError, ValueError) as error:
        raise Damaged("it cannot be read") from error
    contents = Contents(
        range(bundle.last - count + 1, bundle.last + 1) if positions is None else positions,
        [times] * count if isinstance(times, int) else times,
        [names] * count if isinstance(names, str) else names,
        lines.split(b"\n") if texts is None else [text.encode("utf-8", "surrogatepass") for text in texts],
    )
    columns = (contents.positions, contents.times, contents.names, contents.texts)
    if any([len(column) != count for column in columns]) or contents.positions[-1] != bundle.last:  # noqa: C419
        raise Damaged("its parts do not fit together")
    return contents
