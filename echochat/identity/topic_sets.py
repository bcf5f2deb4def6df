"""
Sets of topics, as access rules and tokens write them: exact ones, and all that begin with something.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

from echochat.chat.policy import canonical_topic
from echochat.wire.names import is_topic


@dataclass(frozen=True, slots=True)
class TopicSet:
    """
    Some topics.

    :ivar exact: these.
    :ivar prefixes: and those that begin with one of these; an empty one is the beginning of all, inboxes included.
    """

    exact: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, patterns: Any) -> Self:
        """
        Read a list of patterns, of what is not known yet to be one.

        :raises ValueError: says what is wrong.
        """
        if not isinstance(patterns, list):
            raise ValueError("topics are a list of texts")
        for pattern in patterns:
            _check(pattern)
        exact = frozenset(canonical_topic(pattern) for pattern in patterns if not pattern.endswith("*"))
        prefixes = (canonical_topic(pattern[:-1]) for pattern in patterns if pattern.endswith("*"))
        return cls(exact, tuple(sorted(set(prefixes))))

    @classmethod
    def union(cls, sets: Iterable["TopicSet"]) -> Self:
        """
        What is in any of these.
        """
        exact: set[str] = set()
        prefixes: set[str] = set()
        for each in sets:
            exact.update(each.exact)
            prefixes.update(each.prefixes)
        return cls(frozenset(exact), tuple(sorted(prefixes)))

    def __contains__(self, topic: str) -> bool:
        """
        Tell whether a topic, as :func:`~echochat.chat.policy.canonical_topic` writes it, is one of these.
        """
        return topic in self.exact or topic.startswith(self.prefixes)

    @property
    def patterns(self) -> list[str]:
        """
        How these topics are written.
        """
        return sorted(self.exact | {f"{prefix}*" for prefix in self.prefixes})


NO_TOPIC: Final = TopicSet()
EVERY_TOPIC: Final = TopicSet(prefixes=("",))


def _check(pattern: Any) -> None:
    if not isinstance(pattern, str):
        raise ValueError("topics are a list of texts")
    beginning = pattern.removesuffix("*")
    if not (is_topic(beginning) or (pattern.endswith("*") and beginning in ("", "@"))):
        raise ValueError(f"{pattern!r} is neither a topic nor the beginning of one with a * behind it")
