"""
Tests for :mod:`echochat.chat.effects`.
"""

from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.effects import LogIn, Publish, UseToken
from echochat.chat.events import Draft
from echochat.chat.replies import Slot


class PublishTests(SynchronousTestCase):
    """
    Each publish of a run is acknowledged by itself.
    """

    def test_acknowledge(self) -> None:
        """
        Each gets its own reply with its own position, in their order.
        """
        drafts = [Draft("lobby", "alice", "hi", None, 0)] * 2
        publish = Publish(Slot(), drafts, ["/ok#x pub lobby", "/ok msg bob"])
        self.assertEqual(publish.acknowledge([7, 9]), b"/ok#x pub lobby 7\r\n/ok msg bob 9\r\n")

    def test_a_position_for_each(self) -> None:
        """
        No publish is acknowledged with another one's position, or without any.
        """
        with self.assertRaises(ValueError):
            Publish(Slot(), [], ["/ok pub lobby", "/ok pub lobby"]).acknowledge([1])


class SecretTests(SynchronousTestCase):
    """
    No secret is shown by accident.
    """

    def test_repr(self) -> None:
        """
        What is logged of a login has neither the password nor the token in it.
        """
        shown = [repr(LogIn(Slot(), None, "alice", "s3cret")), repr(UseToken(Slot(), None, "s3cret"))]
        self.assertNotIn("s3cret", "".join(shown))
        self.assertIn("alice", shown[0])
