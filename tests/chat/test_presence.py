"""
Tests for :mod:`echochat.chat.presence`.
"""

from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.presence import Presence


class PresenceTests(SynchronousTestCase):
    """
    A name is there once, however often it is subscribed.
    """

    def test_first_and_last(self) -> None:
        """
        The first subscription of a name and the end of its last are told apart from the others.
        """
        presence = Presence()
        self.assertTrue(presence.enter("alice"))
        self.assertFalse(presence.enter("alice"))
        self.assertTrue(presence.enter("bob"))
        self.assertEqual(presence.names, ["alice", "bob"])
        self.assertIsNone(presence.leave("alice"))
        self.assertEqual(presence.leave("alice"), "alice")
        self.assertEqual(presence.names, ["bob"])
        self.assertTrue(presence.enter("alice"))
        self.assertEqual(presence.names, ["bob", "alice"])

    def test_many_subscriptions(self) -> None:
        """
        A name is there until the last of its subscriptions has ended, however many there were.
        """
        presence = Presence()
        self.assertEqual([presence.enter("alice") for _ in range(4)], [True, False, False, False])
        self.assertEqual([presence.leave("alice") for _ in range(4)], [None, None, None, "alice"])
        self.assertEqual(presence.names, [])

    def test_letter_case(self) -> None:
        """
        A name is one in any letter case, and is known as it came first until it has gone.
        """
        presence = Presence()
        self.assertTrue(presence.enter("Alice"))
        self.assertFalse(presence.enter("aLICE"))
        self.assertEqual(presence.names, ["Alice"])
        self.assertIsNone(presence.leave("ALICE"))
        self.assertEqual(presence.names, ["Alice"])
        self.assertEqual(presence.leave("aLICE"), "Alice")
        self.assertEqual(presence.names, [])
