"""
Tests for :mod:`echochat.chat.people`.
"""

from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.people import MOST_RESERVED, NameTaken, People


class PeopleTests(SynchronousTestCase):
    """
    A name is one person's at a time.
    """

    def test_newcomers_have_names_of_their_own(self) -> None:
        """
        A newcomer's name is one that nobody has, be it chosen by another newcomer or an account's.
        """
        suffixes = iter("aabc")
        people = People(lambda: next(suffixes), lambda name: name == "guest-b")
        self.assertEqual([people.admit_guest(), people.admit_guest()], ["guest-a", "guest-c"])

    def test_names_cannot_be_guessed(self) -> None:
        """
        By default a newcomer's name tells nothing of how many came before.
        """
        people = People()
        names = {people.admit_guest() for _ in range(100)}
        self.assertEqual(len(names), 100)
        for name in names:
            self.assertRegex(name, r"\Aguest-[0-9a-f]{8}\Z")

    def test_claim_and_release(self) -> None:
        """
        A name that was given back can be taken, in any letter case; to give back what nobody has does nothing.
        """
        people = People()
        people.claim("Bob")
        self.assertRaises(NameTaken, people.claim, "bOB")
        people.release("BOB")
        people.release("BOB")
        people.claim("bob")

    def test_rename(self) -> None:
        """
        The old name is free when the new one is taken, and kept when it cannot be.
        """
        people = People()
        people.claim("bob")
        people.claim("alice")
        self.assertRaises(NameTaken, people.rename, "bob", "ALICE")
        self.assertRaises(NameTaken, people.claim, "bob")
        people.rename("bob", "Bob")
        self.assertRaises(NameTaken, people.claim, "bob")
        people.rename("Bob", "carol")
        people.claim("bob")
        self.assertRaises(NameTaken, people.claim, "carol")

    def test_taken_before_it_was_shown(self) -> None:
        """
        A guest who had a name before somebody showed it to be theirs is known to have it, until it is given up.
        """
        people = People()
        people.claim("Bob")
        people.reserve("bob")
        self.assertTrue(people.is_guests("BOB"))
        people.release("bob")
        self.assertFalse(people.is_guests("bob"))

    def test_reserved(self) -> None:
        """
        A name that somebody has shown to be theirs is no guest's, though nobody with it is here now; only so many are
        remembered, those shown last.
        """
        people = People()
        people.reserve("Bob")
        for number in range(MOST_RESERVED - 1):
            people.reserve(f"bob-{number}")
        people.reserve("bob")
        self.assertRaises(NameTaken, people.claim, "BOB")
        self.assertRaises(NameTaken, people.claim, "bob-0")
        people.reserve("one-more")
        people.claim("bob-0")
        self.assertRaises(NameTaken, people.claim, "bob")
        self.assertRaises(NameTaken, people.claim, "bob-1")
