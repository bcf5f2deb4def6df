"""
Tests for :mod:`echochat.history.jetstream.rounds`.
"""

from unittest import mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echochat.broker import BrokerUnavailable
from echochat.history.jetstream.api import JetStreamError
from echochat.history.jetstream.publishing import Publisher
from echochat.history.jetstream.rounds import Rounds
from echochat.history.jetstream.stream import StreamChanged
from echochat.history.records import Status


class RoundsTests(SynchronousTestCase):
    """
    What nobody tells is looked for, for as long as the history is open.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.status = Status()
        self.publisher = mock.Mock(spec=Publisher)
        self.looks = 0
        self.error: Exception | None = None
        self.changed: list[str] = []
        self.rounds = Rounds("chat", self.clock, self.status, self.publisher, self.look, self.changed.append)
        self.rounds.begin()

    async def look(self) -> None:
        """
        Look at a stream that is none.
        """
        self.looks += 1
        if self.error is not None:
            raise self.error

    def make(self, rounds: int) -> None:
        """
        Have so many made.
        """
        for _ in range(rounds):
            self.clock.advance(1)

    def end(self) -> None:
        """
        Have no more.
        """
        self.rounds.end()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_each(self) -> None:
        """
        Deadlines are looked at in each round, the stream in every tenth.
        """
        self.assertEqual(self.publisher.look.call_count, 0)
        self.make(25)
        self.assertEqual((self.publisher.look.call_count, self.looks, self.changed), (25, 2, []))
        self.end()
        self.make(25)
        self.assertEqual((self.publisher.look.call_count, self.looks), (25, 2))

    def test_trouble(self) -> None:
        """
        While nothing can be stored the stream is left to those who look for it anyway; deadlines are looked at.
        """
        self.status.unavailable = "the broker cannot be reached"
        self.make(20)
        self.assertEqual((self.publisher.look.call_count, self.looks), (20, 0))
        self.end()

    def test_changed(self) -> None:
        """
        A stream that is another one, or gone, is told of; a broker that does not answer is none.
        """
        for self.error, is_changed in (
            (StreamChanged("it is another one"), True),
            (JetStreamError({"description": "stream not found"}), True),
            (BrokerUnavailable("no answer"), False),
        ):
            self.changed.clear()
            self.make(10)
            self.assertEqual(self.changed, ["the stream is not the one that it was"] * is_changed)
        self.end()

    def test_failing(self) -> None:
        """
        Rounds that fail are logged, and are not the last.
        """
        self.error = ZeroDivisionError()
        self.make(10)
        self.publisher.look.side_effect = ZeroDivisionError
        self.make(1)
        self.publisher.look.side_effect = None
        self.make(9)
        self.assertEqual((self.publisher.look.call_count, self.changed), (20, []))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.end()
