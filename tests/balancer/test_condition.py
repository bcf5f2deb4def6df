"""
Tests for :mod:`echochat.balancer.condition`.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.balancer.condition import CONNECTIONS, FIRST_HOLD, LONGEST_HOLD, SOON, Condition, Rules, State
from tests.wire.examples import reproducible


class CheckTests(SynchronousTestCase):
    """
    What checks say.
    """

    def setUp(self) -> None:
        self.condition = Condition(Rules(fall=3, rise=2, interval=2.0))

    def fail_checks(self, times: int) -> None:
        for _ in range(times):
            self.condition.check_failed()

    def test_fall(self) -> None:
        """
        Three failed checks in a row, and not fewer, make it down.
        """
        self.fail_checks(2)
        self.condition.check_passed(0.0)
        self.fail_checks(2)
        self.assertIs(self.condition.state, State.UP)
        self.fail_checks(1)
        self.assertIs(self.condition.state, State.DOWN)

    def test_rise(self) -> None:
        """
        Two good checks in a row, and not fewer, make it up.
        """
        self.fail_checks(3)
        self.condition.check_passed(0.0)
        self.fail_checks(1)
        self.condition.check_passed(0.0)
        self.assertFalse(self.condition.is_up)
        self.condition.check_passed(0.0)
        self.assertIs(self.condition.state, State.UP)

    def test_haste(self) -> None:
        """
        It is looked at more often while its state may be about to change, and only then.
        """
        self.assertEqual(self.condition.until_next(0.0), 2.0)
        self.fail_checks(1)
        self.assertEqual(self.condition.until_next(0.0), SOON)
        self.fail_checks(2)
        self.assertEqual(self.condition.until_next(0.0), 2.0)
        self.condition.check_passed(0.0)
        self.assertEqual(self.condition.until_next(0.0), SOON)
        self.condition.check_passed(0.0)
        self.assertEqual(self.condition.until_next(0.0), 2.0)
        self.condition.unserved = 1
        self.assertEqual(self.condition.until_next(0.0), SOON)

    def test_some_time(self) -> None:
        """
        Whatever is set, there is some time between two checks.
        """
        self.condition.rules = Rules(interval=0.0)
        self.assertGreater(self.condition.until_next(0.0), 0.01)


class ConnectionTests(SynchronousTestCase):
    """
    What clients' connections say.
    """

    def setUp(self) -> None:
        self.condition = Condition(Rules())
        self.now = 1_000.0

    def take_out(self) -> None:
        while not self.condition.has_failed_enough:
            self.condition.unserved += 1
        self.condition.take_out(self.now)

    def pass_checks(self, times: int = 2) -> None:
        for _ in range(times):
            self.condition.check_passed(self.now)

    def test_row(self) -> None:
        """
        Three connections in a row are enough; one that was served begins the row anew.
        """
        self.condition.unserved = CONNECTIONS - 1
        self.assertFalse(self.condition.has_failed_enough)
        self.condition.served()
        self.condition.unserved += 1
        self.assertFalse(self.condition.has_failed_enough)
        self.condition.unserved = CONNECTIONS
        self.assertTrue(self.condition.has_failed_enough)

    def test_hold(self) -> None:
        """
        Good checks do not bring it back before its time is over; after that, on trial.
        """
        self.take_out()
        self.pass_checks()
        self.now += FIRST_HOLD - 0.1
        self.pass_checks()
        self.assertIs(self.condition.state, State.HELD)
        self.now += 0.1
        self.pass_checks(1)
        self.assertIs(self.condition.state, State.TRIAL)
        self.assertTrue(self.condition.is_up)

    def test_next_check(self) -> None:
        """
        The next check is not later than the end of its time.
        """
        self.take_out()
        self.pass_checks()
        self.now += FIRST_HOLD - 0.7
        self.assertAlmostEqual(self.condition.until_next(self.now), 0.7)

    def test_checks_agree(self) -> None:
        """
        When a check fails too, the checks see what is wrong, and will see when it is over: it need not wait.
        """
        self.take_out()
        self.condition.check_failed()
        self.assertIs(self.condition.state, State.DOWN)
        self.pass_checks()
        self.assertIs(self.condition.state, State.UP)

    def test_no_flapping(self) -> None:
        """
        One whose checks are good, and that serves nobody, is tried again ever more seldom: 14 times in ten minutes.
        """
        trials, began = [], self.now
        while self.now < began + 600:
            self.pass_checks()
            if self.condition.is_up:
                trials.append(self.now - began)
                self.take_out()
            self.now += 0.125
        self.assertEqual(trials[:7], [0, 2, 6, 14, 30, 62, 122])
        self.assertEqual(len(trials), 14)

    def test_served_on_trial(self) -> None:
        """
        The first connection on trial decides: one that is served brings back its whole credit.
        """
        self.take_out()
        self.now += FIRST_HOLD
        self.pass_checks()
        self.condition.served()
        self.assertIs(self.condition.state, State.UP)
        self.condition.unserved += 1
        self.assertFalse(self.condition.has_failed_enough)

    def test_long_ago(self) -> None:
        """
        What was long ago does not make it wait longer.
        """
        for _ in range(4):
            self.take_out()
            self.now += self.condition.hold
            self.pass_checks()
        self.assertEqual(self.condition.hold, 16.0)
        self.now += LONGEST_HOLD
        self.take_out()
        self.assertEqual(self.condition.hold, FIRST_HOLD)

    def test_unchecked(self) -> None:
        """
        Without checks it is tried when its time is over, and one that was down by checks that are no longer made is up.
        """
        self.take_out()
        self.condition.is_unchecked(self.now + FIRST_HOLD - 0.1)
        self.assertIs(self.condition.state, State.HELD)
        self.condition.is_unchecked(self.now + FIRST_HOLD)
        self.assertIs(self.condition.state, State.TRIAL)
        for _ in range(3):
            self.condition.check_failed()
        self.assertIs(self.condition.state, State.DOWN)
        self.condition.is_unchecked(self.now)
        self.assertIs(self.condition.state, State.UP)

    @settings(reproducible, max_examples=100)
    @given(st.lists(st.sampled_from(["pass", "fail", "unserved", "served", "wait"]), max_size=80))
    def test_any_story(self, story: list[str]) -> None:
        """
        Whatever happens, it never waits for longer than a minute, and when all is well again it comes back within that.
        """
        condition, now = Condition(Rules()), 0.0
        for what in story:
            if what == "pass":
                condition.check_passed(now)
            elif what == "fail":
                condition.check_failed()
            elif what == "served":
                condition.served()
            elif what == "wait":
                now += 1.5
            else:
                condition.unserved += 1
                if condition.is_up and condition.has_failed_enough:
                    condition.take_out(now)
            self.assertTrue(0.01 < condition.until_next(now) <= 2.0)
        end = now + LONGEST_HOLD + 0.2
        while now < end:
            condition.check_passed(now)
            now += condition.until_next(now)
        self.assertTrue(condition.is_up)
