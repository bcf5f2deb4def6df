"""
Tests for :mod:`echochat.balancer.watch` and :mod:`echochat.balancer.rounds`.
"""

import errno
from itertools import pairwise
from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.error import getConnectError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echochat.balancer.backends import Backend, Lease, Mode
from echochat.balancer.condition import Rules
from echochat.balancer.health import Health
from echochat.balancer.pool import Pool
from echochat.balancer.watch import HealthWatch

STEP = 0.05


class FakeCheck:
    """
    A check that says what the test wants: at once, or never.

    :ivar answer: what comes out: a text, an exception, or None for nothing.
    :ivar began: when each began.
    :ivar going_on: how many go on.
    """

    def __init__(self, clock: Clock) -> None:
        self.answer: str | Exception | None = "connected"
        self.began: list[float] = []
        self.going_on = 0
        self.most = 0
        self._clock = clock

    def __call__(self, backend: Backend) -> "Deferred[str]":
        self.began.append(self._clock.seconds())
        result: Deferred[str] = Deferred(self._ended)
        self.going_on += 1
        self.most = max(self.most, self.going_on)
        if self.answer is not None:
            self._ended(result)
            result.callback(self.answer) if isinstance(self.answer, str) else result.errback(self.answer)
        return result

    def _ended(self, _: "Deferred[str]") -> None:
        self.going_on -= 1


