"""
Tests for :mod:`echochat.identity.throttle`.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.identity.throttle import DELAYS, QUIET, LoginThrottle
from tests.wire.examples import reproducible

HERE, THERE = "192.0.2.1", "192.0.2.2"


class ThrottleTests(SynchronousTestCase):
    """
    Who guesses waits longer and longer; who only mistyped hardly notices.
    """

    def setUp(self) -> None:
        self.throttle = LoginThrottle()

    def guess(self, source: str, name: str, now: float) -> None:
        """
        Try a wrong password, which has to be allowed.
        """
        self.assertEqual(self.throttle.take_turn(source, name, now), 0.0)
        self.throttle.failed(source, name, now)

    def test_first_attempt(self) -> None:
        """
        Who has not failed does not wait.
        """
        self.assertEqual(self.throttle.take_turn(HERE, "alice", 0.0), 0.0)

    def test_delays(self) -> None:
        """
        After the first failures 2, 4 and 8 seconds have to pass, and 15 after each that follows.
        """
        now = 100.0
        for delay in (2.0, 4.0, 8.0, 15.0, 15.0, 15.0):
            self.guess(HERE, "alice", now)
            self.assertEqual(self.throttle.take_turn(HERE, "alice", now), delay)
            self.assertEqual(self.throttle.take_turn(HERE, "alice", now + delay - 0.5), 0.5)
            now += delay

    def test_by_source(self) -> None:
        """
        Who tries one password on many names waits as if it were one.
        """
        self.guess(HERE, "alice", 0.0)
        self.assertEqual(self.throttle.take_turn(HERE, "bob", 0.0), 2.0)
        self.guess(HERE, "bob", 2.0)
        self.assertEqual(self.throttle.take_turn(HERE, "carol", 2.0), 4.0)
        self.assertEqual(self.throttle.take_turn(THERE, "carol", 2.0), 0.0)

    def test_by_name(self) -> None:
        """
        Who tries one name from many places, in any letter case, waits as if it were one.
        """
        self.guess(HERE, "alice", 0.0)
        self.assertEqual(self.throttle.take_turn(THERE, "ALICE", 0.0), 2.0)
        self.guess(THERE, "Alice", 2.0)
        self.assertEqual(self.throttle.take_turn("192.0.2.3", "alice", 2.0), 4.0)

    def test_longest_counts(self) -> None:
        """
        Of both delays the longer one counts.
        """
        self.guess(HERE, "alice", 0.0)
        self.guess(HERE, "bob", 2.0)
        self.guess(THERE, "carol", 5.0)
        self.assertEqual(self.throttle.take_turn(HERE, "carol", 5.0), 2.0)
        self.assertEqual(self.throttle.take_turn(THERE, "bob", 5.0), 2.0)
        self.assertEqual(self.throttle.take_turn(HERE, "dave", 5.0), 1.0)

    def test_refused_attempts_do_not_count(self) -> None:
        """
        Who asks too early does not wait longer for it.
        """
        self.guess(HERE, "alice", 0.0)
        for _ in range(100):
            self.assertEqual(self.throttle.take_turn(HERE, "alice", 1.0), 1.0)

    def test_many_at_once(self) -> None:
        """
        Of many connections that waited for the same delay to end, one may try; when it fails the delay is the next.
        """
        self.guess(HERE, "alice", 0.0)
        waits = [self.throttle.take_turn(HERE, "alice", 2.0) for _ in range(64)]
        self.assertEqual(waits, [0.0, *[2.0] * 63])
        self.throttle.failed(HERE, "alice", 2.5)
        self.assertEqual(self.throttle.take_turn(HERE, "alice", 2.5), 4.0)

    def test_lost_result(self) -> None:
        """
        An attempt whose result never comes, because the connection went away, delays others once.
        """
        self.guess(HERE, "alice", 0.0)
        self.assertEqual(self.throttle.take_turn(HERE, "alice", 2.0), 0.0)
        self.assertEqual(self.throttle.take_turn(HERE, "alice", 4.0), 0.0)

    def test_success_forgets_the_name(self) -> None:
        """
        Who logs in after a slip is not slowed down by it, and others at the same source may try at once.
        """
        self.guess(HERE, "alice", 0.0)
        self.assertEqual(self.throttle.take_turn(HERE, "alice", 2.0), 0.0)
        self.throttle.succeeded(HERE, "Alice", 2.0)
        self.assertEqual(self.throttle.take_turn(THERE, "alice", 2.0), 0.0)
        self.assertEqual(self.throttle.take_turn(HERE, "bob", 2.0), 0.0)

    def test_success_does_not_forget_the_source(self) -> None:
        """
        A guesser who has an account, and logs in between guesses, waits for the guesses as long as any other.
        """
        now = 0.0
        for delay in (2.0, 4.0, 8.0, 15.0, 15.0):
            self.guess(HERE, "alice", now)
            self.assertEqual(self.throttle.take_turn(HERE, "mallory", now), delay)
            now += delay
            self.assertEqual(self.throttle.take_turn(HERE, "mallory", now), 0.0)
            self.throttle.succeeded(HERE, "mallory", now)

    def test_strangers_do_not_keep_the_owner_out(self) -> None:
        """
        Who has logged in from somewhere does not wait, there, because somebody elsewhere guesses at the name.
        """
        self.assertEqual(self.throttle.take_turn(HERE, "alice", 0.0), 0.0)
        self.throttle.succeeded(HERE, "alice", 0.0)
        self.guess(THERE, "alice", 1.0)
        self.assertEqual(self.throttle.take_turn(HERE, "Alice", 1.0), 0.0)
        self.assertEqual(self.throttle.take_turn("192.0.2.3", "alice", 1.0), 2.0)

    def test_guesser_at_the_owner_s_source(self) -> None:
        """
        Who guesses from where the owner logged in waits, for the source's sake.
        """
        self.throttle.succeeded(HERE, "alice", 0.0)
        self.guess(HERE, "alice", 0.0)
        self.assertEqual(self.throttle.take_turn(HERE, "alice", 0.0), 2.0)

    def test_quiet(self) -> None:
        """
        After a quiet time all is forgotten, and not before.
        """
        for quiet, delay in ((QUIET - 1.0, 4.0), (QUIET, 2.0)):
            throttle = self.throttle = LoginThrottle()
            self.guess(HERE, "alice", 0.0)
            self.guess(HERE, "alice", quiet)
            self.assertEqual(throttle.take_turn(HERE, "alice", quiet), delay)

    def test_bounded(self) -> None:
        """
        However many names and sources there are, so much is remembered: the least recent failures go first.
        """
        throttle = LoginThrottle(most=3)
        for number in range(100):
            throttle.failed(f"s{number}", f"n{number}", 0.0)
            throttle.succeeded(f"s{number}", "alice", 0.0)
            self.assertLessEqual(throttle.size, 9)
        self.assertEqual(throttle.take_turn("s99", "x", 0.0), 0.0)  # its success ended the delay
        self.assertEqual(throttle.take_turn("x", "n97", 0.0), 2.0)
        self.assertEqual(throttle.take_turn("x", "n96", 0.0), 0.0)

    def test_who_goes_on_is_remembered(self) -> None:
        """
        Who fails again and again is not forgotten for many others who fail once.
        """
        throttle = LoginThrottle(most=3)
        for number in range(100):
            throttle.failed(THERE, "bob", 0.0)
            throttle.failed(f"s{number}", f"n{number}", 0.0)
        self.assertEqual(throttle.take_turn(THERE, "x", 0.0), 15.0)
        self.assertEqual(throttle.take_turn("x", "bob", 0.0), 15.0)

    def test_owners_who_come_often_are_remembered(self) -> None:
        """
        Of those who logged in, the ones who did so last are remembered.
        """
        throttle = LoginThrottle(most=3)
        for name in ("alice", "a", "alice", "b", "c"):
            throttle.succeeded(HERE, name, 0.0)
        throttle.failed(THERE, "alice", 0.0)
        self.assertEqual(throttle.take_turn(HERE, "alice", 0.0), 0.0)
        for name in ("d", "e", "f"):
            throttle.succeeded(HERE, name, 0.0)
        self.assertEqual(throttle.take_turn(HERE, "alice", 0.0), 2.0)

    @settings(reproducible, max_examples=100)
    @given(
        st.lists(
            st.tuples(st.sampled_from("ab"), st.sampled_from(["alice", "bob"]), st.floats(0, 14), st.booleans()),
            max_size=60,
        )
    )
    def test_guesses_are_rare(self, attempts: list[tuple[str, str, float, bool]]) -> None:
        """
        Whatever is tried, and whenever: a source's failure is not followed by another attempt from there before its
        delay has passed, and no wait is longer than the longest delay.
        """
        throttle = LoginThrottle()
        now = 0.0
        free: dict[str, float] = {}
        failures: dict[str, int] = {}
        for source, name, pause, right in attempts:
            now += pause
            wait = throttle.take_turn(source, name, now)
            self.assertLessEqual(wait, DELAYS[-1])
            if wait:
                continue
            self.assertGreaterEqual(now, free.get(source, 0.0))
            if right:
                throttle.succeeded(source, name, now)
            else:
                throttle.failed(source, name, now)
                failures[source] = failures.get(source, 0) + 1
                free[source] = now + DELAYS[min(failures[source], len(DELAYS)) - 1] - 1e-6
