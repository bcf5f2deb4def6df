"""
What the processes of a cluster write, as lines of the cluster's log.

Each of them, the broker too, writes a log of its own to its standard output, and all of these are to be one that can be
read. So the time and the system with which a line begins are taken off, as the cluster's log has its own; the line is
logged at the level that it had there; and what each process tells of its start and its end when nothing is wrong is for
those who debug, since with several of them it would hide what matters.

One of ours that cannot go on tells why twice: its log, and with ``echochat:`` in front whoever has started it. Only the
first of the two is logged.

Twisted's own reader of such lines ends with an exception at one that is longer than 16 KiB. Here a line that is long is
taken as several, so that no process can have more than :data:`LONGEST_LINE` kept of it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

LONGEST_LINE: Final = 4_096
"""
Bytes of a line of a child that are logged as one.
"""

_STAMP: Final = re.compile(
    rb"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} )?"
    rb"(\[-\] |\[[A-Za-z_.]+#(?P<level>\w+)\] |\[\d+\] \[(?P<broker>[A-Z]+)\] )?"
)
"""
The time and the system with which a child's line begins.
"""

_ROUTINE: Final = re.compile(
    r"twistd \S+ \(.*\) starting up|reactor class: |\w+ starting on |\(\w+ Port .* Closed\)|Main loop terminated\.|"
    r"Server Shut Down\."
)
"""
What Twisted says in each child.
"""

_LEVELS: Final = {"warn": "warn", "error": "error", "critical": "error", "WRN": "warn", "ERR": "error", "FTL": "error"}
"""
Ours for those of Twisted and of the broker.
"""

_BROKERS_ROUTINE: Final = "INF"

_COMPLAINT: Final = "echochat: "
"""
How the line begins with which one of ours ends.
"""


@dataclass(frozen=True, slots=True)
class LogLine:
    """
    A line of a child.

    :param level: at which it is logged: ``debug``, ``info``, ``warn`` or ``error``.
    :param text: without its time and system.
    """

    level: str
    text: str

    def is_repeated(self, said: Iterable[str]) -> bool:
        """
        Whether it is a complaint that the child's log has already.

        :param said: the texts of what it said before.
        """
        return self.text.startswith(_COMPLAINT) and _without_mark(self.text) in map(_without_mark, said)


class Lines:
    """
    Makes lines of what comes in pieces: of one of the streams that a child writes.

    :ivar rest: the beginning of a line that has not ended.
    """

    def __init__(self) -> None:
        self.rest = b""

    def take(self, piece: bytes) -> list[bytes]:
        """
        :return: the lines that have ended, without their ends; one that is too long in several.
        """
        *lines, rest = (self.rest + piece).split(b"\n")
        while len(rest) > LONGEST_LINE:
            lines.append(rest[:LONGEST_LINE])
            rest = rest[LONGEST_LINE:]
        self.rest = rest
        return lines


def read_line(line: bytes) -> LogLine:
    """
    Read a line of a child, without its end.
    """
    stamp = _STAMP.match(line)
    assert stamp is not None
    text = line[stamp.end() :].decode("utf-8", "replace").rstrip("\r")
    level = (stamp["level"] or stamp["broker"] or b"").decode()
    is_routine = level == _BROKERS_ROUTINE or (level not in _LEVELS and _ROUTINE.match(text) is not None)
    return LogLine("debug" if is_routine else _LEVELS.get(level, "info"), text)


def last_words(said: Sequence[str]) -> str:
    """
    Why a child has ended, as far as it has said so: its complaint, if it made one as ours do, or what it said last.

    :param said: the texts of its last lines.
    """
    complaints = [line for line in said if line.startswith(_COMPLAINT)]
    return _without_mark(complaints[-1]) if complaints else (said[-1] if said else "it ended")


def _without_mark(text: str) -> str:
    return text.removeprefix(_COMPLAINT)
