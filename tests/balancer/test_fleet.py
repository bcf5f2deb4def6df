"""
Backends that come, change and go while there are connections.
"""

from twisted.trial.unittest import SynchronousTestCase

from echochat.balancer.backends import Backend, Mode
from tests.balancer.fleets import QuietRoute, TestFleet


class FleetTests(SynchronousTestCase):
    """
    What an operator does to single backends.
    """

    def test_begin(self) -> None:
        """
        The backends of the configuration have their full weight from the start, a way, and a watch.
        """
        fleet = TestFleet("a", "b", slow_start=30)
        self.assertEqual([each.name for each in fleet], ["a", "b"])
        self.assertEqual([each.since for each in fleet], [None, None])
        self.assertEqual([each.name for each in fleet.watch.looked_at], ["a", "b"])
        self.assertEqual(list(fleet.routes), list(fleet))

    def test_nobody_is_looked_at_before(self) -> None:
        """
        Until the process runs, and from its end on, nobody is looked at.
        """
        fleet = TestFleet("a")
        fleet.end()
        fleet.watch.begun = 0
        fleet.add(Backend("b", "tcp:b:1"))
        fleet.set_mode(fleet.backend("a"), Mode.DRAIN)
        self.assertEqual(fleet.watch.begun, 0)
        fleet.begin()
        self.assertEqual([each.name for each in fleet.watch.looked_at], ["a", "b"])

    def test_add(self) -> None:
        """
        One that is added begins slowly.
        """
        fleet = TestFleet("a", slow_start=30)
        fleet.clock.advance(7)
        fleet.add(Backend("b", "tcp:b:1", weight=3))
        self.assertEqual((fleet.backend("b").since, fleet.backend("b").weight), (7, 3))
        self.assertIn(fleet.backend("b"), fleet.watch.looked_at)

    def test_add_wrong(self) -> None:
        """
        A name that is taken, or an endpoint that is none, changes nothing.
        """
        fleet = TestFleet("a")
        there = fleet.backend("a")
        for wrong in (Backend("a", "tcp:other:1"), Backend("b", "wrong:b")):
            self.assertRaises(ValueError, fleet.add, wrong)
        self.assertEqual(([*fleet], list(fleet.routes), fleet.watch.looked_at), ([there], [there], [there]))

    def test_remove(self) -> None:
        """
        One that is removed gets no more connections, keeps those that it has, which are asked to move, and is gone
        when they have ended.
        """
        fleet = TestFleet("a")
        lease = fleet.lease()
        gone = fleet.backend("a")
        fleet.add(Backend("b", "tcp:b:1"))
        fleet.remove(gone)
        self.assertEqual(fleet.lease().backend.name, "b")
        self.assertEqual(([each.name for each in fleet], fleet.is_leaving(gone)), (["b", "a"], True))
        self.assertEqual(fleet.vacated, ["a"])
        route = fleet.routes[gone]
        assert isinstance(route, QuietRoute)
        self.assertEqual(route.closed, 1)
        self.assertNotIn(gone, fleet.watch.looked_at)
        lease.release()
        self.assertEqual([each.name for each in fleet], ["b"])
        self.assertEqual([each.name for each in fleet.routes], ["b"])

    def test_remove_an_empty_one(self) -> None:
        """
        One without connections is gone at once, and nobody is asked to move.
        """
        fleet = TestFleet("a", "b")
        fleet.remove(fleet.backend("a"))
        self.assertEqual(([each.name for each in fleet.routes], fleet.vacated), (["b"], []))

    def test_remove_and_add_again(self) -> None:
        """
        The name of one that is leaving is free; the two are counted apart.
        """
        fleet = TestFleet("a")
        old = fleet.lease()
        fleet.remove(old.backend)
        fleet.add(Backend("a", "tcp:other:1"))
        new = fleet.lease()
        self.assertEqual([(each.endpoint, each.active) for each in fleet], [("tcp:other:1", 1), ("tcp:a:7007", 1)])
        old.release()
        self.assertEqual([(each.endpoint, each.active) for each in fleet], [("tcp:other:1", 1)])
        new.release()

    def test_mode_and_weight(self) -> None:
        """
        Both count for the next choice, and touch no connection.
        """
        fleet = TestFleet("a", "b")
        held = [fleet.lease() for _ in range(2)]
        fleet.set_mode(fleet.backend("a"), Mode.DRAIN)
        self.assertEqual({fleet.lease().backend.name for _ in range(4)}, {"b"})
        self.assertEqual(fleet.backend("a").active, 1)
        fleet.set_mode(fleet.backend("a"), Mode.READY)
        fleet.set_weight(fleet.backend("a"), 100)
        self.assertEqual({fleet.lease().backend.name for _ in range(9)}, {"a"})
        self.assertEqual(fleet.watch.begun, 4)
        for lease in held:
            lease.release()

    def test_end(self) -> None:
        """
        At the end nobody is looked at, and no way is open.
        """
        fleet = TestFleet("a", "b")
        fleet.end()
        self.assertEqual(fleet.watch.looked_at, [])
        self.assertEqual([route.closed for route in fleet.routes.values() if isinstance(route, QuietRoute)], [1, 1])


