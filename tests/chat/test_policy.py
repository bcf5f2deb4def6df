"""
Tests for :mod:`echochat.chat.policy`.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.policy import Allowance, canonical_topic, may_read
from tests.wire.examples import reproducible


class InboxTests(SynchronousTestCase):
    """
    An inbox is its owner's.
    """

    def test_canonical(self) -> None:
        """
        An inbox is one in any letter case; other topics are not.
        """
        self.assertEqual(canonical_topic("@Bob"), "@bob")
        self.assertEqual(canonical_topic("Lobby"), "Lobby")

    def test_may_read(self) -> None:
        """
        The owner may read it, in whatever letter case the name was taken, and nobody else; everybody may read the rest.
        """
        self.assertTrue(may_read("Bob", "@bob"))
        self.assertFalse(may_read("bobby", "@bob"))
        self.assertFalse(may_read("bob", "@bobby"))
        self.assertTrue(may_read("bob", "lobby"))


class AllowanceTests(SynchronousTestCase):
    """
    Who publishes too much is slowed down, and nobody else.
    """

    def test_burst_and_rate(self) -> None:
        """
        A burst is allowed at once, then so many a second.
        """
        allowance = Allowance(3, 2, 100)
        self.assertEqual([allowance.spend(100) for _ in range(5)], [0, 0, 0, 0.5, 0.5])
        self.assertEqual([allowance.spend(100.5), allowance.spend(100.5)], [0, 0.5])

    def test_silence_saves_no_more_than_a_burst(self) -> None:
        """
        Who was silent for a day may not publish all day's share at once.
        """
        allowance = Allowance(3, 2, 0)
        self.assertEqual([allowance.spend(86_400) for _ in range(4)], [0, 0, 0, 0.5])

    @reproducible
    @given(st.lists(st.floats(0, 2), max_size=60))
    def test_never_more(self, waits: list[float]) -> None:
        """
        However it is spread, no more than the burst and the rate's share of the time is allowed, and who waits as
        long as they were told is not refused.
        """
        allowance = Allowance(3, 2, 0)
        now = 0.0
        for allowed, wait in enumerate(waits, start=1):
            now += wait
            left = allowance.spend(now)
            if left:
                now += left + 1e-9
                self.assertEqual(allowance.spend(now), 0)
            self.assertLessEqual(allowed, 3 + 2 * now + 1e-6)
