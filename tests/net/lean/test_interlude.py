"""
Tests for :mod:`echochat.net.lean.interlude`.
"""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echochat.net.lean import Interlude, interlude_of
from echochat.net.lean.interlude import LONGEST, MOST, PIECE, REST, SHARE


class Others:
    """
    Whoever is answered in passing.

    :ivar waiting: numbers of those that can be answered, for the next times they are asked.
    :ivar takes: seconds that it takes to ask.
    :ivar asked: with which numbers left out they were asked.
    """

    def __init__(self, clock: Clock) -> None:
        self.waiting: list[int] = []
        self.takes = 0.0
        self.asked: list[set[int]] = []
        self._clock = clock

    def answer(self, left_out: set[int]) -> int:
        self.asked.append({*left_out})
        left_out.add(len(self.asked))
        self._clock.pump([self.takes])
        return self.waiting.pop(0) if self.waiting else 0


class InterludeTests(SynchronousTestCase):
    """
    Others are answered while some work goes on, neither too often nor too seldom.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.others = Others(self.clock)
        self.interlude = Interlude(self.others.answer, self.clock.seconds)

    def work(self, seconds: float, steps: int = 1) -> None:
        for _ in range(steps):
            self.clock.advance(seconds / steps)
            self.interlude.look()

    def test_a_piece_is_not_interrupted(self) -> None:
        """
        Others are asked after a piece of the work, not after each step of it.
        """
        self.interlude.begin()
        self.work(PIECE * 0.9, 3)
        self.assertEqual(len(self.others.asked), 0)
        self.work(PIECE * 0.2)
        self.assertEqual(len(self.others.asked), 1)

    def test_somebody_is_there(self) -> None:
        """
        While others are answered they are asked after each piece of the work.
        """
        self.others.waiting = [1] * 10
        self.interlude.begin()
        self.work(PIECE * 10.05, 201)
        self.assertEqual(len(self.others.asked), 10)

    def test_nobody_is_there(self) -> None:
        """
        Where nobody can be answered others are asked more and more seldom, but never less often than stated.
        """
        self.interlude.begin()
        self.work(7.05 * PIECE, 141)
        self.assertEqual(len(self.others.asked), 3)
        self.others.asked.clear()
        self.work(10.05 * LONGEST, 2010)
        self.assertEqual(len(self.others.asked), 10)

    def test_somebody_comes(self) -> None:
        """
        As soon as others were answered, and when new work begins, the pieces are short again.
        """
        self.others.waiting = [0, 0, 0, 1]
        self.interlude.begin()
        self.work(15.05 * PIECE, 301)
        self.assertEqual((len(self.others.asked), self.others.waiting), (4, []))
        self.work(1.05 * PIECE, 21)
        self.assertEqual(len(self.others.asked), 5)
        self.interlude.begin()
        self.work(3.05 * PIECE, 61)
        self.assertEqual(len(self.others.asked), 7)

    def test_what_is_left_out(self) -> None:
        """
        Who could not be answered is not asked again while the same work goes on.
        """
        for _ in range(2):
            self.interlude.begin()
            self.others.asked.clear()
            self.work(PIECE * 7.5, 75)
            self.assertEqual(self.others.asked, [set(), {1}, {1, 2}])
            self.interlude.end()

    def test_the_work_goes_on(self) -> None:
        """
        However long others take, the work has its share: a fifth of the time.
        """
        self.others.takes = 20 * PIECE
        self.others.waiting = [1] * 50
        self.interlude.begin()
        self.work(100 * PIECE, 1000)
        self.assertAlmostEqual(len(self.others.asked), 100 * PIECE / (SHARE * self.others.takes), delta=1)

    def test_rest(self) -> None:
        """
        When others were answered, the work rests for some times as long as it took.
        """
        self.others.waiting = [1]
        self.interlude.begin()
        self.work(PIECE)
        self.interlude.end()
        self.assertAlmostEqual(self.interlude.rest, REST * PIECE)
        self.clock.advance(REST * PIECE)
        self.assertLessEqual(self.interlude.rest, 0)

    def test_a_rest_is_bounded(self) -> None:
        """
        ... which is not for ever after much work.
        """
        self.others.waiting = [1]
        self.interlude.begin()
        self.work(10)
        self.interlude.end()
        self.assertAlmostEqual(self.interlude.rest, MOST)

    def test_no_rest_when_nobody_was_there(self) -> None:
        """
        What keeps nobody waiting goes on at once, also when somebody was there the time before.
        """
        self.interlude.begin()
        self.work(10)
        self.interlude.end()
        self.assertEqual(self.interlude.rest, 0)
        self.others.waiting = [1]
        self.interlude.begin()
        self.work(PIECE)
        self.interlude.end()
        self.clock.advance(REST * PIECE)
        self.interlude.begin()
        self.work(10)
        self.interlude.end()
        self.assertLessEqual(self.interlude.rest, 0)

    def test_any_reactor(self) -> None:
        """
        A reactor whose connections cannot be answered in passing has interludes, too, in which nothing happens.
        """
        nobodys = interlude_of(Clock())
        nobodys.begin()
        for _ in range(3):
            nobodys.look()
        nobodys.end()
        self.assertEqual(nobodys.rest, 0)
