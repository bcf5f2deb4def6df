"""
The other servers, and who is on them together.
"""

from collections.abc import Callable, Iterator

from echochat.chat.fellows.facts import Facts
from echochat.chat.fellows.fellow import Fellow, Population
from echochat.chat.fellows.outcomes import Moved
from echochat.wire.names import fold_name


class Roster:
    """
    What is known of all other servers. What changes of it in topics that are watched is told as it is of all of them
    together.

    :param is_watched: tells of a topic whether somebody here wants to know who comes and goes.
    """

    def __init__(self, is_watched: Callable[[str], bool]) -> None:
        self._is_watched = is_watched
        self._fellows: dict[str, Fellow] = {}

    # Called to ask who is there

    @property
    def fellows(self) -> list[Fellow]:
        """
        The other servers, in the order of their ids.
        """
        return [self._fellows[server] for server in sorted(self._fellows)]

    def name_of(self, topic: str, folded: str) -> str | None:
        """
        Under which name somebody follows a topic; None: they do not.
        """
        return self._name_of(topic, folded, None, None)

    def names(self, topic: str) -> Iterator[str]:
        """
        Who follows a topic; a name may come several times.
        """
        for fellow in self._fellows.values():
            yield from fellow.population.attendance(topic).names.values()

    def followers(self, topic: str) -> int:
        """
        How many subscriptions a topic has.
        """
        return sum(fellow.population.attendance(topic).followers for fellow in self._fellows.values())

    @property
    def topics(self) -> Iterator[str]:
        """
        The topics that are followed; one may come several times.
        """
        for fellow in self._fellows.values():
            yield from fellow.population.topics

    def has(self, name: str) -> bool:
        """
        Tell whether a guest has this name, which is written as names are compared. Those of a server that is missed
        are free: if it was killed, its guests are on their way to another, and want to be who they were.
        """
        return any(name in fellow.population.guests and fellow.missed is None for fellow in self._fellows.values())

    # Called when something was heard

    def find(self, server: str) -> Fellow | None:
        """
        A server, if it is known.
        """
        return self._fellows.get(server)

    def add(self, fellow: Fellow) -> None:
        """
        One more server.
        """
        self._fellows[fellow.server] = fellow

    def change(self, fellow: Fellow, facts: Facts) -> Iterator[Moved]:
        """
        Something has changed on a server.
        """
        population = fellow.population
        before = [
            (topic, name, population.name_of(topic, name))
            for topic, told in facts.topics.items()
            if self._is_watched(topic)
            for name in {fold_name(name) for name in (*told.left, *told.entered)}
        ]
        population.take(facts)
        for topic, folded, known in before:
            yield from self._moved(fellow, topic, folded, known, population.name_of(topic, folded))

    def replace(self, fellow: Fellow, population: Population) -> Iterator[Moved]:
        """
        These are all who are on a server now.
        """
        before, fellow.population = fellow.population, population
        topics = [topic for topic in {*before.topics, *population.topics} if self._is_watched(topic)]
        for topic, folded, known, name in before.differences(population, sorted(topics)):
            yield from self._moved(fellow, topic, folded, known, name)

    def drop(self, fellow: Fellow) -> Iterator[Moved]:
        """
        A server is gone, with all who were there.
        """
        yield from self.replace(fellow, Population())
        del self._fellows[fellow.server]

    # Ours

    def _moved(self, fellow: Fellow, topic: str, folded: str, known: str | None, name: str | None) -> Iterator[Moved]:
        before, after = (self._name_of(topic, folded, fellow, its) for its in (known, name))
        if before != after:
            yield Moved(topic, before, after)

    def _name_of(self, topic: str, folded: str, fellow: Fellow | None, its: str | None) -> str | None:
        """
        Under which name somebody follows a topic, if one of the servers says ``its``.
        """
        names = (its if each is fellow else each.population.name_of(topic, folded) for each in self._fellows.values())
        return next((name for name in names if name is not None), None)
