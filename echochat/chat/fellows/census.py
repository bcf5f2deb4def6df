"""
What this server has to tell of its own people.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from echochat.chat.ban_book import BanRecord
from echochat.chat.fellows.facts import Facts, TopicFacts


class Topics(Protocol):
    """
    Who follows what on this server: the hub.
    """

    def followers_here(self, topic: str) -> int:
        """
        How many subscriptions a topic has.
        """

    @property
    def here(self) -> Iterator[tuple[str, list[str], int]]:
        """
        The topics that somebody follows: who, and how many subscriptions that are.
        """


class Names(Protocol):
    """
    Which names are in use on this server: its people.
    """

    @property
    def guests(self) -> Iterable[str]:
        """
        Names that guests have.
        """

    @property
    def reserved(self) -> Iterable[str]:
        """
        Names that somebody has shown to be theirs, as far as they are remembered.
        """


class Bans(Protocol):
    """
    What is known of who is banned.
    """

    @property
    def records(self) -> Iterable[BanRecord]:
        """
        All of it.
        """


class Census:
    """
    Collects what changes until it is told; what comes and goes again in between is not told at all.

    Of those who are here nothing is kept: everything, when somebody asks for that, is read from where it is.

    :ivar on_news: is called when there is something to tell and was nothing before.
    """

    def __init__(self, topics: Topics, names: Names, bans: Bans) -> None:
        self._topics = topics
        self._names = names
        self._bans = bans
        self.on_news: Callable[[], None] = _nothing
        # By topic: whether a name came or went, as :meth:`echochat.chat.hub.Hub` tells it to those who watch.
        self._presence: dict[str, dict[str, bool]] = {}
        self._guests: dict[str, bool] = {}
        self._shown: dict[str, None] = {}
        self._decided: list[BanRecord] = []

    # Called when something has changed

    def counted(self, topic: str) -> None:
        """
        The number of a topic's subscriptions has changed.
        """
        self._has_changed()
        self._presence.setdefault(topic, {})

    def moved(self, topic: str, name: str, came: bool) -> None:
        """
        A name's first subscription of a topic has begun, or its last has ended.
        """
        self._has_changed()
        _note(self._presence.setdefault(topic, {}), name, came)

    def named(self, name: str, came: bool) -> None:
        """
        A guest has a name now, or no guest has it any more.
        """
        self._has_changed()
        _note(self._guests, name, came)

    def showed(self, name: str) -> None:
        """
        Somebody has shown that a name is theirs.
        """
        self._has_changed()
        self._shown[name] = None

    def decided(self, record: BanRecord) -> None:
        """
        Somebody was banned, or a ban was lifted.
        """
        self._has_changed()
        self._decided.append(record)

    def leave_untold(self) -> None:
        """
        Nobody is told any more.
        """
        self.on_news = _nothing

    # Called when it is told

    @property
    def has_news(self) -> bool:
        """
        Whether something has changed.
        """
        return bool(self._presence or self._guests or self._shown or self._decided)

    def take_news(self) -> Facts:
        """
        What has changed since this was asked last.
        """
        facts = Facts(
            {topic: self._changes(topic, changes) for topic, changes in self._presence.items()},
            [name for name, came in self._guests.items() if came],
            [name for name, came in self._guests.items() if not came],
            list(self._shown),
            self._decided,
        )
        self._presence, self._guests, self._shown, self._decided = {}, {}, {}, []
        return facts

    @property
    def everything(self) -> Facts:
        """
        All that there is to tell.
        """
        return Facts(
            {topic: TopicFacts(followers, names) for topic, names, followers in self._topics.here},
            came=list(self._names.guests),
            shown=list(self._names.reserved),
            bans=list(self._bans.records),
        )

    def _has_changed(self) -> None:
        if not self.has_news:
            self.on_news()

    def _changes(self, topic: str, changes: dict[str, bool]) -> TopicFacts:
        return TopicFacts(
            self._topics.followers_here(topic),
            [name for name, came in changes.items() if came],
            [name for name, came in changes.items() if not came],
        )


def _nothing() -> None:
    """
    Nobody is told.
    """


def _note(changes: dict[str, bool], name: str, came: bool) -> None:
    if changes.get(name) is (not came):
        del changes[name]
    else:
        changes[name] = came
