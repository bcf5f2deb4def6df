"""
Tests for :mod:`echochat.balancer.pool` and :mod:`echochat.balancer.tiers`.
"""

from collections import Counter
from random import Random
from time import perf_counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from echochat.balancer.backends import Backend, Lease, Mode
from echochat.balancer.pool import Pool, Shortage
from tests.wire.examples import reproducible


def make_pool(*weights: int, slow_start: float = 0.0, **settings: Any) -> tuple[Pool, list[Backend]]:
    """
    A pool of backends with these weights, named a, b and so on.
    """
    pool = Pool(slow_start, **settings)
    backends = [Backend("abcdefghij"[number], "tcp:h:1", weight) for number, weight in enumerate(weights)]
    for backend in backends:
        pool.add(backend)
    return pool, backends


def take(pool: Pool, count: int, now: float = 0.0, avoid: tuple[Backend, ...] = ()) -> list[Lease]:
    """
    That many connections.
    """
    leases = []
    for _ in range(count):
        lease = pool.lease(now, avoid)
        assert isinstance(lease, Lease), lease
        leases.append(lease)
    return leases


def names(leases: list[Lease]) -> str:
    """
    Where they are.
    """
    return "".join(lease.backend.name for lease in leases)


def counts(backends: list[Backend]) -> list[int]:
    """
    How many connections each has.
    """
    return [backend.active for backend in backends]


