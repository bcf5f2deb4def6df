"""
What is published, and how it is told.

Times are milliseconds since the epoch, in UTC. Positions are positive, unique in the log, and grow along a topic.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime


# Not frozen: a frozen dataclass costs 0.57 µs to make instead of 0.14, and one is made for every publish.
@dataclass(slots=True)
class Draft:
    """
    What a publisher asks to have stored. Must not be changed after it was handed over.

    :param label: makes it idempotent: the same name (in any letter case), topic and label is stored once
        within the dedupe window.
    """

    topic: str
    name: str
    text: str
    label: str | None
    time: int


@dataclass(slots=True)
class Event:
    """
    What is stored.
    """

    position: int
    topic: str
    name: str
    text: str
    time: int


_last_time: tuple[int, str] = (0, "1970-01-01T00:00:00.000Z")


def format_time(time: int) -> str:
    """
    A time as RFC 3339 in UTC with milliseconds and ``Z``.
    """
    global _last_time
    # What is published in one turn has one time: 0.05 µs instead of 1 µs for all of it but the first.
    known, written = _last_time
    if known != time:
        written = f"{datetime.fromtimestamp(time / 1000, UTC):%Y-%m-%dT%H:%M:%S}.{time % 1000:03}Z"
        _last_time = (time, written)
    return written


def encode_drafts(drafts: Sequence[Draft], positions: Iterable[int]) -> bytes:
    """
    The lines that tell subscribers of what has just become durable.
    """
    return "".join(
        [
            f"/event {draft.topic} {position} {format_time(draft.time)} {draft.name} {draft.text}\r\n"
            for draft, position in zip(drafts, positions, strict=True)
        ]
    ).encode()


def encode_events(events: Iterable[Event]) -> bytes:
    """
    The same lines, for events out of the history.
    """
    return "".join(
        [
            f"/event {event.topic} {event.position} {format_time(event.time)} {event.name} {event.text}\r\n"
            for event in events
        ]
    ).encode()
