"""
How much of a topic was copied already: found by what the events say, since positions may differ.
"""

from hashlib import blake2b
from typing import Final

from echochat.history.records import Event

DIGEST: Final = 8
"""
Bytes that stand for an event. That two of a hundred thousand are taken for each other happens once in 10^9 topics, and
then its neighbours would have to be alike, too.
"""


def digest(event: Event) -> bytes:
    """
    What stands for an event, whatever its position.
    """
    return blake2b(
        f"{event.time} {event.name} {event.text}".encode("utf-8", "surrogatepass"), digest_size=DIGEST
    ).digest()


def already_there(source: bytes, target: bytes) -> int | None:
    """
    Tell where to go on with a copy.

    Either may have lost its oldest events to retention since the copy was begun, and the source may have gained new
    ones.

    :param source: the digests of a topic's events, one behind the other, oldest first.
    :param target: those of the copy.
    :return: how many of the source's events lie at or before the copy's last one. None: the copy has other events.
    """
    if not source or not target:
        return 0
    start = _find(source, target)
    if start is not None:
        return (start + len(target)) // DIGEST
    # The source has lost what the copy begins with.
    begin: int | None = _find(target, source[:DIGEST])
    while begin is not None:
        rest = target[begin:]
        if source.startswith(rest):
            return len(rest) // DIGEST
        begin = _find(target, source[:DIGEST], begin + DIGEST)
    return None


def _find(where: bytes, what: bytes, start: int = 0) -> int | None:
    while True:
        found = where.find(what, start)
        if found < 0:
            return None
        if found % DIGEST == 0:
            return found
        start = found + 1
