"""
A backend that joins gets its share of the sessions that there are.
"""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echochat.balancer.backends import Backend, Lease, Mode
from echochat.balancer.pool import Pool
from echochat.balancer.rebalancing import TOLERANCE, Rebalancing, shares
from echochat.server.moving import Moving
from tests.wire.examples import reproducible


def make(name: str, active: int, weight: int = 1, most: int = 0) -> Backend:
    """
    A backend with so many connections.
    """
    return Backend(name, f"tcp:{name}:1", weight, most, active=active)


class SharesTests(SynchronousTestCase):
    """
    Tests for :func:`shares`.
    """

    def test_equal(self) -> None:
        """
        Without limits it is the same for each, for its weight.
        """
        for given_, expected in (
            ([make("a", 1_000), make("b", 1_000), make("c", 1_000), make("d", 0)], [750] * 4),
            ([make("a", 90, 1), make("b", 0, 2)], [30, 60]),
            ([make("a", 0), make("b", 0)], [0, 0]),
            ([], []),
        ):
            self.assertEqual([*shares(given_).values()], expected)

    def test_limits(self) -> None:
        """
        What a limit leaves is the others'.
        """
        backends = [make("a", 900), make("b", 0, most=100), make("c", 0, most=350)]
        share = shares(backends)
        self.assertEqual([share[each] for each in backends], [450, 100, 350])
        backends = [make("a", 100, most=10), make("b", 100, most=20)]
        share = shares(backends)
        self.assertEqual([share[each] for each in backends], [10, 20])

    @settings(reproducible, max_examples=100)
    @given(
        st.lists(
            st.tuples(st.integers(0, 500), st.integers(1, 9), st.one_of(st.just(0), st.integers(1, 400))),
            min_size=1,
            max_size=8,
        )
    )
    def test_nothing_is_lost(self, described: list[tuple[int, int, int]]) -> None:
        """
        All connections are shared out as far as the limits go, and nobody has more than its limit.
        """
        backends = [make(str(number), *each) for number, each in enumerate(described)]
        share = shares(backends)
        self.assertEqual(set(share), set(backends))
        total = sum(each.active for each in backends)
        room = float("inf") if any(not each.most for each in backends) else sum(each.most for each in backends)
        self.assertAlmostEqual(sum(share.values()), min(total, room), places=6)
        for each in backends:
            self.assertLessEqual(share[each], each.most or float("inf"))