class WatchTests(SynchronousTestCase):
    """
    Backends are checked in time, and one that is down is known to be.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.pool = Pool(slow_start=0)
        self.health = Health(self.clock, self.pool, Rules())
        self.checks: dict[str, FakeCheck | None] = {name: FakeCheck(self.clock) for name in "abc"}
        self.watch = HealthWatch(self.clock, self.health, lambda backend: self.checks[backend.name], Random(5).uniform)
        self.backends = [Backend(name, f"tcp:{name}:1") for name in "abc"]
        self.a = self.backends[0]
        for backend in self.backends:
            self.pool.add(backend)
            self.watch.begin(backend)

    def tearDown(self) -> None:
        self.watch.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([check.going_on for check in self.checks.values() if check is not None and check.going_on], [])

    @property
    def check(self) -> FakeCheck:
        check = self.checks["a"]
        assert check is not None
        return check

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([STEP] * round(seconds / STEP))

    def until_down(self) -> float:
        began = self.clock.seconds()
        while self.a.is_up:
            self.clock.advance(STEP)
            self.assertLess(self.clock.seconds() - began, 20)
        return self.clock.seconds() - began

    def test_interval(self) -> None:
        """
        The first check is made at once, the others every two seconds; and not those of all backends together.
        """
        self.pass_time(60)
        began = self.check.began
        self.assertLess(began[0], 0.5 + STEP)
        between = [later - earlier for earlier, later in pairwise(began)]
        self.assertTrue(all(1.75 <= each <= 2.25 for each in between), between)
        self.assertGreater(len({round(each, 2) for each in between}), 3)
        self.assertEqual((self.a.why, self.a.is_up), ("connected after 0.0 ms", True))

    def test_refused(self) -> None:
        """
        A backend that refuses is known to be down within 3.5 s, whenever it begins.
        """
        for after in range(10):
            self.check.answer = "connected"
            self.pass_time(10 + 0.35 * after)
            self.assertTrue(self.a.is_up)
            self.check.answer = getConnectError((errno.ECONNREFUSED, "Connection refused"))
            self.assertLess(self.until_down(), 3.5)
            self.assertEqual(self.a.why, "connection refused")

    def test_black_hole(self) -> None:
        """
        A backend that does not answer is known to be down within 5.5 s, whenever it begins, though each check has its
        two seconds; and there are never more than three at a time.
        """
        for after in range(10):
            self.check.answer = "connected"
            self.pass_time(10 + 0.35 * after)
            self.assertTrue(self.a.is_up)
            self.check.answer = None
            self.assertLess(self.until_down(), 5.5)
            self.assertEqual(self.a.why, "no answer within 2 s")
        self.assertEqual(self.check.most, 3)

    def test_down_is_checked_alone(self) -> None:
        """
        While a backend is down, one check follows the other.
        """
        self.check.answer = None
        self.until_down()
        self.pass_time(5)
        self.check.most = 0
        self.pass_time(60)
        self.assertEqual(self.check.most, 1)

    def test_one_slow_answer(self) -> None:
        """
        A single check that is lost does not matter, and neither does one that is slow.
        """
        self.pass_time(5)
        self.check.answer = None
        while not self.check.going_on:
            self.clock.advance(STEP)
        self.check.answer = "connected"
        self.pass_time(10)
        self.assertEqual((self.a.is_up, self.a.traffic.refused), (True, 1))

    def test_back(self) -> None:
        """
        A backend that is there again is known to be within 3 s.
        """
        self.check.answer = ValueError("no")
        self.until_down()
        self.pass_time(7)
        self.check.answer = "connected"
        self.pass_time(3)
        self.assertTrue(self.a.is_up)

    def test_connections_tell_first(self) -> None:
        """
        When a connection was not served, the backend is checked soon, not at its turn.
        """
        self.pass_time(60)
        while self.check.began[-1] != self.clock.seconds():
            self.clock.advance(STEP)
        before = len(self.check.began)
        self.health.connect_failed(self.a, "connection refused")
        self.pass_time(0.6)
        self.assertEqual(len(self.check.began), before + 1)

    def test_our_own_limits(self) -> None:
        """
        When this machine has no descriptors left, no backend is down because of that.
        """
        self.check.answer = getConnectError((errno.EMFILE, "Too many open files"))
        self.pass_time(30)
        self.assertEqual((self.a.is_up, self.a.traffic.refused), (True, 0))
        self.assertGreater(len(self.check.began), 10)

    def test_broken_check(self) -> None:
        """
        A check that raises is logged, and counts as failed.
        """

        def broken(backend: Backend) -> "Deferred[str]":
            raise ValueError("broken")

        self.checks["a"] = broken  # type: ignore[assignment]
        self.watch.begin(self.a)
        self.until_down()
        self.assertEqual(self.a.why, "broken")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 3)
        self.checks["a"] = None

    def test_unchecked(self) -> None:
        """
        A backend with ``check=none`` is not checked, and one that connections have taken out comes back with the time.
        """
        self.checks["a"] = None
        self.watch.begin(self.a)
        self.pass_time(10)
        for _ in range(3):
            self.health.connect_failed(self.a, "connection refused")
        self.pass_time(1.9)
        self.assertFalse(self.a.is_up)
        self.pass_time(0.3)
        self.assertTrue(self.a.is_up)
        self.assertIsNone(self.a.checked)

    def test_mode(self) -> None:
        """
        A backend that the operator has taken out is not checked, a check that goes on ends; made ready, it is checked
        at once. One that drains is checked.
        """
        self.check.answer = None
        self.pass_time(1)
        self.assertGreater(self.check.going_on, 0)
        self.pool.set_mode(self.a, Mode.DOWN, 1.0)
        self.watch.begin(self.a)
        self.assertEqual(self.check.going_on, 0)
        before = len(self.check.began)
        self.pass_time(10)
        self.assertEqual(len(self.check.began), before)
        self.check.answer = "connected"
        self.pool.set_mode(self.a, Mode.DRAIN, 11.0)
        self.watch.begin(self.a)
        self.pass_time(0.6)
        self.assertEqual(len(self.check.began), before + 1)

    def test_removed(self) -> None:
        """
        When a backend is removed its check ends, and nothing is said of it any more.
        """
        self.check.answer = None
        self.pass_time(1)
        why = self.a.why
        self.watch.end(self.a)
        self.assertEqual((self.check.going_on, self.a.why), (0, why))
        before = len(self.check.began)
        self.health.connect_failed(self.a, "connection refused")
        self.pass_time(10)
        self.assertEqual(len(self.check.began), before)

    def test_timeout(self) -> None:
        """
        A shorter timeout holds at once.
        """
        self.watch.timeout = 1.0
        self.check.answer = None
        self.assertLess(self.until_down(), 4.5)
        self.assertEqual((self.a.why, self.watch.timeout), ("no answer within 1 s", 1.0))


class FlappingTests(SynchronousTestCase):
    """
    A backend that every check likes, and that closes every connection at once.
    """

    def test_held_down(self) -> None:
        """
        With a client every 50 ms over ten minutes it gets 3 at first, and then one now and then: 16 in all.
        """
        clock = Clock()
        pool = Pool(slow_start=0)
        health = Health(clock, pool, Rules())
        good, bad = Backend("good", "tcp:a:1"), Backend("bad", "tcp:b:1")
        watch = HealthWatch(clock, health, lambda backend: FakeCheck(clock), Random(7).uniform)
        for backend in (good, bad):
            pool.add(backend)
            watch.begin(backend)
        for _ in range(12_000):
            lease = pool.lease(clock.seconds())
            assert isinstance(lease, Lease)
            (health.served if lease.backend is good else health.closed_at_once)(lease.backend)
            lease.release()
            clock.advance(0.05)
        self.assertTrue(14 <= bad.traffic.connections <= 17, bad.traffic.connections)
        self.assertEqual(good.active + bad.active, 0)
        watch.stop()
        self.assertEqual(clock.getDelayedCalls(), [])
