"""
Tests for :mod:`echochat.net.deadlines`.
"""

import random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echochat.net.deadlines import Deadlines


class DeadlinesTests(SynchronousTestCase):
    """
    Each key expires once, when its time has come, unless it was cleared.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.expired: list[tuple[float, str]] = []
        self.deadlines: Deadlines[str] = Deadlines(self.clock, 10, self.expire)

    def expire(self, key: str) -> None:
        self.expired.append((self.clock.seconds(), key))

    def test_expires(self) -> None:
        """
        Keys expire in the order in which they were set, each after its own time.
        """
        self.deadlines.set("a")
        self.clock.advance(4)
        self.deadlines.set("b")
        self.assertIn("a", self.deadlines)
        self.clock.pump([1] * 20)
        self.assertEqual(self.expired, [(10, "a"), (14, "b")])
        self.assertNotIn("a", self.deadlines)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cleared(self) -> None:
        """
        A key that was cleared does not expire; to clear one that was never set is nothing.
        """
        self.deadlines.set("a")
        self.deadlines.set("b")
        self.deadlines.clear("a")
        self.deadlines.clear("never set")
        self.clock.pump([1] * 20)
        self.assertEqual(self.expired, [(10, "b")])

    def test_set_anew(self) -> None:
        """
        A key that is set again waits from then on.
        """
        self.deadlines.set("a")
        self.deadlines.set("b")
        self.clock.advance(6)
        self.deadlines.set("a")
        self.clock.pump([1] * 20)
        self.assertEqual(self.expired, [(10, "b"), (16, "a")])

    def test_never(self) -> None:
        """
        0 seconds mean never, and cost nothing.
        """
        never: Deadlines[str] = Deadlines(self.clock, 0, self.expire)
        never.set("a")
        self.assertNotIn("a", never)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_timer(self) -> None:
        """
        However many keys there are, there is one timer.
        """
        for number in range(1_000):
            self.deadlines.set(str(number))
            self.clock.advance(0.001)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_stop(self) -> None:
        """
        After a stop nothing expires and no timer is left; it can be used again.
        """
        self.deadlines.set("a")
        self.deadlines.stop()
        self.deadlines.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(20)
        self.assertEqual(self.expired, [])
        self.deadlines.set("b")
        self.clock.advance(10)
        self.assertEqual(self.expired, [(30, "b")])

    def test_failure_is_one_keys(self) -> None:
        """
        An exception is logged, and the other keys expire all the same.
        """

        def fail(key: str) -> None:
            self.expire(key)
            raise ZeroDivisionError

        failing: Deadlines[str] = Deadlines(self.clock, 10, fail)
        failing.set("a")
        failing.set("b")
        self.clock.advance(1)
        failing.set("c")
        self.clock.pump([1] * 20)
        self.assertEqual([key for _, key in self.expired], ["a", "b", "c"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)

    def test_used_while_expiring(self) -> None:
        """
        What expires may set itself and others, clear others, and stop it all.
        """
        seen: set[str] = set()

        def act(key: str) -> None:
            self.expire(key)
            if key == "x":
                self.deadlines.stop()
            elif key == "a" and key not in seen:
                self.deadlines.set("a")
                self.deadlines.set("x")
                self.deadlines.clear("b")
            seen.add(key)

        self.deadlines = Deadlines(self.clock, 10, act)
        for key in "abc":
            self.deadlines.set(key)
        self.clock.pump([1] * 10)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.pump([1] * 30)
        self.assertEqual(self.expired, [(10, "a"), (10, "c"), (20, "a"), (20, "x")])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_shorter(self) -> None:
        """
        A shorter time holds for those who wait already, and does not make anybody wait longer.
        """
        self.deadlines.set("a")
        self.clock.advance(8)
        self.deadlines.set("b")
        self.deadlines.seconds = 3
        self.deadlines.set("c")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.pump([1] * 20)
        self.assertEqual(self.expired, [(10, "a"), (11, "b"), (11, "c")])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_longer(self) -> None:
        """
        A longer time holds for those who begin to wait.
        """
        self.deadlines.set("a")
        self.deadlines.seconds = 15
        self.deadlines.set("b")
        self.clock.pump([1] * 20)
        self.assertEqual(self.expired, [(10, "a"), (15, "b")])

    def test_never_from_now_on(self) -> None:
        """
        Nobody waits any more when there is no deadline any more; and again when there is one.
        """
        self.deadlines.set("a")
        self.deadlines.seconds = 0
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertNotIn("a", self.deadlines)
        self.deadlines.seconds = 2
        self.deadlines.set("b")
        self.clock.pump([1] * 20)
        self.assertEqual(self.expired, [(2, "b")])

    def test_any_order_of_uses(self) -> None:
        """
        Whatever is set, set anew and cleared when: what expires is what a timer for each key would have expired.
        """
        dice = random.Random(5)
        due: dict[str, float] = {}
        expected: list[tuple[float, str]] = []
        for _ in range(3_000):
            key = dice.choice("abcdefgh")
            if dice.random() < 0.6:
                self.deadlines.set(key)
                due.pop(key, None)
                due[key] = self.clock.seconds() + 10
            else:
                self.deadlines.clear(key)
                due.pop(key, None)
            self.clock.advance(dice.choice((0, 0, 1, 2)))
            for each in [each for each, time in due.items() if time <= self.clock.seconds()]:
                expected.append((self.clock.seconds(), each))
                del due[each]
        self.assertEqual(self.expired, expected)
        self.assertGreater(len(expected), 100)