class RebalancingTests(SynchronousTestCase):
    """
    Tests for :class:`Rebalancing`.
    """

    def setUp(self) -> None:
        self.pool = Pool(0)
        self.moved: list[tuple[str, int, float]] = []
        self.wanted = True
        self.rebalancing = Rebalancing(
            self.pool, self.move, lambda each: each.may_serve, lambda: self.wanted, lambda: 30.0, self.stay
        )
        self.stayed: list[str] = []
        self.is_under_way = True

    def move(self, backend: Backend, count: int, seconds: float) -> None:
        self.moved.append((backend.name, count, seconds))

    def stay(self, backend: Backend) -> str | None:
        self.stayed.append(backend.name)
        return "they stay" if self.is_under_way else None

    def named(self, name: str) -> Backend:
        """
        The one of that name, which has to be there.
        """
        found = self.pool.get(name)
        assert found is not None
        return found

    def add(self, name: str, active: int, **more: int) -> Backend:
        """
        A backend of the pool with so many connections.
        """
        backend = make(name, active, **more)
        self.pool.add(backend)
        return backend

    def test_join(self) -> None:
        """
        Those that have too many are asked for what is too much, once.
        """
        for name in "abc":
            self.add(name, 1_000)
        self.rebalancing.look()
        self.assertEqual(self.moved, [])
        self.add("d", 0)
        self.rebalancing.look()
        self.assertEqual(self.moved, [("a", 250, 30), ("b", 250, 30), ("c", 250, 30)])
        self.rebalancing.look()
        self.assertEqual(len(self.moved), 3)

    def test_newcomer_is_gone_again(self) -> None:
        """
        When one that has joined serves no more, those who were asked for it are told once that the rest may stay; not
        one that an operator drains meanwhile. Of two that have joined, the other still gets its share.
        """
        for name in "abc":
            self.add(name, 1_000)
        self.rebalancing.look()
        d, e = self.add("d", 0), self.add("e", 0)
        self.rebalancing.look()
        self.assertEqual(self.moved, [("a", 400, 30), ("b", 400, 30), ("c", 400, 30)])
        self.pool.set_mode(self.named("b"), Mode.DRAIN, 0.0)
        self.pool.set_down(d)
        self.rebalancing.look()
        self.assertEqual(self.stayed, ["a", "c"])
        self.assertEqual(self.moved[3:], [("a", 333, 30), ("c", 333, 30)])
        self.pool.remove(e)
        self.rebalancing.look()
        self.assertEqual(self.stayed, ["a", "c", "a", "c"])
        self.pool.set_down(self.named("a"))
        self.rebalancing.look()
        self.assertEqual((len(self.stayed), len(self.moved)), (4, 5))

    def test_second_newcomer(self) -> None:
        """
        When another one joins meanwhile, what is under way for the first is still called off when that is gone.
        """
        self.add("a", 100)
        self.rebalancing.look()
        first = self.add("b", 0)
        self.rebalancing.look()
        for _ in range(40):
            # It has most of its share already.
            self.pool.count(first, 0.0)
        self.named("a").active = 50
        self.add("c", 50)
        self.rebalancing.look()
        self.assertEqual(self.moved, [("a", 50, 30)])
        self.pool.remove(first)
        self.rebalancing.look()
        self.assertEqual(self.stayed, ["a"])

    def test_newcomer_is_gone_later(self) -> None:
        """
        When everybody has been asked, one that goes down is a backend as any other: nobody moves because of that.
        """
        self.add("a", 100)
        self.rebalancing.look()
        newcomer = self.add("b", 0)
        self.add("c", 0)
        self.rebalancing.look()
        self.assertEqual(self.moved, [("a", 67, 30)])
        self.is_under_way = False
        self.pool.set_down(newcomer)
        self.rebalancing.look()
        self.rebalancing.look()
        self.assertEqual((self.stayed, len(self.moved)), (["a"], 1))

    def test_tolerance(self) -> None:
        """
        A little more than the share is nobody's concern.
        """
        self.add("a", 105)
        self.add("b", 160)
        self.rebalancing.look()
        self.add("c", 80)
        self.rebalancing.look()
        self.assertLess(105 / 115, TOLERANCE)
        self.assertEqual(self.moved, [("b", 45, 30)])

    def test_those_that_come_back(self) -> None:
        """
        One that is up again, or ready again, has joined; one that goes has not.
        """
        a, b = self.add("a", 100), self.add("b", 0)
        self.pool.set_down(b)
        self.rebalancing.look()
        self.pool.set_up(b, 0)
        self.rebalancing.look()
        self.assertEqual(self.moved, [("a", 50, 30)])
        self.pool.set_mode(b, Mode.DRAIN, 0)
        self.rebalancing.look()
        self.assertEqual(len(self.moved), 1)
        self.pool.set_mode(b, Mode.READY, 0)
        self.rebalancing.look()
        self.assertEqual(self.moved[1:], [("a", 50, 30)])
        self.pool.set_mode(a, Mode.DOWN, 0)
        self.rebalancing.look()
        self.assertEqual(len(self.moved), 2)

    def test_limited(self) -> None:
        """
        Nobody is asked for more than the newcomer may have: they would only come back.
        """
        self.add("a", 100)
        self.rebalancing.look()
        self.add("b", 0, most=20)
        self.rebalancing.look()
        self.assertEqual(self.moved, [("a", 20, 30)])

    def test_backup(self) -> None:
        """
        A backup is not meant to have a share.
        """
        self.add("a", 100)
        self.rebalancing.look()
        self.pool.add(Backend("b", "tcp:b:1", backup=True))
        self.rebalancing.look()
        self.assertEqual(self.moved, [])

    def test_switched_off(self) -> None:
        """
        When it is not wanted nobody is asked; and not later for what was then.
        """
        self.add("a", 100)
        self.rebalancing.look()
        self.wanted = False
        self.add("b", 0)
        self.rebalancing.look()
        self.wanted = True
        self.rebalancing.look()
        self.assertEqual(self.moved, [])


