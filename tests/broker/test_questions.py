"""
Tests for :mod:`echochat.broker.questions`.
"""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echochat.broker import BrokerUnavailable, Message, NobodyAnswers
from echochat.broker.questions import Questions


class QuestionsTests(SynchronousTestCase):
    """
    Each question is answered, or fails, once, and then nothing is left of it.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.questions = Questions("inbox", self.clock)

    def tearDown(self) -> None:
        self.assertEqual(len(self.questions), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def ask(self) -> tuple[str, Deferred[list[Message]]]:
        """
        Ask something with two answers.
        """
        return self.questions.ask(5, lambda message: message.payload == b"last")

    def test_answered(self) -> None:
        """
        All answers belong to their question, until the last; what comes then is nobody's.
        """
        (one, first), (other, second) = self.ask(), self.ask()
        came = [Message(1, one, b"1"), Message(1, other, b"last"), Message(1, one, b"last"), Message(1, one, b"more")]
        self.questions.came(came)
        self.assertEqual(self.successResultOf(first), [came[0], came[2]])
        self.assertEqual(self.successResultOf(second), [came[1]])

    def test_in_vain(self) -> None:
        """
        Nobody is there, or nobody answers in time.
        """
        (one, first), (_, second) = self.ask(), self.ask()
        self.questions.came([Message(1, one, b"", headers={"Status": "503"})])
        self.failureResultOf(first, NobodyAnswers)
        self.clock.advance(5)
        self.failureResultOf(second, BrokerUnavailable)

    def test_cancelled(self) -> None:
        """
        Whoever asks may lose interest.
        """
        _, answer = self.ask()
        answer.cancel()
        self.failureResultOf(answer, CancelledError)

    def test_all_fail(self) -> None:
        """
        When one fails, whoever asked it may cancel others, which is in nobody's way.
        """
        (_, first), (_, second), (_, third) = self.ask(), self.ask(), self.ask()
        first.addErrback(lambda _: second.cancel())
        self.questions.fail_all("gone")
        self.assertIsNone(self.successResultOf(first))
        self.failureResultOf(second, CancelledError)
        self.assertEqual(str(self.failureResultOf(third, BrokerUnavailable).value), "gone")
