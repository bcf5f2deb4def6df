"""
Tests for :mod:`echochat.chat.interests`.
"""

from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.interests import Interests
from echochat.chat.person import Person
from echochat.wire.commands import CommandError
from tests.chat.conversation import make_commons


class InterestsTests(SynchronousTestCase):
    """
    A user follows so many topics at most, each counted once.
    """

    def setUp(self) -> None:
        self.interests = Interests(2)

    def person(self, name: str, kind: str = "password") -> Person:
        person = Person(make_commons(), None)
        person.become(name, kind, lambda: None)
        return person

    def refused(self, person: Person, topic: str) -> bool:
        """
        Tell whether it is, as the protocol has it.
        """
        try:
            self.interests.require_room(person, topic)
        except CommandError as error:
            self.assertEqual(error.code, "too-many")
            self.assertIn("topics of a user", error.explanation)
            return True
        return False

    def test_each_topic_once(self) -> None:
        """
        However a user's name is written, and however often a topic is followed, it is one, until nobody follows it.
        """
        alice, also = self.person("alice"), self.person("Alice", "token")
        begun = [
            (self.interests.begin(person, topic), topic)
            for person, topic in [(alice, "a"), (also, "a"), (also, "b"), (alice, "b")]
        ]
        self.assertTrue(self.refused(alice, "c"))
        self.assertTrue(self.refused(also, "c"))
        self.assertFalse(self.refused(also, "a"))
        self.assertFalse(self.refused(self.person("bob"), "c"))
        self.interests.end(*begun[0])
        self.assertTrue(self.refused(alice, "c"))
        self.interests.end(*begun[1])
        self.assertFalse(self.refused(alice, "c"))
        for each in begun[2:]:
            self.interests.end(*each)
        self.assertEqual(self.interests.users, [])

    def test_guests(self) -> None:
        """
        Guests are not counted: of what they begin nothing has to be kept.
        """
        guest = Person(make_commons(), None)
        for topic in "abc":
            self.assertFalse(self.refused(guest, topic))
            self.interests.end(self.interests.begin(guest, topic), topic)
        self.assertEqual(self.interests.users, [])
