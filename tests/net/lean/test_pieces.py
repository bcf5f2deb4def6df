"""
Tests for :mod:`echochat.net.lean.pieces`.
"""

from time import perf_counter
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.net.lean import in_pieces, lean, pieces
from echochat.net.lean.pieces import Pieces

reactor: Any = _reactor


class PiecesTests(SynchronousTestCase):
    """
    A piece, those who are ready, the next piece; and the outer reactor now and then.
    """

    def setUp(self) -> None:
        # A piece is one step, and a turn one piece.
        self.patch(pieces, "PIECE", 0)
        self.patch(pieces, "TURN", 0)
        self.clock = Clock()
        self.happened: list[str] = []
        self.pieces = Pieces(self.clock, lambda: self.happened.append("served"))

    def work(self, name: str, number: int) -> Any:
        left = [*range(number)]

        def step() -> bool:
            if not left:
                return False
            self.happened.append(f"{name}{left.pop(0)}")
            return True

        return step

    def news(self) -> list[str]:
        happened, self.happened = self.happened, []
        return happened

    def test_little(self) -> None:
        """
        What is done within a piece is done at once.
        """
        self.patch(pieces, "PIECE", 1)
        self.pieces.do(self.work("a", 3))
        self.assertEqual(self.news(), ["a0", "a1", "a2"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_much(self) -> None:
        """
        The first piece is done at once, the others in later turns of the reactor, with others served before each.
        """
        self.patch(pieces, "TURN", 10)
        self.pieces.do(self.work("a", 3))
        self.assertEqual(self.news(), ["a0"])
        self.clock.advance(0)
        self.assertEqual(self.news(), ["served", "a1", "served", "a2", "served"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_outer_reactor(self) -> None:
        """
        The outer reactor has its turn in between.
        """
        self.pieces.do(self.work("a", 3))
        self.news()
        self.clock.callLater(0, self.happened.append, "timer")
        self.clock.advance(0)
        self.assertEqual([each for each in self.news() if each != "served"], ["a1", "timer", "a2"])

    def test_several(self) -> None:
        """
        None waits for all of another; one that is under way is not begun again.
        """
        self.patch(pieces, "TURN", 10)
        first, second = self.work("a", 3), self.work("b", 2)
        self.pieces.do(first)
        self.pieces.do(second)
        self.pieces.do(first)
        self.clock.advance(0)
        self.assertEqual([each for each in self.news() if each != "served"], ["a0", "a1", "b0", "a2", "b1"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_asked_for_in_a_step(self) -> None:
        """
        A step, and whoever is served, may ask for more work.
        """
        self.patch(pieces, "TURN", 10)
        more = [self.work("b", 1)]

        def step() -> bool:
            if not more:
                return False
            self.pieces.do(more.pop())
            return True

        self.pieces.do(step)
        self.clock.advance(0)
        self.assertIn("b0", self.news())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_step_that_raises(self) -> None:
        """
        It is logged, and the work goes on.
        """
        raised: list[int] = []

        def step() -> bool:
            if raised:
                return False
            raised.append(1)
            raise ZeroDivisionError

        self.pieces.do(step)
        self.pieces.do(self.work("a", 1))
        while self.clock.getDelayedCalls():
            self.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIn("a0", self.news())


class ReactorTests(TestCase):
    """
    With a real reactor, whoever says something meanwhile is not kept waiting for the end of the work.
    """

    async def serve_beside(self, used: Any) -> int:
        """
        :return: the steps that were done when a timer of the reactor ran.
        """
        steps: list[float] = []
        done: Deferred[None] = Deferred()

        def step() -> bool:
            if len(steps) == 500:
                done.callback(None)
                return False
            end = perf_counter() + 0.000_1
            while perf_counter() < end:
                pass
            steps.append(end)
            return True

        when: list[int] = []
        reactor.callLater(0, lambda: when.append(len(steps)))
        in_pieces(used)(step)
        await done
        return when[0]

    async def test_timers(self) -> None:
        """
        Timers run in between, over a lean reactor and over a plain one.
        """
        over = lean(reactor)
        for used in (over, reactor):
            self.assertLess(await self.serve_beside(used), 100)
        if over is not reactor:
            over.close()
