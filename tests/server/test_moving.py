"""
Sessions are asked to move at a pace that those who take them can bear.
"""

import math
from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echochat.server.moving import GRAIN, NOTICE, Moving
from tests.wire.examples import reproducible


class Session:
    """
    Notes when it is asked.
    """

    def __init__(self, clock: Clock) -> None:
        self.asked: list[float] = []
        self.notice = -1.0
        self._clock = clock

    def announce_drain(self, seconds: float) -> None:
        self.asked.append(self._clock.seconds())
        self.notice = seconds


def make_sessions(clock: Clock, count: int) -> list[Session]:
    """
    So many sessions.
    """
    return [Session(clock) for _ in range(count)]


def let_pass(clock: Clock, seconds: float) -> None:
    """
    Let time pass in the steps in which something happens, as a reactor does.
    """
    end = clock.seconds() + seconds
    while True:
        calls = clock.getDelayedCalls()
        due = min([call.getTime() for call in calls], default=end)
        if due >= end:
            clock.advance(end - clock.seconds())
            return
        clock.advance(due - clock.seconds())


def busiest_second(times: list[float]) -> int:
    """
    How many were asked in the second in which most were.
    """
    return max(sum(began <= time < began + 1 for time in times) for began in times)


class MovingTests(SynchronousTestCase):
    """
    Tests for :class:`Moving`.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.moving = Moving(self.clock, Random(5))

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @settings(reproducible, max_examples=60)
    @given(count=st.integers(1, 400), seconds=st.floats(0.5, 60), seed=st.integers(0, 1_000))
    def test_pace(self, count: int, seconds: float, seed: int) -> None:
        """
        Each is asked once, all are when the time is over, and in no second more than the share of a second.
        """
        clock = Clock()
        sessions = make_sessions(clock, count)
        self.assertEqual(Moving(clock, Random(seed)).move(sessions, None, seconds), count)
        let_pass(clock, seconds)
        self.assertEqual({len(each.asked) for each in sessions}, {1})
        self.assertEqual(clock.getDelayedCalls(), [])
        times = sorted(each.asked[0] for each in sessions)
        self.assertLessEqual(times[-1], seconds)
        # The share of the time between two looks comes in addition; of what does not divide evenly, one more.
        self.assertLessEqual(busiest_second(times), math.floor((1 + GRAIN) * count / seconds) + 1)

    def test_equal_steps(self) -> None:
        """
        Between one and the next the same time passes, and before the first a part of it by chance.
        """
        firsts = set()
        for seed in range(5):
            clock = Clock()
            sessions = make_sessions(clock, 10)
            Moving(clock, Random(seed)).move(sessions, None, 20)
            let_pass(clock, 20)
            times = sorted(each.asked[0] for each in sessions)
            for before, after in pairwise(times):
                self.assertAlmostEqual(after - before, 2)
            self.assertTrue(0 <= times[0] < 2)
            firsts.add(times[0])
        self.assertEqual(len(firsts), 5)

    def test_some(self) -> None:
        """
        So many as were wanted are asked, chosen by chance; or all, when there are fewer.
        """
        chosen = set()
        for _ in range(5):
            sessions = make_sessions(self.clock, 30)
            self.assertEqual(self.moving.move(sessions, 10, 5), 10)
            let_pass(self.clock, 5)
            self.assertEqual(sum(len(each.asked) for each in sessions), 10)
            chosen.add(tuple(number for number, each in enumerate(sessions) if each.asked))
        self.assertEqual(len(chosen), 5)
        self.assertEqual(self.moving.move(make_sessions(self.clock, 3), 10, 0), 3)

    def test_nobody(self) -> None:
        """
        Where nobody is, or nobody is wanted, nothing happens.
        """
        self.assertEqual(self.moving.move([], None, 5), 0)
        self.assertEqual(self.moving.move(make_sessions(self.clock, 3), 0, 5), 0)

    def test_at_once(self) -> None:
        """
        With no time they are asked at once.
        """
        sessions = make_sessions(self.clock, 100)
        self.moving.move(sessions, None, 0)
        self.assertEqual({tuple(each.asked) for each in sessions}, {(0.0,)})
        self.assertEqual({each.notice for each in sessions}, {0})

    def test_notice(self) -> None:
        """
        However long it takes to ask them all, each is told of a short time.
        """
        sessions = make_sessions(self.clock, 3)
        self.moving.move(sessions, None, 600)
        let_pass(self.clock, 600)
        self.assertEqual({each.notice for each in sessions}, {NOTICE})

    def test_gone_meanwhile(self) -> None:
        """
        Who has gone is passed over: the others are asked when they would have been.
        """
        times = []
        for gone in (0, 20):
            clock = Clock()
            moving = Moving(clock, Random(3))
            sessions = make_sessions(clock, 40)
            moving.move(sessions, None, 40)
            let_pass(clock, 10)
            waiting = [each for each in sessions if not each.asked]
            for each in waiting[:gone]:
                moving.forget(each)
            let_pass(clock, 30)
            self.assertEqual(sum(len(each.asked) for each in sessions), 40 - gone)
            self.assertEqual([each.asked for each in waiting[:gone]], [[]] * gone)
            times.append(max(each.asked[0] for each in sessions if each.asked))
        self.assertLessEqual(times[1], times[0])
        self.moving.forget(sessions[0])

    def test_all_gone(self) -> None:
        """
        When all have gone nothing is waited for.
        """
        sessions = make_sessions(self.clock, 5)
        self.moving.move(sessions, None, 10)
        for each in sessions:
            self.moving.forget(each)
        let_pass(self.clock, 10)

    def test_replaced(self) -> None:
        """
        A second move takes the place of the first, whose rest is not asked twice.
        """
        sessions = make_sessions(self.clock, 10)
        self.moving.move(sessions, None, 1_000)
        let_pass(self.clock, 500)
        before = sum(len(each.asked) for each in sessions)
        self.assertTrue(0 < before < 10)
        self.moving.move([each for each in sessions if not each.asked], None, 1)
        let_pass(self.clock, 1)
        self.assertEqual({len(each.asked) for each in sessions}, {1})

    def test_stop(self) -> None:
        """
        When it is stopped nobody is asked any more.
        """
        sessions = make_sessions(self.clock, 10)
        self.moving.move(sessions, None, 100)
        let_pass(self.clock, 50)
        before = sum(len(each.asked) for each in sessions)
        self.moving.stop()
        let_pass(self.clock, 100)
        self.assertEqual(sum(len(each.asked) for each in sessions), before)

    def test_late_reactor(self) -> None:
        """
        When the process was busy over the end, all are asked when it looks again.
        """
        sessions = make_sessions(self.clock, 10)
        self.moving.move(sessions, None, 10)
        self.clock.advance(60)
        self.assertEqual({len(each.asked) for each in sessions}, {1})
