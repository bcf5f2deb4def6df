"""
Tests for :mod:`echochat.history.jetstream.interest`.
"""

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from echochat.history import HistoryUnavailable
from echochat.history.jetstream.description import MOST_FILTERS
from echochat.history.jetstream.interest import Interest


class InterestTests(SynchronousTestCase):
    """
    Whoever follows a topic is told once, when it comes or cannot.
    """

    def setUp(self) -> None:
        self.interest = Interest()

    def test_gives(self) -> None:
        """
        Without a consumer nothing comes; beyond so many topics all do.
        """
        self.assertFalse(self.interest.gives("a"))
        self.interest.is_given(frozenset("a"))
        self.assertEqual([self.interest.gives(topic) for topic in "ab"], [True, False])
        self.interest.is_given(frozenset(map(str, range(MOST_FILTERS + 1))))
        self.assertTrue(self.interest.gives("b"))
        self.interest.is_not_given()
        self.assertFalse(self.interest.gives("b"))

    def test_cancelled(self) -> None:
        """
        Who gives up is told no more, also when that was while the broker was asked, whatever it said.
        """
        first, second, third = [self.interest.wait() for _ in range(3)]
        first.cancel()
        taken = self.interest.take()
        second.cancel()
        self.interest.put_back(taken)
        self.interest.fail("gone")
        for each in (first, second):
            self.failureResultOf(each, CancelledError)
        self.failureResultOf(third, HistoryUnavailable)
        fourth = self.interest.wait()
        taken = self.interest.take()
        fourth.cancel()
        self.interest.tell(taken)
        self.failureResultOf(fourth, CancelledError)
        self.assertFalse(self.interest.is_waited_for)
