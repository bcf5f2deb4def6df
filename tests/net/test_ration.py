"""
Tests for :mod:`echochat.net.ration`.
"""

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echochat.net.ration import Ration


class Turns:
    """
    A reactor's turns, and its clock. Twisted's own for tests would begin a next turn as soon as time has passed.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.due: list[Callable[[], object]] = []

    def seconds(self) -> float:
        return self.now

    def callLater(self, delay: float, call: Callable[[], object]) -> None:
        assert delay == 0
        self.due.append(call)

    def turn(self) -> None:
        due, self.due = self.due, []
        for call in due:
            call()


class RationTests(SynchronousTestCase):
    """
    Dear work has its share of each turn, and is done in order.
    """

    def setUp(self) -> None:
        self.clock = Turns()
        reactor: Any = self.clock
        self.ration = Ration(reactor, 0.010)
        self.done: list[str] = []

    def work(self, name: str, seconds: float) -> Callable[[], None]:
        def work() -> None:
            self.done.append(name)
            self.clock.now += seconds

        return work

    def test_little(self) -> None:
        """
        What there is time for is done at once, and leaves nothing behind.
        """
        self.assertEqual([self.ration.do(self.work(name, 0.003)) for name in "abc"], [True] * 3)
        self.assertEqual(self.done, ["a", "b", "c"])
        self.clock.turn()
        self.assertEqual(self.clock.due, [])

    def test_much(self) -> None:
        """
        What there is no time for waits for the next turns; nothing that comes then overtakes it.
        """
        self.assertEqual([self.ration.do(self.work(name, 0.006)) for name in "abcde"], [True] * 2 + [False] * 3)
        self.assertEqual(self.done, ["a", "b"])
        self.clock.turn()
        self.assertEqual(self.done, ["a", "b", "c", "d"])
        self.assertFalse(self.ration.do(self.work("f", 0)))
        self.clock.turn()
        self.assertEqual(self.done, ["a", "b", "c", "d", "e", "f"])
        self.clock.turn()
        self.assertEqual(self.clock.due, [])

    def test_every_turn(self) -> None:
        """
        Each turn has its own share.
        """
        for _ in range(3):
            self.assertTrue(self.ration.do(self.work("a", 0.02)))
            self.assertFalse(self.ration.do(self.work("b", 0.02)))
            self.clock.turn()
            self.clock.turn()
            self.assertEqual(self.clock.due, [])
        self.assertEqual(self.done, ["a", "b"] * 3)

    def test_failure(self) -> None:
        """
        Work that fails at once fails to who wanted it; work that fails later is logged, and the rest is done.
        """

        def fail() -> None:
            self.clock.now += 0.02
            raise ZeroDivisionError

        self.assertRaises(ZeroDivisionError, self.ration.do, fail)
        self.ration.do(fail)
        self.ration.do(self.work("a", 0))
        self.clock.turn()
        self.clock.turn()
        self.assertEqual(self.done, ["a"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.turn()
        self.assertEqual(self.clock.due, [])
