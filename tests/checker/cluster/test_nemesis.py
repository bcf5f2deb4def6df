"""
Tests for L{tests.checker.cluster.nemesis}: every kind has its turn, in the order that the seed says, and a cluster that
does not recover is found.
"""

from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.checker.cluster.nemesis import RECOVERY, Fault, Nemesis


class Named:
    """
    Faults that do nothing but be counted.
    """

    def __init__(self, *names: str) -> None:
        self.done: list[str] = []
        self._names = names

    def kinds(self) -> dict[str, Fault]:
        return {name: lambda name=name: self._do(name) for name in self._names}  # type: ignore[misc]  # default argument

    async def _do(self, name: str) -> None:
        self.done.append(name)


class NemesisTests(SynchronousTestCase):
    """
    The nemesis on a clock.
    """

    def run_it(self, seed: int, number: int) -> list[str]:
        clock, faults = Clock(), Named("a", "b", "c")
        nemesis = Nemesis(Random(seed), [faults], lambda: int(clock.seconds() * 1000), clock)
        tormenting = Deferred.fromCoroutine(nemesis.torment(number))
        clock.pump([0.01] * 200 * number)
        self.successResultOf(tormenting)
        self.assertEqual(nemesis.done.total(), number)
        self.assertEqual(len(nemesis.recovery), number)
        self.assertEqual(clock.getDelayedCalls(), [])
        return faults.done

    def test_all_kinds(self) -> None:
        """
        After each round all kinds were done equally often.
        """
        done = self.run_it(1, 9)
        for first in (0, 3, 6):
            self.assertEqual(sorted(done[first : first + 3]), ["a", "b", "c"])

    def test_seed(self) -> None:
        """
        The same seed is the same order, another one another.
        """
        self.assertEqual(self.run_it(1, 12), self.run_it(1, 12))
        self.assertNotEqual(self.run_it(1, 12), self.run_it(2, 12))

    def test_does_not_recover(self) -> None:
        """
        When nothing is acknowledged any more, it says after what.
        """
        clock = Clock()
        nemesis = Nemesis(Random(1), [Named("a")], lambda: 7, clock)
        tormenting = Deferred.fromCoroutine(nemesis.torment(1))
        clock.pump([0.1] * int(RECOVERY * 10 + 20))
        self.assertIn("after: a", str(self.failureResultOf(tormenting, AssertionError).value))
