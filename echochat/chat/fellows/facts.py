"""
What a server tells of its people, and how that is cut into messages of a bounded size.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from echochat.chat.ban_book import BanRecord

PART: Final = 49_152
"""
About the most bytes of facts in one message: a broker takes 1 MiB, and one turn of a reactor reads several.
"""

_AT_ONCE: Final = 500


@dataclass(slots=True)
class TopicFacts:
    """
    What is told of a topic.

    :ivar followers: how many subscriptions the server has.
    :ivar entered: names that follow it there now; :ivar left: that do not any more.
    """

    followers: int
    entered: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Facts:
    """
    What is told: either of everything that there is, or of what has changed.

    :ivar came: names that guests have now, in one letter case; :ivar went: that are free again.
    :ivar shown: names that their owners have shown to be theirs.
    """

    topics: dict[str, TopicFacts] = field(default_factory=dict)
    came: list[str] = field(default_factory=list)
    went: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    bans: list[BanRecord] = field(default_factory=list)


class _Parts:
    """
    Parts that are being filled.
    """

    def __init__(self, most: int) -> None:
        self.all = [Facts()]
        self._most = self._room = most

    def fit(self, cost: int) -> Facts:
        """
        The part that takes so many bytes more; one that is empty takes any number.
        """
        if cost > self._room and self._room < self._most:
            self.all.append(Facts())
            self._room = self._most
        self._room -= cost
        return self.all[-1]


def split(facts: Facts, most: int = PART) -> list[Facts]:
    """
    Cut into parts that fit into a message each; together, and in this order, they say the same. There is at least one.

    :param most: bytes of a part.
    """
    parts = _Parts(most)
    for topic, told in facts.topics.items():
        # What stands around it in a message, and a count.
        name = len(topic) + 40
        if len(told.entered) + len(told.left) <= _AT_ONCE:
            parts.fit(name + _size(told.entered) + _size(told.left)).topics[topic] = told
            continue
        for names in _batches(told.left):
            _topic(parts.fit(name + _size(names)), topic, told.followers).left += names
        for names in _batches(told.entered):
            _topic(parts.fit(name + _size(names)), topic, told.followers).entered += names
    for names in _batches(facts.went):
        parts.fit(_size(names)).went += names
    for names in _batches(facts.came):
        parts.fit(_size(names)).came += names
    for names in _batches(facts.shown):
        parts.fit(_size(names)).shown += names
    for record in facts.bans:
        parts.fit(len(record.who) + 50).bans.append(record)
    return parts.all


def _topic(part: Facts, topic: str, followers: int) -> TopicFacts:
    return part.topics.setdefault(topic, TopicFacts(followers))


def _batches(names: list[str]) -> Iterator[list[str]]:
    return (names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE))


def _size(names: list[str]) -> int:
    # Quotes and a comma.
    return sum(map(len, names)) + 3 * len(names)