class ChoiceTests(SynchronousTestCase):
    """
    The one with the fewest connections for its weight is next.
    """

    def test_one_after_another(self) -> None:
        """
        Of ten connections that come one after another each of two gets five; when one has two that stay, the next ten
        make both equal.
        """
        pool, (a, b) = make_pool(1, 1)
        for _ in range(10):
            take(pool, 1)[0].release()
        self.assertEqual((a.traffic.connections, b.traffic.connections), (5, 5))
        take(pool, 2, avoid=(b,))
        take(pool, 10)
        self.assertEqual(counts([a, b]), [6, 6])

    def test_weights(self) -> None:
        """
        A hundred that stay are divided as the weights say.
        """
        pool, backends = make_pool(1, 2, 3, 4)
        take(pool, 100)
        self.assertEqual(counts(backends), [10, 20, 30, 40])

    def test_ties(self) -> None:
        """
        Of equals the one that was chosen least recently is next, whatever has ended meanwhile.
        """
        pool, _ = make_pool(1, 1, 1)
        taken = []
        for _ in range(9):
            taken += take(pool, 1)
            taken[-1].release()
        self.assertEqual(names(taken), "abcabcabc")

    def test_release_once(self) -> None:
        """
        A lease is given back once, however often that is said.
        """
        pool, (a,) = make_pool(1)
        lease, _ = take(pool, 2)
        self.assertTrue(lease.is_held)
        for _ in range(3):
            lease.release()
        self.assertEqual((a.active, lease.is_held), (1, False))

    def test_full(self) -> None:
        """
        One that has as many as it may have is skipped; when all have, waiting can help.
        """
        pool, (a, b) = make_pool(1, 1)
        pool.change(a, most=2)
        pool.change(b, most=3)
        leases = take(pool, 5)
        self.assertEqual(counts([a, b]), [2, 3])
        self.assertIs(pool.lease(0.0), Shortage.FULL)
        leases[-1].release()
        take(pool, 1)
        self.assertIs(pool.lease(0.0), Shortage.FULL)

    def test_shortage_without_those_tried(self) -> None:
        """
        Whether waiting can help depends on those that were not tried.
        """
        pool, (a, b, c) = make_pool(1, 1, 1)
        pool.change(b, most=1)
        take(pool, 1, avoid=(a, c))
        self.assertIs(pool.lease(0.0, (a, c)), Shortage.FULL)
        self.assertIs(pool.lease(0.0, (a, b, c)), Shortage.DOWN)
        pool.set_down(b)
        self.assertIs(pool.lease(0.0, (a, c)), Shortage.DOWN)
        self.assertIs(Pool().lease(0.0), Shortage.DOWN)

    def test_taken_out(self) -> None:
        """
        When an operator wants no backend to get any, that is said, and not that none is up; one that is wanted and down
        is down. Removing the last one that is wanted is the same.
        """
        pool, (a, b, c) = make_pool(1, 1, 1)
        pool.set_down(b)
        pool.set_mode(a, Mode.DRAIN, 0.0)
        self.assertIsNone(pool.shortage)
        pool.set_mode(c, Mode.DOWN, 0.0)
        self.assertEqual((pool.shortage, pool.lease(0.0)), (Shortage.DOWN, Shortage.DOWN))
        pool.remove(b)
        self.assertEqual((pool.shortage, pool.lease(0.0)), (Shortage.OUT, Shortage.OUT))
        pool.panic = True
        self.assertIs(pool.lease(0.0), Shortage.OUT)
        pool.set_mode(a, Mode.READY, 0.0)
        self.assertIsNone(pool.shortage)
        pool.set_down(a)
        self.assertIsNone(pool.shortage)
        self.assertEqual(names(take(pool, 1)), "a")

    def test_backup(self) -> None:
        """
        A backup gets connections only when no other backend can have them, and none when one can again.
        """
        pool, (a, b, c) = make_pool(1, 1, 1)
        pool.change(c, backup=True)
        pool.change(b, most=1)
        self.assertEqual(names(take(pool, 4)).count("c"), 0)
        pool.set_down(a)
        self.assertEqual(names(take(pool, 2)), "cc")
        pool.set_up(a, 0.0)
        self.assertEqual(names(take(pool, 2)), "aa")
        self.assertEqual(names(take(pool, 1, avoid=(a, b))), "c")
        pool.change(c, backup=False)
        self.assertEqual(names(take(pool, 1)), "c")

    def test_mode(self) -> None:
        """
        One that drains, is down or is taken out gets nothing new, and keeps what it has.
        """
        pool, (a, _) = make_pool(1, 1)
        (first,) = take(pool, 1)
        for mode in (Mode.DRAIN, Mode.DOWN):
            pool.set_mode(a, mode, 0.0)
            self.assertEqual(names(take(pool, 3)), "bbb")
        pool.set_mode(a, Mode.READY, 0.0)
        pool.set_down(a)
        self.assertEqual(names(take(pool, 3)), "bbb")
        self.assertEqual(a.active, 1)
        pool.set_up(a, 0.0)
        first.release()
        self.assertEqual(names(take(pool, 9)), "a" * 9)

    def test_panic(self) -> None:
        """
        When all are down, all that the operator has not taken out are tried if that is wanted, the fewest first and
        within their limits.
        """
        pool, (a, b, c) = make_pool(1, 1, 1, panic=True)
        pool.set_mode(c, Mode.DOWN, 0.0)
        pool.set_down(a)
        take(pool, 2)
        pool.set_down(b)
        pool.change(a, most=3)
        self.assertEqual(names(take(pool, 4)), "aaba")
        self.assertEqual(names(take(pool, 1, avoid=(a,))), "b")
        pool.change(b, most=1)
        self.assertIs(pool.lease(0.0), Shortage.FULL)
        self.assertIs(pool.lease(0.0, (a, b)), Shortage.DOWN)
        pool.panic = False
        self.assertIs(pool.lease(0.0), Shortage.DOWN)

    def test_removed(self) -> None:
        """
        One that was removed is never chosen again, whatever is still told of it, and another may have its name.
        """
        pool, (a, _) = make_pool(1, 1)
        (lease,) = take(pool, 1)
        pool.remove(a)
        pool.set_down(a)
        pool.set_up(a, 0.0)
        pool.change(a, weight=9)
        pool.set_mode(a, Mode.READY, 0.0)
        other = Backend("a", "tcp:other:1")
        pool.add(other)
        self.assertRaises(ValueError, pool.add, Backend("a", "tcp:third:1"))
        lease.release()
        self.assertEqual(counts([a, other]), [0, 0])
        self.assertNotIn(a, {lease.backend for lease in take(pool, 10)})
        self.assertEqual(([each.endpoint for each in pool], len(pool)), (["tcp:h:1", "tcp:other:1"], 2))
        self.assertIs(pool.get("a"), other)

    def test_freed(self) -> None:
        """
        Whoever waits is told of all that may be good or bad news.
        """
        pool, (a, b) = make_pool(1, 1)
        told: list[str] = []
        pool.freed = lambda: told.append("freed")
        lease = take(pool, 1)[0]
        self.assertEqual(told, [])
        for number, change in enumerate(
            (
                lease.release,
                lambda: pool.set_down(a),
                lambda: pool.set_up(a, 0.0),
                lambda: pool.change(a, most=3),
                lambda: pool.set_mode(a, Mode.DRAIN, 0.0),
                lambda: pool.remove(b),
                lambda: pool.add(b),
            ),
            1,
        ):
            change()
            self.assertEqual(len(told), number)


