"""
Tests for :mod:`echochat.chat.fellows.fellow`.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.fellows.facts import Facts, TopicFacts
from echochat.chat.fellows.fellow import Population
from tests.wire.examples import reproducible

NAMES = st.sampled_from(["alice", "bob", "Bob", "BOB", "carol"])
PEOPLE = st.dictionaries(st.sampled_from(["lobby", "games"]), st.lists(NAMES, max_size=4))


def populate(people: dict[str, list[str]]) -> Population:
    """
    A server on which these follow topics.
    """
    population = Population()
    population.take(Facts({topic: TopicFacts(len(names), names) for topic, names in people.items()}))
    return population


class PopulationTests(SynchronousTestCase):
    """
    The people of another server.
    """

    def test_what_is_told(self) -> None:
        """
        Names come and go as they are told, whatever their letter case; a topic that nobody follows is not there.
        """
        population = populate({"lobby": ["alice", "Bob"]})
        population.take(Facts({"lobby": TopicFacts(1, [], ["bob", "carol"])}, came=["erin", "dave"], went=["frank"]))
        self.assertEqual((population.name_of("lobby", "alice"), population.name_of("lobby", "bob")), ("alice", None))
        self.assertEqual(population.attendance("lobby").followers, 1)
        self.assertEqual(population.guests, {"dave", "erin"})
        population.take(Facts({"lobby": TopicFacts(0, [], ["alice"])}, went=["erin"]))
        self.assertEqual((population.topics, population.guests), ({}, {"dave"}))
        self.assertEqual(population.attendance("lobby").followers, 0)

    def test_written_otherwise(self) -> None:
        """
        Who left under one name and entered under another that is the same but for letter case is there.
        """
        population = populate({"lobby": ["bob"]})
        population.take(Facts({"lobby": TopicFacts(1, ["Bob"], ["bob"])}))
        self.assertEqual(population.name_of("lobby", "bob"), "Bob")

    @settings(reproducible, max_examples=200)
    @given(PEOPLE, PEOPLE)
    def test_differences(self, here: dict[str, list[str]], there: dict[str, list[str]]) -> None:
        """
        The differences are what turns one into another, each name once, and there are none between equals.
        """
        one, another = populate(here), populate(there)
        topics = ("lobby", "games")
        differences = [*one.differences(another, topics)]
        self.assertEqual(len({(topic, folded) for topic, folded, _, _ in differences}), len(differences))
        for topic, folded, before, after in differences:
            self.assertNotEqual(before, after)
            self.assertEqual((one.name_of(topic, folded), another.name_of(topic, folded)), (before, after))
            names = one.topics.setdefault(topic, type(one.attendance(topic))()).names
            names.pop(folded, None)
            if after is not None:
                names[folded] = after
        for topic in topics:
            self.assertEqual(one.attendance(topic).names, another.attendance(topic).names)
        self.assertEqual([*another.differences(another, topics)], [])
