"""
What a client asks: the grammar of commands (protocol, section 3).

``/verb[#label] [key=value …] [arguments …]``, separated by one or more spaces. A text (of ``/pub``, ``/msg``,
``/ping``) begins after exactly one space and runs to the end of the line, so that any text arrives as it was sent,
one that begins with spaces too.
"""

import re
from dataclasses import dataclass
from typing import Final

from echochat.wire.names import is_label

ALIASES: Final = {"join": "sub", "part": "unsub", "say": "pub"}


class CommandError(Exception):
    """
    A command cannot be carried out: one of the protocol's error codes, and a sentence that says what to do.
    """

    def __init__(self, code: str, explanation: str) -> None:
        super().__init__(code, explanation)
        self.code = code
        self.explanation = explanation


@dataclass(slots=True)
class Command:
    """
    A command: its verb in lower case and under its own name where an alias was used, its label, and what follows the
    verb and one space.

    :ivar typed: the verb in lower case, or the alias: what whoever typed it knows the command by.
    """

    verb: str
    label: str | None
    rest: str
    typed: str


def parse_command(line: str) -> Command:
    """
    Read a line that begins with a single ``/``.

    :raises CommandError: ``bad-arguments``, the label is not one.
    """
    head, _, rest = line.partition(" ")
    verb, mark, label = head[1:].partition("#")
    if mark and not is_label(label):
        raise CommandError("bad-arguments", "a label is 1 to 64 of A-Z a-z 0-9 . _ -")
    typed = verb.lower()
    return Command(ALIASES.get(typed, typed), label if mark else None, rest, typed)


_PUBLISH: Final = re.compile(
    r"^/pub(?:#([A-Za-z0-9._-]{1,64}))? ([A-Za-z0-9][A-Za-z0-9._-]{0,127})"
    r" ([^\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]*)\r?\n",
    re.MULTILINE,
)


def parse_publishes(chunk: bytes) -> list[tuple[str, str, str]] | None:
    """
    Read a chunk of whole lines that are all ``/pub TOPIC TEXT`` as they are mostly typed, at once: programs send
    hundreds of them together, and this takes 0.5 µs a line where one by one they take 4.

    :return: for each line its label (empty: none), topic and text, all of them valid; None when there is any other
        line among them: then go line by line.
    """
    if not chunk.startswith(b"/pub"):
        return None
    try:
        found: list[tuple[str, str, str]] = _PUBLISH.findall(chunk.decode())
    except UnicodeDecodeError:
        return None
    # A match is one whole line: there are as many as lines, or some line is none.
    return found if len(found) == chunk.count(b"\n") else None


def split_options(rest: str) -> tuple[list[str], dict[str, str]]:
    """
    Separate ``key=value`` words from the others, for commands that take both. Keys are in lower case.

    :raises CommandError: ``bad-arguments``, a key was given twice.
    """
    arguments: list[str] = []
    options: dict[str, str] = {}
    for word in rest.split(" "):
        key, mark, value = word.partition("=")
        if not word:
            continue
        if not mark:
            arguments.append(word)
        elif key.lower() in options:
            raise CommandError("bad-arguments", "an option was given twice")
        else:
            options[key.lower()] = value
    return arguments, options


def split_text(rest: str) -> tuple[str, str | None]:
    """
    Separate the first word from the text behind it; None when no text was given.
    """
    word, mark, text = rest.lstrip(" ").partition(" ")
    return word, text if mark else None
