"""
Tests for :mod:`echochat.chat.arrivals`.
"""

from collections.abc import Iterator
from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.arrivals import WAITING, Act, Arrivals, Step, at_once


class ArrivalsTests(SynchronousTestCase):
    """
    What arrives is dealt with step by step: taken in, told, and answered.
    """

    def setUp(self) -> None:
        self.asked: list[Step] = []
        self.arrivals = Arrivals(self.wakings, self.asked.append)
        self.done: list[str] = []
        self.untold: list[str] = []

    def note(self, what: str) -> None:
        self.done.append(what)

    def wakings(self) -> Iterator[Act]:
        untold, self.untold = self.untold, []
        for name in untold:
            yield partial(self.note, f"woken for {name}")

    def take_in(self, name: str) -> None:
        self.done.append(f"took {name}")
        self.untold.append(name)

    def arrive(self, *names: str, events: int = 1) -> None:
        for name in names:
            self.arrivals.add(events, partial(self.take_in, name))
        self.arrivals.go_on()

    def answer(self, name: str) -> None:
        self.arrivals.answer(partial(self.note, f"answered {name}"))

    def step(self, number: int = 1) -> list[str]:
        """
        :return: what was done in so many steps.
        """
        self.done = []
        for _ in range(number):
            self.assertTrue(self.asked[0]())
        return self.done

    def test_order(self) -> None:
        """
        All is taken in before anybody is woken, and everybody is woken before anybody is answered.
        """
        self.answer("earlier")
        self.arrive("a", "b")
        self.answer("a")
        self.assertEqual(self.done, [])
        told = self.step(6)
        self.assertEqual(told[:4], ["took a", "took b", "woken for a", "woken for b"])
        self.assertEqual(told[4:], ["answered earlier", "answered a"])
        self.assertFalse(self.asked[0]())

    def test_more_while_others_are_woken(self) -> None:
        """
        What comes meanwhile is taken in at once, and told when those have been answered who waited by then: a flood of
        it keeps nobody from an answer for long.
        """
        self.arrive("a", "b")
        self.answer("a")
        self.step(3)
        self.arrive("c")
        self.answer("c")
        self.assertEqual(self.step(2), ["took c", "woken for b"])
        self.arrive("d")
        self.assertEqual(self.step(3), ["took d", "answered a", "answered c"])
        self.answer("d")
        self.assertEqual(self.step(3), ["woken for c", "woken for d", "answered d"])
        self.assertFalse(self.asked[0]())

    def test_too_many(self) -> None:
        """
        When more events wait than may, the first are taken in before one more is kept.
        """
        self.arrive("a", events=WAITING)
        self.arrive("b")
        self.assertEqual(self.done, [])
        self.arrive("c")
        self.assertEqual(self.done, ["took a"])

    def test_step_that_raises(self) -> None:
        """
        One that raises keeps nothing from being done that comes after it.
        """
        self.arrivals.add(1, lambda: 1 / 0)
        self.arrive("a")
        self.assertRaises(ZeroDivisionError, self.asked[0])
        at_once(self.asked[0])
        self.assertEqual(self.done, ["took a", "woken for a"])

    def test_dropped(self) -> None:
        """
        What is dropped is neither taken in nor told, and makes room; who is to be answered is.
        """
        self.arrive("a", "b")
        self.answer("a")
        self.step(3)
        self.arrive("c", events=2 * WAITING)
        self.arrivals.drop()
        self.done = []
        self.arrive("d")
        self.assertEqual(self.done, [])
        at_once(self.asked[0])
        self.assertEqual(self.done, ["took d", "woken for d", "answered a"])