class SlowStartTests(SynchronousTestCase):
    """
    A backend that comes back, or joins, is filled slowly.
    """

    def returned(self, others: int, rate: int, held: int) -> list[int]:
        """
        A backend comes back, empty, beside others that have connections.

        :param rate: connections that come a second; none ends.
        :return: how many of them it gets, each second.
        """
        pool, backends = make_pool(*[1] * (others + 1), slow_start=30.0)
        back = backends[0]
        pool.set_down(back)
        take(pool, held * others)
        pool.set_up(back, 100.0)
        got = []
        for second in range(40):
            before = back.active
            for each in range(rate):
                take(pool, 1, 100.0 + second + each / rate)
            got.append(back.active - before)
        return got

    def test_fair_share(self) -> None:
        """
        In no second it gets more than twice its fair share of what comes, however few the others have, or many.
        """
        for others in (1, 2, 3, 9):
            for rate in (20, 100, 1_000):
                for held in (0, 10, 1_000):
                    most = 2 * rate / (others + 1)
                    got = self.returned(others, rate, held)[:30]
                    self.assertLessEqual(max(got), most + 1, (others, rate, held))
                    self.assertGreater(sum(got), 0, (others, rate, held))

    def test_grows(self) -> None:
        """
        It begins with little; and when the time is over, it gets all until it has as many as the others.
        """
        got = self.returned(1, 1_000, 0)
        self.assertLess(got[0], 60)
        self.assertEqual(got[:29], sorted(got[:29]))
        self.assertEqual(self.returned(3, 20, 1_000)[31], 20)

    def test_limit(self) -> None:
        """
        Its limit grows, too; it may have one from the beginning.
        """
        pool, (a,) = make_pool(1, slow_start=10.0)
        pool.change(a, most=100)
        pool.set_down(a)
        pool.set_up(a, 0.0)
        for now, most in ((0.0, 1), (0.1, 1), (5.0, 50), (9.0, 90), (10.0, 100)):
            while isinstance(pool.lease(now), Lease):
                pass
            self.assertEqual(a.active, most)
            self.assertIs(pool.lease(now), Shortage.FULL)

    def test_all_at_once(self) -> None:
        """
        When all come back together, nobody is refused, and each gets its part.
        """
        pool, backends = make_pool(1, 2, 3, slow_start=30.0)
        for backend in backends:
            pool.set_down(backend)
        for backend in backends:
            pool.set_up(backend, 0.0)
        take(pool, 600, 1.0)
        self.assertEqual(counts(backends), [100, 200, 300])

    def test_at_the_start(self) -> None:
        """
        At the balancer's own start there is no slow start, nor without one.
        """
        pool, (a, b) = make_pool(1, 1, slow_start=30.0)
        take(pool, 100)
        self.assertEqual(counts([a, b]), [50, 50])
        pool.slow_start = 0.0
        pool.set_down(a)
        take(pool, 100)
        pool.set_up(a, 1.0)
        self.assertEqual(names(take(pool, 100, 1.0)), "a" * 100)

    def test_setting(self) -> None:
        """
        A slow start that is set shorter is over at once for whoever has begun longer ago.
        """
        pool, (a, b) = make_pool(1, 1, slow_start=1_000.0)
        pool.set_down(a)
        take(pool, 1_000)
        pool.set_up(a, 0.0)
        take(pool, 100, 6.0)
        self.assertLess(a.active, 20)
        pool.slow_start = 5.0
        before = a.active
        take(pool, 100, 6.0)
        self.assertEqual((a.active, a.since), (before + 100, None))
        pool.set_mode(b, Mode.DRAIN, 7.0)
        pool.set_mode(b, Mode.READY, 8.0)
        self.assertEqual(b.since, 8.0)


