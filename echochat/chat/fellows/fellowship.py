"""
The servers of a cluster tell one another who is there: what each has to say, and what it makes of what it hears.

The package says how this works, and why.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from echochat.chat.fellows.census import Census
from echochat.chat.fellows.encoding import decode, encode
from echochat.chat.fellows.facts import Facts, split
from echochat.chat.fellows.fellow import Fellow, Telling
from echochat.chat.fellows.messages import (
    Alive,
    Ask,
    Everything,
    Farewell,
    Hello,
    Message,
    News,
    Order,
)
from echochat.chat.fellows.outcomes import Answered, Banned, Displaced, Lost, Met, Ordered, Outcome, Send, Shown
from echochat.chat.fellows.roster import Roster
from echochat.wire.names import fold_name

MISSED: Final = 0.25
"""
The part of its lease for which nothing was heard of a server when the names of its guests may be taken by others. Its
people are still there for those who ask: most servers that are silent for a moment go on to speak.
"""


class Fellowship:
    """
    This server among the others.

    :param server: this server's id, of this start: 8 to 32 lower-case letters and digits.
    :param lease: seconds for which others believe that it is there without hearing of it.
    :param place: where it runs, for people.
    :param census: what there is to tell of its own people.
    :param is_watched: tells of a topic whether somebody here wants to know who comes and goes.
    :param is_guests: tells of a name whether a guest here has it.
    """

    def __init__(
        self,
        server: str,
        lease: float,
        place: str,
        census: Census,
        is_watched: Callable[[str], bool],
        is_guests: Callable[[str], bool],
    ) -> None:
        self.server = server
        self.lease = lease
        self._place = place
        self._census = census
        self._is_guests = is_guests
        self._seq = 0
        self._tellings = 0
        self._roster = Roster(is_watched)
        self._looked: float | None = None

    # Called by the hub and the people of this server: see :class:`echochat.chat.elsewhere.Elsewhere`

    def entered(self, topic: str, name: str) -> str | None:
        self._census.moved(topic, name, True)
        return self._roster.name_of(topic, fold_name(name))

    def left(self, topic: str, name: str) -> str | None:
        self._census.moved(topic, name, False)
        return self._roster.name_of(topic, fold_name(name))

    def counted(self, topic: str) -> None:
        self._census.counted(topic)

    def took(self, name: str) -> None:
        self._census.named(name, True)

    def gave_up(self, name: str) -> None:
        self._census.named(name, False)

    def showed(self, name: str) -> None:
        self._census.showed(name)

    def names(self, topic: str) -> Iterable[str]:
        return self._roster.names(topic)

    def followers(self, topic: str) -> int:
        return self._roster.followers(topic)

    @property
    def topics(self) -> Iterable[str]:
        return self._roster.topics

    def has(self, name: str) -> bool:
        return self._roster.has(name)

    # Called by whoever carries the messages

    @property
    def fellows(self) -> list[Fellow]:
        """
        The other servers that are there, as far as is known, in the order of their ids.
        """
        return self._roster.fellows

    def greet(self) -> bytes:
        """
        To be sent to all at the start, and when they can be reached again.
        """
        return encode(Hello(self._alive))

    def beat(self) -> bytes:
        """
        To be sent to all, several times within a lease.
        """
        return encode(self._alive)

    def news(self) -> list[bytes]:
        """
        To be sent to all in this order; if they cannot be, they will ask.
        """
        if not self._census.has_news:
            return []
        messages = []
        for facts in split(self._census.take_news()):
            self._seq += 1
            messages.append(encode(News(self.server, self._seq, facts)))
        return messages

    def leave(self) -> bytes:
        """
        To be sent to all as the last thing.
        """
        return encode(Farewell(self.server))

    def look(self, now: float) -> list[Outcome]:
        """
        See whether leases have ended. To be called several times within a lease.

        :param now: seconds of a clock that never jumps.
        """
        asleep = self._looked is not None and now - self._looked > self.lease / 4
        self._looked = now
        if asleep:
            # It is this server that was away, and what the others said meanwhile has not been read yet.
            for fellow in self.fellows:
                fellow.until, fellow.missed = max(fellow.until, now + fellow.lease), None
        outcomes: list[Outcome] = []
        for fellow in self.fellows:
            if fellow.until <= now:
                outcomes += self._drop(fellow, f"it was not heard of for {fellow.lease:g} s")
            elif fellow.missed is None and fellow.until - now <= fellow.lease * (1 - MISSED):
                fellow.missed = now
        return outcomes

    def receive(self, data: bytes, now: float) -> list[Outcome]:
        """
        A message has come, from another server or from this one.

        :param now: seconds of a clock that never jumps.
        :raises MalformedMessage: leave it alone.
        """
        message = decode(data)
        if message.server == self.server:
            return []
        return [*self._find_again(message.server), *self._take(message, now)]

    # Ours

    @property
    def _alive(self) -> Alive:
        return Alive(self.server, self._seq, self.lease, self._place)

    def _take(self, message: Message, now: float) -> Iterator[Outcome]:
        match message:
            case Alive():
                yield from self._heard(message, now)
            case Hello(alive):
                yield from self._heard(alive, now)
                yield Send(message.server, self.beat())
            case News():
                yield from self._learn(message, now)
            case Everything():
                yield from self._gather(message, now)
            case Ask():
                yield from self._tell_everything(message.server)
            case Farewell():
                fellow = self._roster.find(message.server)
                if fellow is not None:
                    yield from self._drop(fellow, "it was stopped")
            case Order():
                yield Ordered(message)
            case _:
                yield Answered(message)

    def _find_again(self, server: str) -> Iterator[Outcome]:
        fellow = self._roster.find(server)
        if fellow is not None and fellow.missed is not None:
            # Its guests have their names again, and somebody may have taken one of them meanwhile.
            fellow.missed = None
            yield from self._displace(server, fellow.population.guests)

    def _heard(self, alive: Alive, now: float) -> Iterator[Outcome]:
        fellow = self._fellow(alive.server, alive.lease, now)
        fellow.place = alive.place
        if fellow.seq is None or fellow.seq < alive.seq:
            yield from self._ask(fellow, now)

    def _learn(self, news: News, now: float) -> Iterator[Outcome]:
        fellow = self._fellow(news.server, None, now)
        if fellow.seq is None or fellow.seq + 1 < news.seq:
            yield from self._ask(fellow, now)
        elif fellow.seq + 1 == news.seq:
            fellow.seq = news.seq
            yield from self._roster.change(fellow, news.facts)
            yield from self._note(fellow.server, news.facts)

    def _gather(self, told: Everything, now: float) -> Iterator[Outcome]:
        fellow = self._fellow(told.server, told.alive.lease, now)
        fellow.place = told.alive.place
        fellow.ask_again = now + self._patience
        if fellow.seq is not None and told.alive.seq <= fellow.seq:
            return
        telling = fellow.telling
        if telling is None or telling.number < told.telling:
            telling = fellow.telling = Telling(told.telling)
        if telling.number == told.telling:
            telling.population.take(told.facts)
            telling.parts.add(told.part)
            yield from self._note(fellow.server, told.facts)
            if len(telling.parts) == told.parts:
                if fellow.seq is None:
                    yield Met(fellow.server, fellow.place)
                fellow.seq, fellow.telling = told.alive.seq, None
                yield from self._roster.replace(fellow, telling.population)

    def _tell_everything(self, to: str) -> Iterator[Outcome]:
        # What has changed first: then everything is as of that number, for the others as well.
        for message in self.news():
            yield Send(None, message)
        self._tellings += 1
        parts = split(self._census.everything)
        for number, facts in enumerate(parts, 1):
            yield Send(to, encode(Everything(self._alive, self._tellings, number, len(parts), facts)))

    def _fellow(self, server: str, lease: float | None, now: float) -> Fellow:
        fellow = self._roster.find(server)
        if fellow is None:
            fellow = Fellow(server, now, self.lease)
            self._roster.add(fellow)
        if lease is not None:
            fellow.lease = lease
        fellow.until = now + fellow.lease
        return fellow

    @property
    def _patience(self) -> float:
        return self.lease / 10

    def _ask(self, fellow: Fellow, now: float) -> Iterator[Outcome]:
        if now >= fellow.ask_again:
            fellow.ask_again = now + self._patience
            yield Send(fellow.server, encode(Ask(self.server)))

    def _drop(self, fellow: Fellow, why: str) -> Iterator[Outcome]:
        yield Lost(fellow.server, fellow.place, why)
        yield from self._roster.drop(fellow)

    def _displace(self, server: str, names: Iterable[str]) -> Iterator[Outcome]:
        for name in names:
            if server < self.server and self._is_guests(name):
                yield Displaced(name)

    def _note(self, server: str, facts: Facts) -> Iterator[Outcome]:
        yield from self._displace(server, facts.came)
        for name in facts.shown:
            yield Shown(name)
        for record in facts.bans:
            yield Banned(record)
