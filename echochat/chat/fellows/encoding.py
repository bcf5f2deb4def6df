"""
The messages as they are sent: an object of JSON each.

Every message has the version of this encoding, who sends it, and its kind; whoever does not know the version leaves it
alone. What arrives is checked as if it came from anybody: a message either is exactly what is described here, or
:class:`MalformedMessage` says what is wrong with it. Bans are the exception: servers hand them on, and one that cannot
be read would have the people of all that do so vanish with it. It is left out.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

from echochat.chat.ban_book import BanRecord
from echochat.chat.fellows.facts import Facts, TopicFacts
from echochat.chat.fellows.messages import Alive, Ask, Done, Everything, Farewell, Hello, Message, News, Order
from echochat.wire.names import is_name, is_text, is_topic

VERSION: Final = 1

MOST_BYTES: Final = 262_144
"""
Of a message that is looked at.
"""

MOST_PARTS: Final = 4_096
LONGEST_LEASE: Final = 60.0
LONGEST_PLACE: Final = 100

_HIGHEST: Final = (1 << 53) - 1
_SERVER: Final = re.compile("[0-9a-z]{8,32}")
_WHO: Final = re.compile("[0-9A-Za-z.:_-]{1,64}")


class MalformedMessage(Exception):
    """
    This is no message of a fellow server, or one of another version. The first argument says why.
    """


def encode(message: Message) -> bytes:
    """
    As it is sent.
    """
    kind = type(message)
    written: dict[str, Any] = {"v": VERSION, "from": message.server, "kind": _KINDS[kind]}
    match message:
        case Alive():
            written |= _write_alive(message)
        case Hello(alive):
            written |= _write_alive(alive)
        case News():
            written |= {"seq": message.seq, "facts": _write_facts(message.facts)}
        case Everything():
            parts = [message.telling, message.part, message.parts]
            written |= {**_write_alive(message.alive), "part": parts, "facts": _write_facts(message.facts)}
        case Order():
            ban = _write_ban(message.ban) if message.ban is not None else None
            written |= {"number": message.number, "who": message.who, "ban": ban}
        case Done():
            written |= {"number": message.number, "closed": message.closed}
    return json.dumps(written, separators=(",", ":")).encode()


def decode(data: bytes) -> Message:
    """
    As it was meant.

    :raises MalformedMessage: it cannot be told what that is.
    """
    read = _read_object(data)
    server, kind = read.get("from"), read.get("kind")
    if not isinstance(server, str) or not _is_like(_SERVER, server):
        raise MalformedMessage("from")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise MalformedMessage("kind")
    return reader(server, read)


def write_record(record: BanRecord) -> bytes:
    """
    A record as it is kept.
    """
    return json.dumps({"v": VERSION, "ban": _write_ban(record)}, separators=(",", ":")).encode()


def read_record(data: bytes) -> BanRecord:
    """
    :raises MalformedMessage: it cannot be told what that is.
    """
    return _read_ban(_read_object(data).get("ban"))


def _write_alive(alive: Alive) -> dict[str, Any]:
    return {"seq": alive.seq, "lease": alive.lease, "place": alive.place}


def _write_facts(facts: Facts) -> dict[str, Any]:
    written = {
        "topics": {topic: [told.followers, told.entered, told.left] for topic, told in facts.topics.items()},
        "came": facts.came,
        "went": facts.went,
        "shown": facts.shown,
        "bans": [_write_ban(record) for record in facts.bans],
    }
    return {name: value for name, value in written.items() if value}


def _write_ban(record: BanRecord) -> list[Any]:
    return [record.who, record.version, record.until]


def _read_object(data: bytes) -> dict[str, Any]:
    if len(data) > MOST_BYTES:
        raise MalformedMessage(f"{len(data)} bytes")
    try:
        read = json.loads(data)
    except (ValueError, RecursionError):
        raise MalformedMessage("not JSON") from None
    if not isinstance(read, dict):
        raise MalformedMessage("not an object")
    if read.get("v") != VERSION:
        raise MalformedMessage("another version")
    return read


def _is_like(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _whole(value: Any, what: str, lowest: int = 0, highest: int = _HIGHEST) -> int:
    # True is an int, too.
    if type(value) is not int or not lowest <= value <= highest:
        raise MalformedMessage(what)
    return value


def _read_alive(server: str, read: dict[str, Any]) -> Alive:
    lease, place = read.get("lease"), read.get("place")
    if isinstance(lease, bool) or not isinstance(lease, int | float) or not 0 < lease <= LONGEST_LEASE:
        raise MalformedMessage("lease")
    if not isinstance(place, str) or len(place) > LONGEST_PLACE or not is_text(place):
        raise MalformedMessage("place")
    return Alive(server, _whole(read.get("seq"), "seq"), float(lease), place)


def _read_hello(server: str, read: dict[str, Any]) -> Hello:
    return Hello(_read_alive(server, read))


def _read_news(server: str, read: dict[str, Any]) -> News:
    return News(server, _whole(read.get("seq"), "seq", 1), _read_facts(read.get("facts")))


def _read_everything(server: str, read: dict[str, Any]) -> Everything:
    part = read.get("part")
    if not isinstance(part, list) or len(part) != 3:
        raise MalformedMessage("part")
    alive, telling, parts = _read_alive(server, read), _whole(part[0], "part"), _whole(part[2], "part", 1, MOST_PARTS)
    return Everything(alive, telling, _whole(part[1], "part", 1, parts), parts, _read_facts(read.get("facts")))


def _read_order(server: str, read: dict[str, Any]) -> Order:
    who, ban = read.get("who"), read.get("ban")
    if not isinstance(who, str) or not _is_like(_WHO, who):
        raise MalformedMessage("who")
    return Order(server, _whole(read.get("number"), "number"), who, _read_ban(ban) if ban is not None else None)


def _read_done(server: str, read: dict[str, Any]) -> Done:
    return Done(server, _whole(read.get("number"), "number"), _whole(read.get("closed"), "closed"))


def _read_facts(read: Any) -> Facts:
    if not isinstance(read, dict):
        raise MalformedMessage("facts")
    topics, bans = read.get("topics", {}), read.get("bans", [])
    if not isinstance(topics, dict) or not all(map(is_topic, topics)):
        raise MalformedMessage("topics")
    if not isinstance(bans, list):
        raise MalformedMessage("bans")
    return Facts(
        {topic: _read_topic(told) for topic, told in topics.items()},
        _names(read.get("came", []), "came"),
        _names(read.get("went", []), "went"),
        _names(read.get("shown", []), "shown"),
        [*_read_bans(bans)],
    )


def _read_topic(read: Any) -> TopicFacts:
    if not isinstance(read, list) or len(read) != 3:
        raise MalformedMessage("topics")
    return TopicFacts(_whole(read[0], "followers"), _names(read[1], "entered"), _names(read[2], "left"))


def _read_bans(read: list[Any]) -> Iterator[BanRecord]:
    for each in read:
        with suppress(MalformedMessage):
            yield _read_ban(each)


def _read_ban(read: Any) -> BanRecord:
    if not isinstance(read, list) or len(read) != 3 or not _is_like(_WHO, read[0]):
        raise MalformedMessage("ban")
    until = _whole(read[2], "ban") if read[2] is not None else None
    return BanRecord(read[0], _whole(read[1], "ban"), until)


def _names(read: Any, what: str) -> list[str]:
    if not isinstance(read, list) or not all(isinstance(name, str) and is_name(name) for name in read):
        raise MalformedMessage(what)
    return read


_KINDS: Final[dict[type, str]] = {
    Alive: "alive",
    Hello: "hello",
    News: "news",
    Everything: "everything",
    Ask: "ask",
    Farewell: "farewell",
    Order: "order",
    Done: "done",
}

_READERS: Final[dict[str, Callable[[str, dict[str, Any]], Message]]] = {
    "alive": _read_alive,
    "hello": _read_hello,
    "news": _read_news,
    "everything": _read_everything,
    "ask": lambda server, read: Ask(server),
    "farewell": lambda server, read: Farewell(server),
    "order": _read_order,
    "done": _read_done,
}
