"""
What has been published before, for those who ask for the last of it: in pages, for it may be much.
"""

from typing import Final

from echochat.chat.effects import ReadPast
from echochat.chat.events import format_time
from echochat.history.interface import IHistory
from echochat.server.subscription import PAGE_BYTES, PAGE_EVENTS
from echochat.wire.answers import Ok, Past

PAST_BYTES: Final = 262_144
"""
The most bytes of text in one answer to ``/history``.
"""


async def find_last(history: IHistory, topic: str, last: int, head: int) -> int:
    """
    The position behind which a topic's last events up to a position begin.

    :param last: how many events.
    :param head: the position.
    """
    at = head
    while last > 0:
        page = await history.read_before(topic, at + 1, min(last, PAGE_EVENTS), PAGE_BYTES)
        if page.events:
            at = page.events[0].position - 1
            last -= len(page.events)
        if page.complete:
            # Nothing older is there: what retention took is not asked for.
            return max(at, min(page.floor, head))
    return at


async def read_past(history: IHistory, wish: ReadPast) -> bytes:
    """
    The answer to ``/history``.
    """
    page = await history.read_before(wish.topic, wish.before, wish.last, PAST_BYTES)
    lines = [
        Past(event.topic, event.position, format_time(event.time), event.name, event.text, wish.label).encode()
        for event in page.events
    ]
    lines.append(Ok("history", f"{wish.topic} {len(lines)}", wish.label).encode())
    return b"".join(lines)
