"""
One other server, as far as it has told of its people.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from echochat.chat.fellows.facts import Facts
from echochat.wire.names import fold_name


@dataclass(slots=True)
class Attendance:
    """
    Who follows a topic on a server.

    :ivar names: by the form in which names are compared.
    :ivar followers: how many subscriptions they have.
    """

    names: dict[str, str] = field(default_factory=dict)
    followers: int = 0


NOBODY = Attendance()
"""
A topic that is not followed. Not to be changed.
"""


@dataclass(slots=True)
class Population:
    """
    The people of a server.

    :ivar guests: names that its guests have, in the form in which names are compared.
    """

    topics: dict[str, Attendance] = field(default_factory=dict)
    guests: set[str] = field(default_factory=set)

    def attendance(self, topic: str) -> Attendance:
        """
        Who follows a topic.
        """
        return self.topics.get(topic, NOBODY)

    def take(self, facts: Facts) -> None:
        """
        This is so now.
        """
        for topic, told in facts.topics.items():
            there = self.topics.get(topic)
            if there is None:
                there = self.topics[topic] = Attendance()
            # In this order: somebody whose name is written differently now has left and entered.
            for name in told.left:
                there.names.pop(fold_name(name), None)
            for name in told.entered:
                there.names[fold_name(name)] = name
            there.followers = told.followers
            if not there.names and not there.followers:
                del self.topics[topic]
        self.guests.difference_update(map(fold_name, facts.went))
        self.guests.update(map(fold_name, facts.came))

    def name_of(self, topic: str, folded: str) -> str | None:
        """
        Under which name somebody follows a topic; None: they do not.
        """
        return self.attendance(topic).names.get(folded)

    def differences(
        self, other: "Population", topics: Iterable[str]
    ) -> Iterator[tuple[str, str, str | None, str | None]]:
        """
        What is otherwise in another: of these topics each name, as names are compared, and how it is written here and
        there; None: it is not.
        """
        for topic in topics:
            here, there = self.attendance(topic).names, other.attendance(topic).names
            for folded in dict.fromkeys((*here, *there)):
                one, another = here.get(folded), there.get(folded)
                if one != another:
                    yield topic, folded, one, another


@dataclass(slots=True)
class Telling:
    """
    Everything of a server, while it comes in parts.

    :ivar number: what all its parts have.
    """

    number: int
    population: Population = field(default_factory=Population)
    parts: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Fellow:
    """
    Another server.

    :ivar until: when its people are gone unless it is heard of, on a clock that never jumps.
    :ivar seq: the number of its last news that is known here; None: everything has to be asked for.
    :ivar telling: everything, as far as it has come.
    :ivar ask_again: not before this is it asked for everything once more.
    :ivar missed: since when nothing is heard of it that should have been; None: it was heard of of late.
    """

    server: str
    until: float
    lease: float
    place: str = ""
    seq: int | None = None
    population: Population = field(default_factory=Population)
    telling: Telling | None = None
    ask_again: float = float("-inf")
    missed: float | None = None
