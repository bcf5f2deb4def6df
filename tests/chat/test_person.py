"""
Tests for :mod:`echochat.chat.person`.
"""

from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.effects import Renamed
from echochat.chat.people import NameTaken
from echochat.chat.person import Commons, Need, Person
from echochat.chat.policy import Allowance, Permissions
from echochat.wire.commands import CommandError
from tests.chat.conversation import make_commons


class Topics:
    """
    Permissions to read and to publish to these topics.
    """

    def __init__(self, *topics: str) -> None:
        self.topics = topics

    def may_read(self, topic: str) -> bool:
        return topic in self.topics

    def may_publish(self, topic: str) -> bool:
        return topic in self.topics


class Rules:
    """
    Permissions as they are now: they can be exchanged.
    """

    def __init__(self, *topics: str) -> None:
        self.permissions: Permissions | None = Topics(*topics)
        self.asked = 0

    def ask(self, person: Person | None = None) -> Permissions | None:
        self.asked += 1
        return self.permissions


class PersonTests(SynchronousTestCase):
    """
    Everybody may do what the rules of the moment allow to whoever they have shown to be.
    """

    def with_rules(self, rules: Rules) -> Commons:
        commons = make_commons()
        commons.permissions_of = rules.ask
        return commons

    def assert_denied(self, person: Person, topics: Iterable[str], code: str = "denied") -> None:
        for topic in topics:
            self.assertEqual(self.assertRaises(CommandError, person.require_publish, topic).code, code)
            self.assertEqual(self.assertRaises(CommandError, person.require_read, topic).code, code)
            self.assertFalse(person.reads(topic))

    def test_without_rules(self) -> None:
        """
        Without rules everybody may use every topic, but read no inbox other than their own.
        """
        person = Person(make_commons(), None)
        person.rename("Bob")
        for topic in ("lobby", "@bob"):
            person.require_publish(topic)
            person.require_read(topic)
            self.assertTrue(person.reads(topic))
        person.require_publish("@alice")
        self.assertEqual(self.assertRaises(CommandError, person.require_read, "@alice").code, "denied")
        self.assertFalse(person.reads("@alice"))
        self.assertFalse(person.is_limited)

    def test_with_rules(self) -> None:
        """
        With rules nobody may do what they do not allow; an inbox stays its owner's, whatever they say.
        """
        person = Person(self.with_rules(Rules("lobby", "@alice")), None)
        person.require_publish("lobby")
        person.require_read("lobby")
        self.assert_denied(person, ["other"])
        person.require_publish("@alice")
        self.assertFalse(person.reads("@alice"))
        self.assertTrue(person.is_limited)

    def test_rules_are_asked_once(self) -> None:
        """
        The rules are read once for a person, and again when they have changed.
        """
        rules = Rules("lobby")
        person = Person(self.with_rules(rules), None)
        for _ in range(2):
            person.require_read("lobby")
        self.assertEqual(rules.asked, 1)
        rules.permissions = Topics("other")
        person.require_read("lobby")
        person.forget_permissions()
        person.require_read("other")
        self.assert_denied(person, ["lobby"])

    def test_another_name_has_other_rights(self) -> None:
        """
        Rules are for names: who takes another has the rights of that name.
        """
        rules = Rules("lobby")
        person = Person(self.with_rules(rules), None)
        person.require_read("lobby")
        rules.permissions = Topics("other")
        person.rename("bob")
        self.assert_denied(person, ["lobby"])

    def test_rights_of_a_login(self) -> None:
        """
        Who has logged in has the rights that came with the login, not a guest's.
        """
        person = Person(self.with_rules(Rules("lobby")), None)
        person.require_read("lobby")
        own = Rules("own")
        person.become("root", "password", own.ask)
        person.require_read("own")
        self.assert_denied(person, ["lobby"])
        own.permissions = None
        person.forget_permissions()
        person.require_read("anything")

    def test_name_that_nobody_saw(self) -> None:
        """
        Who logs in before a name was needed was never known as a guest: there is nothing to tell.
        """
        person = Person(make_commons(), None)
        self.assertIsNone(person.known_name)
        self.assertIsNone(person.become("root", "password", lambda: None))
        self.assertEqual((person.known_name, person.name, person.kind), ("root", "root", "password"))

    def test_name_of_one_who_logs_in_again(self) -> None:
        """
        The name of somebody who had logged in is not given to guests when another login replaces it.
        """
        commons = make_commons()
        person = Person(commons, None)
        person.become("bot", "certificate", lambda: None)
        self.assertEqual(person.become("root", "password", lambda: None), Renamed("bot", "root"))
        self.assertRaises(NameTaken, commons.people.claim, "BOT")
        person.leave()
        self.assertRaises(NameTaken, commons.people.claim, "root")

    def test_guests_name_is_free_afterwards(self) -> None:
        """
        A guest's name is free when the guest logs in or leaves.
        """
        commons = make_commons()
        for leave in (Person.leave, lambda person: person.become("root", "password", lambda: None)):
            person = Person(commons, None)
            person.rename("bob")
            self.assertRaises(NameTaken, commons.people.claim, "bob")
            leave(person)
            commons.people.claim("bob")
            commons.people.release("bob")

    def test_needs(self) -> None:
        """
        What guests may do is the server's to say; whoever has logged in lacks nothing.
        """
        for guests, lacking in (("yes", set()), ("echo", {Need.ALL}), ("no", {Need.ECHO, Need.ALL})):
            person = Person(make_commons(guests), None)
            self.assertEqual({need for need in Need if person.lacks(need)}, lacking)
            for need in lacking:
                self.assertEqual(self.assertRaises(CommandError, person.require, need).code, "not-logged-in")
            self.assertEqual(person.reads("lobby"), not lacking)
            person.become("root", "password", lambda: None)
            self.assertFalse([need for need in Need if person.lacks(need)])
            self.assertTrue(person.reads("lobby"))

    def test_allowance(self) -> None:
        """
        A guest may publish so much and is told when to go on; who has logged in may go on at once.
        """
        person = Person(make_commons(), Allowance(1, 0.3, 0))
        self.assertTrue(person.is_limited)
        person.require_publish("lobby")
        error = self.assertRaises(CommandError, person.require_publish, "lobby")
        self.assertEqual(error.code, "slow-down")
        self.assertIn("again in 3.4 seconds", error.explanation)
        person.become("root", "password", lambda: None)
        person.require_publish("lobby")
        self.assertFalse(person.is_limited)
