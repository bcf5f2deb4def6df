"""
Tests for :mod:`echochat.identity.topic_sets`.
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.policy import canonical_topic
from echochat.identity.topic_sets import EVERY_TOPIC, NO_TOPIC, TopicSet
from echochat.wire.names import is_topic
from tests.wire.examples import reproducible

beginnings = st.from_regex(r"[ab@][aAb.]{0,3}", fullmatch=True)
topics = beginnings.filter(is_topic)
patterns = st.one_of(
    topics, beginnings.filter(lambda each: each == "@" or is_topic(each)).map("{}*".format), st.just("*")
)


def naively_in(topic: str, patterns: list[str]) -> bool:
    """
    The definition: an inbox is the same in any letter case, any other topic in its own only.
    """
    for pattern in patterns:
        if pattern.startswith("@"):
            pattern = pattern.lower()
        if pattern.endswith("*") and topic.startswith(pattern[:-1]):
            return True
        if topic == pattern:
            return True
    return False


class TopicSetTests(SynchronousTestCase):
    """
    Topics are written one by one, or by how they begin.
    """

    def test_exact_and_beginnings(self) -> None:
        """
        An exact topic is itself only; a ``*`` stands for anything, also nothing.
        """
        found = TopicSet.parse(["lobby", "news.*"])
        for topic, expected in (
            ("lobby", True),
            ("lobby2", False),
            ("Lobby", False),
            ("lobb", False),
            ("news.today", True),
            ("news.", True),
            ("news", False),
        ):
            self.assertEqual(topic in found, expected, topic)

    def test_inboxes(self) -> None:
        """
        An inbox is its owner's in any letter case; ``@*`` are all inboxes, and ``*`` are all topics and inboxes.
        """
        self.assertIn("@alice", TopicSet.parse(["@Alice"]))
        self.assertIn("@alice", TopicSet.parse(["@AL*"]))
        self.assertIn("@alice", TopicSet.parse(["@*"]))
        self.assertNotIn("lobby", TopicSet.parse(["@*"]))
        self.assertIn("@alice", TopicSet.parse(["*"]))
        self.assertEqual(TopicSet.parse(["*"]), EVERY_TOPIC)

    def test_none(self) -> None:
        """
        An empty list has no topic.
        """
        self.assertEqual(TopicSet.parse([]), NO_TOPIC)
        self.assertNotIn("lobby", NO_TOPIC)

    def test_wrong(self) -> None:
        """
        What is no list of patterns is refused with the reason.
        """
        wrongs: tuple[Any, ...] = (None, "lobby", 1, {"a": 1}, ("lobby",), [1], ["lobby", None], [["lobby"]])
        for wrong in wrongs:
            self.assertEqual(str(self.assertRaises(ValueError, TopicSet.parse, wrong)), "topics are a list of texts")
        for pattern in (
            "",
            "a b",
            "**",
            "*a",
            "a*b",
            "a**",
            ".a",
            ".*",
            "@",
            "@a@",
            "@@*",
            "a" * 129,
            "a" * 129 + "*",
            "ä",
        ):
            refused = str(self.assertRaises(ValueError, TopicSet.parse, ["lobby", pattern]))
            self.assertIn(repr(pattern), refused)

    @settings(reproducible, max_examples=100)
    @given(st.lists(patterns, max_size=4), st.lists(patterns, max_size=4), topics)
    def test_definition(self, some: list[str], others: list[str], topic: str) -> None:
        """
        A set has what its patterns say, a union what either has, and what is written of a set reads as the same set.
        """
        topic = canonical_topic(topic)
        first, second = TopicSet.parse(some), TopicSet.parse(others)
        self.assertEqual(topic in first, naively_in(topic, some))
        self.assertEqual(topic in TopicSet.union([first, second]), naively_in(topic, some + others))
        self.assertEqual(TopicSet.parse(first.patterns), first)
