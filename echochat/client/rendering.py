"""
How what the server says looks on a terminal: as styled fragments, whose texts are made harmless where they are shown.
"""

import zlib
from datetime import datetime
from typing import Final

from echochat.client.core import Item, News
from echochat.client.cursor import Replaced
from echochat.client.harmless import harmless
from echochat.wire.answers import Bye, Drain, Err, Event, Gap, Here, Info, Joined, Parted, Past, TopicLine
from echochat.wire.names import fold_name

Fragment = tuple[str, str]
"""
A style, in the words of prompt_toolkit, and a text.
"""

_CODES: Final = {
    "": "",
    "class:quiet": "90",
    "class:error": "31",
    "ansigreen": "32",
    "ansiyellow": "33",
    "ansiblue": "34",
    "ansimagenta": "35",
    "ansicyan": "36",
    "ansibrightmagenta": "95",
}

# Readable on dark and on light backgrounds; red is for errors and grey for what matters less.
_NAME_COLOURS: Final = ("ansigreen", "ansiyellow", "ansiblue", "ansimagenta", "ansicyan", "ansibrightmagenta")


def colour_of(name: str) -> str:
    """
    A name's own colour: the same in every session, and in every letter case.
    """
    return _NAME_COLOURS[zlib.crc32(fold_name(name).encode()) % len(_NAME_COLOURS)]


def to_ansi(fragments: list[Fragment], *, coloured: bool) -> str:
    """
    A line for a terminal without prompt_toolkit; what is in the fragments cannot act on it.
    """
    shown = []
    for style, text in fragments:
        code = _CODES[style] if coloured else ""
        shown.append(f"\x1b[{code}m{harmless(text)}\x1b[0m" if code else harmless(text))
    return "".join(shown)


def local_time(time: str) -> str:
    """
    Hours and minutes here of a time on the wire; a time that cannot be read is shown as it came.
    """
    try:
        return datetime.fromisoformat(time).astimezone().strftime("%H:%M")
    except (ValueError, OverflowError):
        return time


def render(said: News | Item) -> list[Fragment]:
    """
    The line that shows an event, an item or a farewell to a person.
    """
    match said:
        case Event() | Past():
            return [
                ("class:quiet", f"{local_time(said.time)} "),
                (colour_of(said.name), said.name),
                ("", f"  {said.text}"),
            ]
        case Gap() if isinstance(said, Replaced) or said.upto <= said.after:
            seen = f": the one before was seen up to {said.after}" if said.after else ""
            return [("class:error", f"-- another history of {said.topic} begins here{seen} --")]
        case Gap():
            return [("class:error", f"-- what {said.topic} had from {said.after + 1} to {said.upto} is lost --")]
        case Joined():
            return [("class:quiet", f"-- {said.name} is in {said.topic}")]
        case Parted():
            return [("class:quiet", f"-- {said.name} has left {said.topic}")]
        case Drain():
            return [("class:quiet", f"-- the server goes away within {said.seconds} s")]
        case Bye() | Err():
            return [("class:error", f"{said.code}: {said.explanation}")]
        case Info():
            return [("", said.text)]
        case Here():
            return [(colour_of(said.name), said.name)]
        case TopicLine():
            return [("", said.topic), ("class:quiet", f"  {said.subscribers} subscribed, up to {said.head}")]
