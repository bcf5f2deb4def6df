"""
What follows from a message, for whoever carries it out.
"""

from dataclasses import dataclass
from typing import TypeAlias

from echochat.chat.ban_book import BanRecord
from echochat.chat.fellows.messages import Done, Order


@dataclass(frozen=True, slots=True)
class Send:
    """
    Send this.

    :ivar to: to this server; None: to all.
    """

    to: str | None
    data: bytes


@dataclass(frozen=True, slots=True)
class Met:
    """
    A server has come, and it is known who is there.
    """

    server: str
    place: str


@dataclass(frozen=True, slots=True)
class Lost:
    """
    A server has gone, with all who were there.

    :ivar why: a piece of a sentence.
    """

    server: str
    place: str
    why: str


@dataclass(frozen=True, slots=True)
class Moved:
    """
    On the other servers together somebody has begun to follow a topic, or follows it no more.

    :ivar before: the name, if they followed it; :ivar after: the name, if they do now. If both are there, they are
        written differently.
    """

    topic: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Displaced:
    """
    A guest here has a name that is a guest's of another server, who keeps it.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Shown:
    """
    Somebody elsewhere has shown that this name is theirs.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Banned:
    """
    Another server knows this of somebody: it may be news.
    """

    record: BanRecord


@dataclass(frozen=True, slots=True)
class Ordered:
    """
    An operator wants something done here.
    """

    order: Order


@dataclass(frozen=True, slots=True)
class Answered:
    """
    Another server has done what was asked.
    """

    done: Done


Outcome: TypeAlias = Send | Met | Lost | Moved | Displaced | Shown | Banned | Ordered | Answered
