"""
Access rules: who may do what with which topics, and why.

Without rules everybody may do everything that the protocol itself allows. With them, only what a rule allows; no rule
forbids anything, so their order does not matter. Two things stand above the rules: an inbox (``@NAME``) is read by its
owner, and by nobody else; and a token that grants topics narrows what its owner may do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from echochat.chat.policy import canonical_topic, may_read
from echochat.identity.accounts import RESERVED
from echochat.identity.tokens import Grants
from echochat.identity.topic_sets import EVERY_TOPIC, TopicSet
from echochat.wire.names import fold_name

Action: TypeAlias = Literal["read", "publish", "administer"]

ACTIONS: Final[tuple[Action, ...]] = get_args(Action)


@dataclass(frozen=True, slots=True)
class Rule:
    """
    Some people may do something with some topics.

    :ivar who: the words for them, see :attr:`Person.words`.
    :ivar line: where it is in its file.
    """

    who: frozenset[str]
    may: frozenset[Action]
    topics: TopicSet
    line: int


@dataclass(frozen=True, slots=True)
class Person:
    """
    Somebody, as rules see them.

    :ivar groups: folded.
    :ivar grants: what their token says; None: nothing.
    """

    name: str
    groups: frozenset[str] = frozenset()
    is_guest: bool = False
    grants: Grants | None = None

    @property
    def words(self) -> frozenset[str]:
        """
        All words by which a rule means this person. A guest is not meant by name: guests choose their names.
        """
        if self.is_guest:
            return frozenset({"*", "guest"})
        own = {fold_name(self.name)} - RESERVED
        return frozenset({"*", "user", *own, *(f"@{group}" for group in self.groups)})


@dataclass(frozen=True, slots=True)
class Decision:
    """
    Whether something is allowed.

    :ivar why: a sentence for whoever writes the rules.
    :ivar line: of the rule that allows it; None: no rule does.
    """

    allowed: bool
    why: str
    line: int | None = None


def decide(rules: Sequence[Rule] | None, person: Person, action: Action, topic: str) -> Decision:
    """
    Decide, and say why.

    :param rules: None: there are none to keep to.
    """
    topic = canonical_topic(topic)
    if action == "read" and not may_read(person.name, topic):
        return Decision(False, f"only {topic[1:]} may read this inbox, whatever the rules say")
    if person.grants is not None and topic not in getattr(person.grants, action):
        return Decision(False, f"the token does not grant to {action} {topic}")
    if action == "read" and topic.startswith("@"):
        return Decision(True, "everybody may read their own inbox, whatever the rules say")
    if rules is None:
        return Decision(True, "there are no access rules")
    for rule in rules:
        if action in rule.may and topic in rule.topics and not rule.who.isdisjoint(person.words):
            return Decision(True, f"the rule in line {rule.line} allows it", rule.line)
    return Decision(False, f"no rule allows {person.name} to {action} {topic}")


class Permissions:
    """
    What one person may do: what :func:`decide` says, put together beforehand, because it is asked for with every
    publish (0.1 µs). Topics are as :func:`~echochat.chat.policy.canonical_topic` writes them.
    """

    __slots__ = ("_administer", "_grants", "_inbox", "_publish", "_read")

    def __init__(self, rules: Sequence[Rule] | None, person: Person) -> None:
        self._inbox = f"@{fold_name(person.name)}"
        self._read = _allowed(rules, person, "read")
        self._publish = _allowed(rules, person, "publish")
        self._administer = _allowed(rules, person, "administer")
        self._grants = person.grants

    def may_read(self, topic: str) -> bool:
        """
        Tell whether this person may subscribe to a topic and read it.
        """
        allowed = topic == self._inbox if topic.startswith("@") else topic in self._read
        return allowed and (self._grants is None or topic in self._grants.read)

    def may_publish(self, topic: str) -> bool:
        """
        Tell whether this person may publish to a topic; to an inbox this is to write to its owner.
        """
        return topic in self._publish and (self._grants is None or topic in self._grants.publish)

    def may_administer(self, topic: str) -> bool:
        """
        Tell whether this person may administer a topic.
        """
        return topic in self._administer and (self._grants is None or topic in self._grants.administer)


def _allowed(rules: Sequence[Rule] | None, person: Person, action: Action) -> TopicSet:
    if rules is None:
        return EVERY_TOPIC
    words = person.words
    return TopicSet.union(rule.topics for rule in rules if action in rule.may and not rule.who.isdisjoint(words))
