"""
What servers of a cluster say to one another.
"""

from dataclasses import dataclass
from typing import TypeAlias

from echochat.chat.ban_book import BanRecord
from echochat.chat.fellows.facts import Facts


@dataclass(frozen=True, slots=True)
class Alive:
    """
    A server is there.

    :ivar seq: the number of its last news.
    :ivar lease: seconds after which it is not, if nothing more is heard of it.
    :ivar place: where it runs, for people.
    """

    server: str
    seq: int
    lease: float
    place: str


@dataclass(frozen=True, slots=True)
class Hello:
    """
    As :class:`Alive`, and everybody is asked to say the same to it.
    """

    alive: Alive

    @property
    def server(self) -> str:
        """
        Who says so.
        """
        return self.alive.server


@dataclass(frozen=True, slots=True)
class News:
    """
    What has changed since the news before.
    """

    server: str
    seq: int
    facts: Facts


@dataclass(frozen=True, slots=True)
class Everything:
    """
    A part of all that there is to tell.

    :ivar alive: with the number of the last news that is in it.
    :ivar telling: a number that all parts have; it grows, and what is told under another may be cut otherwise.
    :ivar part: which one, from 1; :ivar parts: how many there are.
    """

    alive: Alive
    telling: int
    part: int
    parts: int
    facts: Facts

    @property
    def server(self) -> str:
        """
        Of whom this is everything.
        """
        return self.alive.server


@dataclass(frozen=True, slots=True)
class Ask:
    """
    Tell me everything.
    """

    server: str


@dataclass(frozen=True, slots=True)
class Farewell:
    """
    A server stops, and nobody is there any more.
    """

    server: str


@dataclass(frozen=True, slots=True)
class Order:
    """
    An operator wants somebody's connections closed.

    :ivar number: goes with the answer.
    :ivar who: a name or an address.
    :ivar ban: because of this; None: it is a kick.
    """

    server: str
    number: int
    who: str
    ban: BanRecord | None


@dataclass(frozen=True, slots=True)
class Done:
    """
    An order was carried out.

    :ivar closed: how many connections were closed.
    """

    server: str
    number: int
    closed: int


Message: TypeAlias = Alive | Hello | News | Everything | Ask | Farewell | Order | Done