class StormTests(SynchronousTestCase):
    """
    Many connections.
    """

    def test_ten_thousand(self) -> None:
        """
        After ten thousand that were opened, failed and closed at random, with backends that go and come, each count is
        what it ought to be at every step, and zero at the end.
        """
        random = Random(4)
        pool, backends = make_pool(1, 2, 3, 1, 1, slow_start=3.0)
        pool.change(backends[3], most=20)
        pool.change(backends[4], backup=True)
        held: list[Lease] = []
        now = 0.0
        for step in range(10_000):
            now += random.expovariate(20)
            lease = pool.lease(now)
            if isinstance(lease, Lease):
                if random.random() < 0.2:
                    lease.release()
                else:
                    held.append(lease)
            while held and random.random() < 0.52:
                held.pop(random.randrange(len(held))).release()
            if random.random() < 0.02:
                backend = random.choice(backends)
                pool.set_down(backend) if backend.is_up else pool.set_up(backend, now)
            if random.random() < 0.01:
                pool.set_mode(random.choice(backends), random.choice(list(Mode)), now)
            if step % 100 == 0:
                self.assertEqual(Counter(each.backend for each in held), Counter({b: b.active for b in backends}))
        for lease in held:
            lease.release()
        self.assertEqual(counts(backends), [0] * 5)

    def test_cost(self) -> None:
        """
        A choice among a thousand costs at most five times what one among four does: it does not look at all of them.
        """

        def cost(count: int) -> float:
            pool = Pool()
            for number in range(count):
                pool.add(Backend(str(number), "tcp:h:1", 1 + number % 3))
            held = take(pool, 2_000)
            best = 1e9
            for _ in range(5):
                began = perf_counter()
                for at in range(1_000):
                    held[at].release()
                    (held[at],) = take(pool, 1)
                best = min(best, perf_counter() - began)
            return best

        self.assertLess(cost(1_000), 5 * cost(4))

    def test_cost_when_full(self) -> None:
        """
        That all of a thousand are full is known without looking at them.
        """
        pool = Pool()
        for number in range(1_000):
            pool.add(Backend(str(number), "tcp:h:1", most=1))
        take(pool, 1_000)
        looked_at = Counter[str]()
        self.patch(Backend, "may_serve", property(lambda backend: looked_at.update("x")))
        self.patch(Backend, "has_room", property(lambda backend: looked_at.update("x")))
        self.assertIs(pool.lease(0.0), Shortage.FULL)
        self.assertEqual(looked_at.total(), 0)

    def test_memory(self) -> None:
        """
        What is kept does not grow with the number of connections.
        """
        pool, _ = make_pool(1, 1, 1)
        for _ in range(5_000):
            for lease in take(pool, 2):
                lease.release()
        self.assertLess(len(pool._tiers[0]._heap), 100)


