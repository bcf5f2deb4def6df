"""
What a server says: one class for each kind of line, each of which writes itself, and one reader for all of them.

The server writes control lines with CRLF. An echo is every line that is not control; its text is escaped when it
begins with ``/`` (protocol, section 2), so that a line with a single leading ``/`` is always control.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from echochat.wire.names import is_label

# Exactly one space: whatever follows may be a text that begins with spaces.
_HEAD: Final = re.compile(r"/([A-Za-z-]+)(?:#(\S*))?(?: (.*))?", re.DOTALL)


class UnreadableAnswer(Exception):
    """
    A server sent a control line that this version of the protocol does not have. The line is the first argument.
    """


@dataclass(frozen=True, slots=True)
class Echo:
    """
    The answer to a message: ``text`` is without its end, and unescaped.
    """

    text: str

    def encode(self) -> bytes:
        escaped = "/" + self.text if self.text.startswith("/") else self.text
        return f"{escaped}\r\n".encode()


def _tagged(word: str, label: str | None) -> str:
    return f"/{word}#{label}" if label else f"/{word}"


@dataclass(frozen=True, slots=True)
class Ok:
    """
    The closing line of a command that was done: its verb, and what the command's row in section 3 lists after it.
    """

    verb: str
    rest: str = ""
    label: str | None = None

    def encode(self) -> bytes:
        tail = f" {self.rest}" if self.rest else ""
        return f"{_tagged('ok', self.label)} {self.verb}{tail}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Err:
    """
    The closing line of a command that was not done: one of the protocol's error codes and a sentence for a person.
    """

    code: str
    explanation: str
    label: str | None = None

    def encode(self) -> bytes:
        return f"{_tagged('err', self.label)} {self.code} {self.explanation}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Info:
    """
    One line of help.
    """

    text: str
    label: str | None = None

    def encode(self) -> bytes:
        return f"{_tagged('info', self.label)} {self.text}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Event:
    """
    Something published, live. ``time`` is RFC 3339 in UTC with milliseconds and ``Z``.
    """

    topic: str
    position: int
    time: str
    name: str
    text: str

    def encode(self) -> bytes:
        return f"/event {self.topic} {self.position} {self.time} {self.name} {self.text}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Past:
    """
    Something published, out of the history; an item of ``/history``.
    """

    topic: str
    position: int
    time: str
    name: str
    text: str
    label: str | None = None

    def encode(self) -> bytes:
        head = _tagged("past", self.label)
        return f"{head} {self.topic} {self.position} {self.time} {self.name} {self.text}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Gap:
    """
    The events after position ``after`` up to ``upto`` existed and can no longer be delivered.
    """

    topic: str
    after: int
    upto: int

    def encode(self) -> bytes:
        return f"/gap {self.topic} {self.after} {self.upto}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Joined:
    """
    A name's first subscription of a topic.
    """

    topic: str
    name: str

    def encode(self) -> bytes:
        return f"/join {self.topic} {self.name}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Parted:
    """
    The end of a name's last subscription of a topic.
    """

    topic: str
    name: str

    def encode(self) -> bytes:
        return f"/part {self.topic} {self.name}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Here:
    """
    A name that is subscribed; an item of ``/who``.
    """

    topic: str
    name: str
    label: str | None = None

    def encode(self) -> bytes:
        return f"{_tagged('here', self.label)} {self.topic} {self.name}\r\n".encode()


@dataclass(frozen=True, slots=True)
class TopicLine:
    """
    A topic, its last position (0: none yet) and how many subscribe to it; an item of ``/topics``.
    """

    topic: str
    head: int
    subscribers: int
    label: str | None = None

    def encode(self) -> bytes:
        return f"{_tagged('topic', self.label)} {self.topic} {self.head} {self.subscribers}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Drain:
    """
    The server is going away: reconnect within so many seconds.
    """

    seconds: int

    def encode(self) -> bytes:
        return f"/drain {self.seconds}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Bye:
    """
    The last line before the server closes on its own account.
    """

    code: str
    explanation: str

    def encode(self) -> bytes:
        return f"/bye {self.code} {self.explanation}\r\n".encode()


Answer = Echo | Ok | Err | Info | Event | Past | Gap | Joined | Parted | Here | TopicLine | Drain | Bye


def _word(rest: str) -> tuple[str, str]:
    """
    The word with which an answer begins, and what follows it and one space.
    """
    word, _, tail = rest.partition(" ")
    if not word:
        raise ValueError("a word is missing")
    return word, tail


def _two(rest: str) -> tuple[str, str]:
    first, second = rest.split(" ")
    return first, second


def _number(written: str) -> int:
    # int() takes signs, spaces, underscores and other scripts' digits.
    if not (written.isascii() and written.isdigit()):
        raise ValueError("not a number")
    return int(written)


def _ok(label: str | None, rest: str) -> Answer:
    verb, tail = _word(rest)
    return Ok(verb, tail, label)


def _err(label: str | None, rest: str) -> Answer:
    code, explanation = _word(rest)
    return Err(code, explanation, label)


def _event(label: str | None, rest: str) -> Answer:
    topic, position, time, name, text = rest.split(" ", 4)
    return Event(topic, _number(position), time, name, text)


def _past(label: str | None, rest: str) -> Answer:
    topic, position, time, name, text = rest.split(" ", 4)
    return Past(topic, _number(position), time, name, text, label)


def _gap(label: str | None, rest: str) -> Answer:
    topic, after, upto = rest.split(" ")
    return Gap(topic, _number(after), _number(upto))


def _topic(label: str | None, rest: str) -> Answer:
    topic, head, subscribers = rest.split(" ")
    return TopicLine(topic, _number(head), _number(subscribers), label)


_READERS: Final[dict[str, Callable[[str | None, str], Answer]]] = {
    "ok": _ok,
    "err": _err,
    "info": lambda label, rest: Info(rest, label),
    "event": _event,
    "past": _past,
    "gap": _gap,
    "join": lambda label, rest: Joined(*_two(rest)),
    "part": lambda label, rest: Parted(*_two(rest)),
    "here": lambda label, rest: Here(*_two(rest), label),
    "topic": _topic,
    "drain": lambda label, rest: Drain(_number(rest)),
    "bye": lambda label, rest: Bye(*_word(rest)),
}


def parse_answer(line: str) -> Answer:
    """
    Read one line of a server, without its end.

    :raises UnreadableAnswer: for a control line that is not in the protocol; skip it, and go on with the next.
    """
    if not line.startswith("/"):
        return Echo(line)
    if line.startswith("//"):
        return Echo(line[1:])
    matched = _HEAD.fullmatch(line)
    if matched is None:
        raise UnreadableAnswer(line)
    word, label, rest = matched.groups()
    reader = _READERS.get(word)
    if reader is None or (label is not None and not is_label(label)):
        raise UnreadableAnswer(line)
    try:
        return reader(label, rest or "")
    except ValueError as error:
        raise UnreadableAnswer(line) from error
