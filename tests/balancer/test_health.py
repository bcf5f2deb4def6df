"""
Tests for :mod:`echochat.balancer.health`.
"""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echochat.balancer.backends import Backend, Mode
from echochat.balancer.condition import FIRST_HOLD, Rules, State
from echochat.balancer.health import Health
from echochat.balancer.pool import Pool


class HealthTests(SynchronousTestCase):
    """
    What is told of a backend decides whether the pool chooses it.
    """

    def make(self, names: str = "abcd") -> None:
        self.clock = Clock()
        self.pool = Pool()
        self.health = Health(self.clock, self.pool, Rules())
        self.doubted: list[Backend] = []
        self.health.doubted = self.doubted.append
        self.backends = [Backend(name, f"tcp:{name}:1") for name in names]
        self.a = self.backends[0]
        for backend in self.backends:
            self.pool.add(backend)
            self.health.begin(backend)

    @property
    def up(self) -> str:
        return "".join(backend.name for backend in self.backends if backend.is_up)

    def test_checks(self) -> None:
        """
        Checks take a backend out of service and bring it back, with slow start; what they saw, and when, can be read.
        """
        self.make()
        self.clock.advance(7)
        for _ in range(3):
            self.health.check_failed(self.a, "connection refused")
        self.assertEqual((self.up, self.a.why, self.a.checked), ("bcd", "connection refused", 7.0))
        self.assertEqual((self.a.traffic.refused, self.a.traffic.failures), (3, 0))
        self.clock.advance(1)
        for _ in range(2):
            self.health.check_passed(self.a, "connected")
        self.assertEqual((self.up, self.a.why, self.a.checked), ("abcd", "connected", 8.0))
        self.assertEqual(self.a.since, 8.0)

    def test_connections(self) -> None:
        """
        The third connection in a row that fails takes it out at once, and it is looked at soon, from the first one on.
        """
        self.make()
        self.health.connect_failed(self.a, "connection refused")
        self.assertEqual((self.doubted, self.a.failed), ([self.a], 1))
        self.health.connect_failed(self.a, "connection refused")
        self.assertEqual((self.up, self.a.failed), ("abcd", 2))
        self.health.connect_failed(self.a, "connection refused")
        self.assertEqual((self.up, self.a.failed), ("bcd", 0))
        self.assertEqual(self.a.why, "connections in a row that failed: 3; connection refused")
        self.assertEqual((self.a.traffic.failures, set(self.doubted)), (3, {self.a}))

    def test_served(self) -> None:
        """
        A connection that was served begins the row anew.
        """
        self.make()
        for _ in range(5):
            self.health.connect_failed(self.a, "no answer")
            self.health.closed_at_once(self.a)
            self.health.served(self.a)
            self.assertEqual((self.up, self.a.failed), ("abcd", 0))
        self.assertEqual(self.a.traffic.failures, 10)

    def test_closed_at_once(self) -> None:
        """
        Connections that were closed at once are as bad as failed ones.
        """
        self.make()
        self.health.connect_failed(self.a, "no answer")
        for _ in range(2):
            self.health.closed_at_once(self.a)
        self.assertEqual((self.up, self.a.why), ("bcd", "connections in a row that it closed at once: 3"))

    def test_not_all(self) -> None:
        """
        Clients that know how to be closed at once cannot take out more than half of the backends.
        """
        for names, left in (("a", 1), ("ab", 1), ("abc", 2), ("abcd", 2), ("abcde", 3)):
            self.make(names)
            for _ in range(10):
                for backend in self.backends:
                    self.health.closed_at_once(backend)
            self.assertEqual(len(self.up), left)

    def test_all_when_they_fail(self) -> None:
        """
        Attempts that failed can take out all of them.
        """
        self.make()
        for backend in self.backends:
            for _ in range(3):
                self.health.connect_failed(backend, "connection refused")
        self.assertEqual(self.up, "")

    def test_not_counted_among_half(self) -> None:
        """
        Backends that are down because checks say so do not protect one that closes everything.
        """
        self.make()
        for backend in self.backends[1:3]:
            for _ in range(3):
                self.health.check_failed(backend, "connection refused")
        for _ in range(3):
            self.health.closed_at_once(self.a)
        self.assertEqual(self.up, "d")

    def test_held(self) -> None:
        """
        While its checks are good and it is held down, that can be read; afterwards it comes back on trial, and the
        first connection that it does not serve takes it out for twice as long.
        """
        self.make()
        for _ in range(3):
            self.health.closed_at_once(self.a)
        self.health.check_passed(self.a, "connected")
        self.assertEqual(self.a.why, "connected; but connections fail, so it is held down for 2 s")
        self.health.check_passed(self.a, "connected")
        self.assertEqual(self.up, "bcd")
        self.clock.advance(FIRST_HOLD)
        self.health.check_passed(self.a, "connected")
        self.assertEqual((self.up, self.a.why), ("abcd", "connected"))
        self.health.closed_at_once(self.a)
        self.health.check_passed(self.a, "connected")
        self.assertEqual((self.up, self.a.why), ("bcd", "connected; but connections fail, so it is held down for 4 s"))

    def test_unchecked(self) -> None:
        """
        One without checks comes back when its time is over; while it is up nothing is said.
        """
        self.make()
        self.health.is_unchecked(self.a)
        self.assertEqual((self.a.why, self.a.checked), ("not checked yet", None))
        for _ in range(3):
            self.health.connect_failed(self.a, "connection refused")
        self.health.is_unchecked(self.a)
        self.assertEqual(self.up, "bcd")
        self.clock.advance(FIRST_HOLD)
        self.health.is_unchecked(self.a)
        self.assertEqual(self.up, "abcd")

    def test_removed(self) -> None:
        """
        What connections tell of one that was removed is counted, and changes nothing else.
        """
        self.make()
        self.pool.remove(self.a)
        self.health.end(self.a)
        for _ in range(5):
            self.health.connect_failed(self.a, "connection refused")
            self.health.closed_at_once(self.a)
            self.health.served(self.a)
        self.assertEqual((self.a.is_up, self.a.traffic.failures, self.doubted), (True, 10, []))

    def test_rules(self) -> None:
        """
        Other rules hold from then on, for all.
        """
        self.make()
        self.health.rules = Rules(fall=1, rise=1)
        self.health.check_failed(self.a, "no")
        self.assertEqual((self.up, self.health.rules.rise), ("bcd", 1))
        self.health.check_passed(self.a, "yes")
        self.assertEqual(self.up, "abcd")

    def test_begin_again(self) -> None:
        """
        To begin again forgets nothing; and one that is taken out by the operator does not count when half are counted.
        """
        self.make("abc")
        for _ in range(3):
            self.health.connect_failed(self.a, "no")
        self.assertIs(self.health.begin(self.a).state, State.HELD)
        self.pool.set_mode(self.backends[2], Mode.DOWN, 0.0)
        for _ in range(3):
            self.health.closed_at_once(self.backends[1])
        self.assertEqual(self.up, "bc")