class PoolMachine(RuleBasedStateMachine):
    """
    A pool to which anything may happen, and a model that looks at all backends each time.
    """

    @initialize(slow_start=st.sampled_from([0.0, 5.0]), panic=st.booleans())
    def begin(self, slow_start: float, panic: bool) -> None:
        self.pool = Pool(slow_start, panic=panic)
        self.now = 0.0
        self.held: list[Lease] = []
        self.removed: list[Backend] = []
        self.last: Backend | None = None

    @property
    def backends(self) -> list[Backend]:
        return list(self.pool)

    def usable(self, avoid: Any = ()) -> list[Backend]:
        able = [each for each in self.pool if each.may_serve and each.has_room and each not in avoid]
        return [each for each in able if not each.backup] or able

    @rule(weight=st.integers(1, 5), most=st.sampled_from([0, 0, 1, 3]), backup=st.booleans(), joins=st.booleans())
    def add(self, weight: int, most: int, backup: bool, joins: bool) -> None:
        names = {each.name for each in self.pool}
        free = [name for name in "abcdef" if name not in names]
        if free:
            backend = Backend(free[0], "tcp:h:1", weight, most, backup)
            self.pool.add(backend, self.now if joins else None)

    @precondition(lambda self: len(self.pool) > 0)
    @rule(number=st.integers(0, 5))
    def remove(self, number: int) -> None:
        backend = self.backends[number % len(self.pool)]
        self.pool.remove(backend)
        self.removed.append(backend)

    @precondition(lambda self: len(self.pool) > 0)
    @rule(number=st.integers(0, 5), what=st.sampled_from(["up", "down", *Mode]))
    def set_state(self, number: int, what: Any) -> None:
        backend = self.backends[number % len(self.pool)]
        if what == "up":
            self.pool.set_up(backend, self.now)
        elif what == "down":
            self.pool.set_down(backend)
        else:
            self.pool.set_mode(backend, what, self.now)

    @precondition(lambda self: len(self.pool) > 0)
    @rule(number=st.integers(0, 5), weight=st.integers(1, 5), most=st.integers(0, 4), backup=st.booleans())
    def change(self, number: int, weight: int, most: int, backup: bool) -> None:
        self.pool.change(self.backends[number % len(self.pool)], weight=weight, most=most, backup=backup)

    @precondition(lambda self: self.removed)
    @rule(number=st.integers(0, 5))
    def tell_of_a_removed_one(self, number: int) -> None:
        backend = self.removed[number % len(self.removed)]
        self.pool.set_down(backend)
        self.pool.set_up(backend, self.now)

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(times=st.integers(1, 6), avoid=st.sets(st.integers(0, 5), max_size=2))
    def lease(self, times: int, avoid: set[int]) -> None:
        tried = [each for number, each in enumerate(self.pool) if number in avoid]
        for _ in range(times):
            usable = self.usable(tried)
            lease = self.pool.lease(self.now, tried)
            if isinstance(lease, Lease):
                self.held.append(lease)
                self.judge(lease.backend, usable, tried)
            else:
                self.explain(lease, usable, tried)

    def judge(self, chosen: Backend, usable: list[Backend], tried: list[Backend]) -> None:
        assert chosen not in tried
        if not usable:
            # Panic.
            assert self.pool.panic
            assert not any(each.may_serve for each in self.pool)
            assert chosen.mode is Mode.READY
            return
        starting = {each for each in self.pool if each.since is not None}
        if chosen.backup and not any(each.backup for each in usable):
            # Those in service are full for as long as they start slowly.
            assert {each for each in usable if not each.backup} <= starting
            return
        assert chosen in usable
        for other in set(usable) - starting:
            assert chosen.active / chosen.weight <= (other.active + 1) / other.weight or chosen in starting
            if (chosen.active - 1, chosen.weight) == (other.active, other.weight) and chosen not in starting:
                assert chosen is other or other.used < chosen.used

    def explain(self, shortage: Shortage, usable: list[Backend], tried: list[Backend]) -> None:
        # Of what could be chosen all is at the limit that its slow start sets.
        assert all(each.since is not None and each.most for each in usable)
        others = [each for each in self.pool if each not in tried]
        if any(each.may_serve for each in others):
            assert shortage is Shortage.FULL
        elif len(self.pool) and all(each.mode is not Mode.READY for each in self.pool):
            assert shortage is Shortage.OUT
        elif not self.pool.panic:
            assert shortage is Shortage.DOWN

    @precondition(lambda self: self.held)
    @rule(number=st.integers(0, 100), times=st.integers(1, 3))
    def release(self, number: int, times: int) -> None:
        lease = self.held.pop(number % len(self.held))
        for _ in range(times):
            lease.release()

    @invariant()
    def counts(self) -> None:
        held = Counter(lease.backend for lease in self.held)
        for backend in [*self.pool, *self.removed]:
            assert backend.active == held[backend]

    @invariant()
    def stand_once(self) -> None:
        for number, tier in enumerate(self.pool._tiers):
            able = {each for each in self.pool if each.may_serve and each.has_room and each.backup == bool(number)}
            assert {*tier._valid, *tier._slow} == able
            assert not {*tier._valid} & {*tier._slow}
            assert sum(each.weight for each in able) == tier._weight
            entries = [entry for entry in tier._heap if tier._valid.get(entry[3]) == entry[2]]
            assert len(entries) == len(tier._valid)
            for load, used, _, backend in entries:
                assert (load, used) == ((backend.active + 1) / backend.weight, backend.used)

    def teardown(self) -> None:
        for lease in getattr(self, "held", []):
            lease.release()
            assert lease.backend.active >= 0
        for backend in [*getattr(self, "pool", []), *getattr(self, "removed", [])]:
            assert backend.active == 0


class InvariantTests(SynchronousTestCase):
    """
    What holds whatever happens.
    """

    def test_any_history(self) -> None:
        """
        The counts are those of the leases that are held; the one that is chosen is the least loaded of those that may
        be; each that may be chosen stands once in its tier.
        """
        run_state_machine_as_test(
            PoolMachine,
            settings=settings(
                reproducible, max_examples=150, stateful_step_count=40, suppress_health_check=list(HealthCheck)
            ),
        )