class Session:
    """
    A client that reconnects when it is asked, at once, to wherever the pool says.
    """

    def __init__(self, crowd: "Crowd") -> None:
        self._crowd = crowd
        self.moves = 0
        self.lease = crowd.lease()

    def announce_drain(self, seconds: float) -> None:
        self.moves += 1
        self.lease.release()
        self.lease = self._crowd.lease()


class Crowd:
    """
    Sessions at backends that ask them with what servers ask them with.
    """

    def __init__(self, slow_start: float) -> None:
        self.clock = Clock()
        self.pool = Pool(slow_start)
        self.rebalancing = Rebalancing(
            self.pool, self.move, self.serves, lambda: True, lambda: max(10.0, slow_start), self.stay
        )
        self.sessions: list[Session] = []
        self._moving: dict[Backend, Moving] = {}

    def serves(self, backend: Backend) -> bool:
        """
        Whether it is up, and its slow start is over.
        """
        if not backend.is_up:
            return False
        return backend.since is None or self.clock.seconds() - backend.since >= self.pool.slow_start

    def lease(self) -> Lease:
        """
        A place for a session.
        """
        lease = self.pool.lease(self.clock.seconds())
        assert isinstance(lease, Lease)
        return lease

    def come(self, count: int) -> None:
        """
        So many sessions more.
        """
        self.sessions += [Session(self) for _ in range(count)]

    def move(self, backend: Backend, count: int, seconds: float) -> None:
        """
        What a backend does that is asked.
        """
        moving = self._moving.setdefault(backend, Moving(self.clock, Random(len(self._moving))))
        moving.move([each for each in self.sessions if each.lease.backend is backend], count, seconds)

    def stay(self, backend: Backend) -> str:
        """
        ... and that is told that the rest may stay.
        """
        self.move(backend, 0, 0)
        return "they stay"


class ScenarioTests(SynchronousTestCase):
    """
    Three servers and one that joins.
    """

    def test_three_thousand(self) -> None:
        """
        3 x 1,000 become 4 x 750, with slow start or without: within the time, paced, and nobody moves twice.
        """
        for slow_start in (0.0, 30.0):
            crowd = Crowd(slow_start)
            for name in "abc":
                crowd.pool.add(Backend(name, f"tcp:{name}:1"))
            crowd.come(3_000)
            self.assertEqual([each.active for each in crowd.pool], [1_000] * 3)
            crowd.rebalancing.look()
            crowd.pool.add(Backend("d", "tcp:d:1"), crowd.clock.seconds())
            crowd.rebalancing.look()
            if slow_start:
                crowd.clock.advance(slow_start)
                self.assertEqual(sum(each.moves for each in crowd.sessions), 0)
                crowd.rebalancing.look()
            seconds = max(10.0, slow_start)
            before = 0
            for _ in range(int(seconds)):
                crowd.clock.pump([0.1] * 10)
                moves = sum(each.moves for each in crowd.sessions)
                self.assertLessEqual(moves - before, 1.1 * 750 / seconds + 3)
                before = moves
            for each in crowd.pool:
                self.assertTrue(735 <= each.active <= 765, f"{each.name}: {each.active}, slow start {slow_start}")
            self.assertEqual(sum(each.moves for each in crowd.sessions), 750)
            self.assertEqual(max(each.moves for each in crowd.sessions), 1)
            crowd.clock.advance(60)
            self.assertEqual(crowd.clock.getDelayedCalls(), [])

    def test_newcomer_goes_down(self) -> None:
        """
        When the newcomer goes down half-way, nobody is asked any more: those that went there come back, and no other
        session moves for nothing.
        """
        crowd = Crowd(0.0)
        for name in "abc":
            crowd.pool.add(Backend(name, f"tcp:{name}:1"))
        crowd.come(300)
        crowd.rebalancing.look()
        newcomer = Backend("d", "tcp:d:1")
        crowd.pool.add(newcomer, crowd.clock.seconds())
        crowd.rebalancing.look()
        crowd.clock.pump([0.1] * 50)
        asked = sum(each.moves for each in crowd.sessions)
        self.assertTrue(20 <= asked <= 55, asked)
        crowd.pool.set_down(newcomer)
        crowd.rebalancing.look()
        crowd.clock.pump([0.1] * 100)
        self.assertEqual(sum(each.moves for each in crowd.sessions), asked)
        self.assertEqual(crowd.clock.getDelayedCalls(), [])