class FollowTests(SynchronousTestCase):
    """
    What a configuration that was read again changes.
    """

    def test_nothing(self) -> None:
        """
        The same configuration changes nothing, and nobody's watch begins anew.
        """
        fleet = TestFleet("a", "b")
        before = [*fleet]
        begun = fleet.watch.begun
        self.assertEqual(fleet.follow([Backend("b", "tcp:b:7007"), Backend("a", "tcp:a:7007")]), [])
        self.assertEqual(([*fleet], fleet.watch.begun), (before, begun))

    def test_all_kinds(self) -> None:
        """
        Backends are added, removed and changed, and each change is told; connections and counts stay.
        """
        fleet = TestFleet("a", "b", "c", slow_start=30)
        held = [fleet.lease() for _ in range(6)]
        fleet.clock.advance(5)
        b = fleet.backend("b")
        changes = fleet.follow(
            [
                Backend("b", "tcp:b:7007", weight=5, most=9, backup=True, check="ping", control="unix:b"),
                Backend("c", "tcp:elsewhere:7007"),
                Backend("d", "tcp:d:7007"),
            ]
        )
        self.assertEqual(
            changes,
            [
                "a: removed, with 2 connections",
                "b: weight 1 -> 5",
                "b: max 0 -> 9",
                "b: backup false -> true",
                "b: check as for all -> ping",
                "b: control as for all -> unix:b",
                "c: tcp:c:7007 -> tcp:elsewhere:7007",
                "d: added, tcp:d:7007",
            ],
        )
        self.assertIs(fleet.backend("b"), b)
        self.assertEqual((b.weight, b.most, b.backup, b.check, b.control), (5, 9, True, "ping", "unix:b"))
        self.assertEqual(
            [(each.endpoint, each.active, each.since) for each in fleet],
            [
                ("tcp:b:7007", 2, None),
                ("tcp:elsewhere:7007", 0, 5),
                ("tcp:d:7007", 0, 5),
                ("tcp:a:7007", 2, None),
                ("tcp:c:7007", 2, None),
            ],
        )
        self.assertEqual(fleet.vacated, ["a", "c"])
        self.assertEqual({fleet.lease().backend.name for _ in range(4)}, {"c", "d"})
        for lease in held:
            lease.release()
        self.assertEqual([each.name for each in fleet], ["b", "c", "d"])

    def test_what_the_operator_wants_stays(self) -> None:
        """
        A backend that an operator has added is not in the configuration and stays; and so does a drain, even when the
        backend gets another endpoint.
        """
        fleet = TestFleet("a")
        fleet.add(Backend("x", "tcp:x:1"))
        fleet.set_mode(fleet.backend("a"), Mode.DRAIN)
        self.assertEqual(fleet.follow([Backend("a", "tcp:a:8")]), ["a: tcp:a:7007 -> tcp:a:8"])
        self.assertEqual({each.name: each.mode for each in fleet}, {"x": Mode.READY, "a": Mode.DRAIN})

    def test_adopted(self) -> None:
        """
        A backend that an operator has added, and that is in the configuration then, is removed with it.
        """
        fleet = TestFleet("a")
        fleet.add(Backend("x", "tcp:x:1"))
        self.assertEqual(fleet.follow([Backend("a", "tcp:a:7007"), Backend("x", "tcp:x:1")]), [])
        self.assertEqual(fleet.follow([Backend("a", "tcp:a:7007")]), ["x: removed, with 0 connections"])

    def test_removed_by_the_operator(self) -> None:
        """
        A backend that an operator has removed comes back when the configuration still has it.
        """
        fleet = TestFleet("a", "b")
        fleet.remove(fleet.backend("a"))
        self.assertEqual(
            fleet.follow([Backend("a", "tcp:a:7007"), Backend("b", "tcp:b:7007")]), ["a: added, tcp:a:7007"]
        )

    def test_wrong(self) -> None:
        """
        When one endpoint is wrong nothing changes, and no way that was made for the others is left open.
        """
        fleet = TestFleet("a")
        made: list[QuietRoute] = []
        make = fleet._make_route

        def make_and_note(backend: Backend) -> QuietRoute:
            route = make(backend)
            assert isinstance(route, QuietRoute)
            made.append(route)
            return route

        self.patch(fleet, "_make_route", make_and_note)
        before = [*fleet]
        wanted = [Backend("new", "tcp:new:1"), Backend("a", "wrong:a")]
        self.assertRaises(ValueError, fleet.follow, wanted)
        self.assertEqual([*fleet], before)
        self.assertEqual(list(fleet.routes), before)
        self.assertEqual([each.closed for each in made], [1])
