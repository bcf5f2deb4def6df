"""
What an operator may tell a balancer.
"""

import json
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase

from echochat import __version__
from echochat.balancer.backends import Backend, Mode
from echochat.daemon.asking import DEADLINE
from tests.balancer.fleets import MovingRoute
from tests.balancer.operated import OperatedBalancer, backends_of, say


class ControlTestCase(SynchronousTestCase):
    """
    Tests of an operator with two backends.
    """

    def setUp(self) -> None:
        self.balancer = OperatedBalancer("a", "b")
        self.fleet = self.balancer.fleet
        self.operator = self.balancer.operator()

    def say(self, line: str) -> list[str]:
        """
        Type a line; see :func:`tests.balancer.operated.say`.
        """
        return say(self.operator, line)

    def refused(self, line: str, why: str) -> None:
        """
        The line is refused, in one line that has this in it, and changes nothing.
        """
        before = self.say("/status")
        [answer] = self.say(line)
        self.assertTrue(answer.startswith("/err bad-arguments "), answer)
        self.assertIn(why, answer)
        self.assertEqual(self.say("/status"), before)


class StatusTests(ControlTestCase):
    """
    ``/status``.
    """

    def test_figures(self) -> None:
        """
        The figures are those of what happened, the bytes of connections that are still there included.
        """
        balancer = self.balancer
        balancer.waiting = 3
        first, second, third = (balancer.connect() for _ in range(3))
        first.bytes_in, first.bytes_out, second.bytes_out = 10, 2_000, 5
        third.bytes_in = 7
        third.end()
        self.fleet.backend("b").traffic.failures = 2
        self.fleet.backend("b").why, self.fleet.backend("b").checked = "connected in 2 ms", 1.0
        self.fleet.clock.advance(2.5)
        lines = self.say("/status#x")
        self.assertEqual(lines[-1], "/ok#x status 2")
        itself = json.loads(lines[0].removeprefix("/info#x balancer "))
        expected = {"version": __version__, "uptime": 2.5, "backends": 2, "serving": 2, "active": 2, "waiting": 3}
        self.assertEqual({name: itself[name] for name in expected}, expected)
        backends = backends_of([line.replace("#x", "") for line in lines])
        self.assertEqual([*backends], ["a", "b"])
        a, b = backends["a"], backends["b"]
        self.assertEqual((a["active"], a["connections"], a["bytes_in"], a["bytes_out"]), (1, 2, 17, 2_000))
        self.assertEqual((b["active"], b["connections"], b["bytes_in"], b["bytes_out"]), (1, 1, 0, 5))
        self.assertEqual((b["failures"], b["why"], b["checked"], a["checked"]), (2, "connected in 2 ms", 1.5, None))
        self.assertEqual(
            (a["endpoint"], a["state"], a["weight"], a["max"], a["backup"]), ("tcp:a:7007", "up", 1, 0, False)
        )

    def test_text_stays_in_its_line(self) -> None:
        """
        Whatever a check says of a backend, it is one line.
        """
        self.fleet.backend("a").why = 'said "no"\r\n/ok status 9\u2028'
        lines = self.say("/status")
        self.assertEqual((len(lines), backends_of(lines)["a"]["why"]), (4, 'said "no"\r\n/ok status 9\u2028'))

    def test_states(self) -> None:
        """
        Each state by its word.
        """
        self.balancer = OperatedBalancer("a", "b", slow_start=30)
        fleet, self.operator = self.balancer.fleet, self.balancer.operator()

        def state(name: str) -> str:
            word: str = backends_of(self.say("/status"))[name]["state"]
            return word

        self.assertEqual(state("a"), "up")
        fleet.add(Backend("c", "tcp:c:1"))
        self.assertEqual(state("c"), "starting")
        fleet.clock.advance(30)
        self.assertEqual(state("c"), "up")
        fleet.pool.set_down(fleet.backend("c"))
        self.assertEqual(state("c"), "down")
        held = self.balancer.connect()
        fleet.set_mode(fleet.backend("a"), Mode.DRAIN)
        self.assertEqual(state("a"), "draining")
        held.end()
        self.assertEqual(state("a"), "drained")
        fleet.set_mode(fleet.backend("a"), Mode.DOWN)
        self.assertEqual(state("a"), "down")
        held = self.balancer.connect()
        fleet.remove(fleet.backend("b"))
        self.assertEqual(state("b"), "leaving")
        held.end()
        self.assertNotIn("b", backends_of(self.say("/status")))

    def test_rates(self) -> None:
        """
        Rates are those of the last ten seconds.
        """
        self.balancer.trends.begin()
        connection = self.balancer.connect()
        for _ in range(20):
            self.balancer.connect()
            connection.bytes_in += 1_000
            self.fleet.clock.advance(1)
        a = backends_of(self.say("/status"))["a"]
        self.assertEqual(
            (a["connections_per_second"], a["bytes_in_per_second"], a["bytes_out_per_second"]), (0.5, 1_000, 0)
        )
        self.fleet.clock.pump([1] * 12)
        self.assertEqual(backends_of(self.say("/status"))["a"]["connections_per_second"], 0)
        self.balancer.trends.end()
        self.assertEqual(self.fleet.clock.getDelayedCalls(), [])


class ChangeTests(ControlTestCase):
    """
    What changes a backend.
    """

    def test_drain(self) -> None:
        """
        It gets no more connections, and its sessions are asked by its own way, in the balancer's time unless told.
        """
        self.fleet.add(Backend("w", "handoff:w", weight=100))
        held = self.balancer.connect()
        route = self.fleet.routes[self.fleet.backend("w")]
        assert isinstance(route, MovingRoute)
        route.answer = Deferred()
        self.assertEqual(self.say("/drain w"), [])
        self.assertEqual(self.fleet.backend("w").mode, Mode.DRAIN)
        route.answer.callback(1)
        self.assertEqual(say(self.operator, "/ready#late a")[-1], "/ok#late ready")
        self.assertEqual(route.asked, [(None, 30.0)])
        route.answer = Deferred()
        route.answer.callback(1)
        self.assertEqual(
            self.say("/drain#y w 2.5"),
            ["/info#y sessions of backend w that are asked to move within 2.5 s: 1", "/ok#y drain 1"],
        )
        self.assertNotEqual(self.fleet.lease().backend.name, "w")
        held.end()

    def test_drain_what_cannot_be_told(self) -> None:
        """
        It drains all the same, and the operator is told why its sessions stay.
        """
        self.balancer.connect()
        self.assertEqual(
            self.say("/drain a"),
            ["/info the sessions of backend a are not asked to move: it has no control setting", "/ok drain 1"],
        )
        self.assertEqual(self.fleet.backend("a").mode, Mode.DRAIN)

    def test_drain_what_does_not_answer(self) -> None:
        """
        A backend that is asked by its own way, and cannot be told or does not answer, drains all the same; the
        operator is told why, and the log has one line without a traceback.
        """
        self.fleet.add(Backend("w", "handoff:w", weight=100))
        self.balancer.connect()
        route = self.fleet.routes[self.fleet.backend("w")]
        assert isinstance(route, MovingRoute)
        route.answer = fail(ConnectionError("the worker\nis not there"))
        why = "/info the sessions of backend w are not asked to move: "
        self.assertEqual(self.say("/drain w"), [f"{why}the worker is not there", "/ok drain 1"])
        route.answer = Deferred()
        self.assertEqual(self.say("/drain w"), [])
        self.fleet.clock.advance(DEADLINE)
        transport: Any = self.operator.transport
        self.assertEqual(transport.value().decode(), f"{why}no answer within 5 s\r\n/ok drain 1\r\n")
        self.assertEqual(self.fleet.backend("w").mode, Mode.DRAIN)
        self.assertEqual((self.flushLoggedErrors(), self.fleet.clock.getDelayedCalls()), ([], []))
        # Nobody will be asked, so there is nobody to be told to stay.
        self.say("/ready w")
        self.assertEqual(len(route.asked), 2)

    def test_drain_an_empty_one(self) -> None:
        """
        Where nobody is, nobody is asked.
        """
        self.assertEqual(self.say("/drain a"), ["/ok drain 0"])

    def test_take_out_the_last(self) -> None:
        """
        Whoever takes out the last one that serves, in whichever way, is told that clients are refused from now on; it
        is in the log and in the status, too, until one is ready.
        """
        told = "/info clients are refused now: an operator has drained or taken out every backend"
        shortage = "an operator has drained or taken out every backend"
        logged: list[str] = []
        self.patch(self.fleet.log, "warn", lambda text, **fields: logged.append(text.format(**fields)))
        self.assertEqual(self.say("/down a"), ["/ok down 0"])
        self.assertEqual(logged, [])
        self.assertEqual(self.say("/drain b"), [told, "/ok drain 0"])
        self.assertEqual(logged, [f"clients are refused from now on: {shortage}"])
        self.assertIn(f'"shortage": "{shortage}"', self.say("/status")[0])
        self.say("/ready b")
        self.assertIn('"shortage": null', self.say("/status")[0])
        self.assertEqual(self.say("/remove b"), [told, "/ok remove 0"])
        self.say("/ready a")
        self.assertEqual(self.say("/down a"), [told, "/ok down 0"])
        self.assertEqual(self.say("/remove a"), ["/info clients are refused now: no backend is up", "/ok remove 0"])
        self.assertEqual(len(logged), 3)

    def test_ready_ends_asking(self) -> None:
        """
        Whoever has not been asked yet when it is made ready again may stay.
        """
        self.fleet.add(Backend("w", "handoff:w", weight=100))
        self.balancer.connect()
        self.say("/drain w 10")
        self.fleet.clock.advance(9)
        self.assertEqual(self.say("/ready w"), ["/ok ready"])
        route = self.fleet.routes[self.fleet.backend("w")]
        assert isinstance(route, MovingRoute)
        self.assertEqual(route.asked, [(None, 10.0), (0, 0)])
        self.say("/drain w 10")
        self.fleet.clock.advance(10)
        self.say("/ready w")
        self.assertEqual(len(route.asked), 3)

    def test_down_ready_weight(self) -> None:
        """
        Each counts for the next choice.
        """
        self.balancer.connect()
        self.assertEqual(self.say("/down a"), ["/ok down 1"])
        self.assertEqual(self.fleet.backend("a").mode, Mode.DOWN)
        self.assertEqual(self.say("/ready a"), ["/ok ready"])
        self.assertEqual(self.fleet.backend("a").mode, Mode.READY)
        self.assertEqual(self.say("/weight a 7"), ["/ok weight"])
        self.assertEqual(self.fleet.backend("a").weight, 7)
        self.assertEqual(len(self.balancer.connections), 1)

    def test_add(self) -> None:
        """
        With all that can be said of it, or with its endpoint alone.
        """
        self.assertEqual(
            self.say("/add c=tcp:10.0.0.3:7007 weight=3 max=9 backup check=ping control=unix:/run/c"), ["/ok add"]
        )
        c = self.fleet.backend("c")
        self.assertEqual(
            (c.endpoint, c.weight, c.most, c.backup, c.check, c.control),
            ("tcp:10.0.0.3:7007", 3, 9, True, "ping", "unix:/run/c"),
        )
        self.assertEqual(self.say("/add d=unix:/run/d=1"), ["/ok add"])
        d = self.fleet.backend("d")
        self.assertEqual(
            (d.endpoint, d.weight, d.most, d.backup, d.check, d.control), ("unix:/run/d=1", 1, 0, False, None, None)
        )

    def test_remove(self) -> None:
        """
        It is no backend any more, and is listed while it has connections.
        """
        held = self.balancer.connect()
        self.assertEqual(self.say("/remove a"), ["/ok remove 1"])
        self.assertEqual(backends_of(self.say("/status"))["a"]["state"], "leaving")
        self.refused("/remove a", "there is no backend a; there are: b")
        self.assertEqual(self.fleet.vacated, ["a"])
        held.end()
        self.assertEqual([*backends_of(self.say("/status"))], ["b"])

    def test_refused(self) -> None:
        """
        What is wrong is one clear line, and changes nothing.
        """
        for line, why in (
            ("/drain c", "there is no backend c; there are: a, b"),
            ("/drain", "type /drain NAME [SECONDS]"),
            ("/drain a b c", "type /drain NAME [SECONDS]"),
            ("/drain a soon", "SECONDS of /drain is seconds from 0 to 86400"),
            ("/drain a -1", "SECONDS of /drain is seconds"),
            ("/drain a nan", "SECONDS of /drain is seconds"),
            ("/ready c", "there is no backend c"),
            ("/ready a b", "type /ready NAME"),
            ("/down c", "there is no backend c"),
            ("/weight a", "type /weight NAME N"),
            ("/weight a 0", "N of /weight is a whole number from 1 to 1000000"),
            ("/weight a x", "N of /weight is a whole number from 1 to 1000000"),
            ("/weight c 2", "there is no backend c"),
            ("/remove c", "there is no backend c"),
            ("/add", "type /add NAME=ENDPOINT"),
            ("/add c", "c is not of the form NAME=ENDPOINT"),
            ("/add c=", "c= is not of the form NAME=ENDPOINT"),
            ("/add c!=tcp:c:1", "is not of the form NAME=ENDPOINT"),
            ("/add a=tcp:a:1", "there is a backend a already"),
            ("/add c=wrong:c", "wrong:c is no endpoint"),
            ("/add c=tcp:c:1 weight=0", "c: weight is a whole number from 1 to 1000000"),
            ("/add c=tcp:c:1 weight=1 weight=2", "weight was given twice"),
            ("/add c=tcp:c:1 weight", "c: weight is one value"),
            ("/add c=tcp:c:1 backup=perhaps", "c: backup is true or false"),
            ("/add c=tcp:c:1 speed=9", "c: speed is not a setting; there are weight, max, backup, check, control"),
            ("/add c=tcp:c:1 check=look", "c: check is one of tcp, ping, none"),
            ("/add c=tcp:c:1 control=tcp:1", "c: control is of the form unix:PATH"),
            ("/kick", "type /kick ADDRESS, /kick NUMBER or /kick backend NAME"),
            ("/kick alice", "type /kick ADDRESS, /kick NUMBER or /kick backend NAME"),
            ("/kick server a", "type /kick ADDRESS, /kick NUMBER or /kick backend NAME"),
            ("/kick backend c", "there is no backend c; there are: a, b"),
            ("/status a", "/status takes no arguments"),
            ("/reload a", "/reload takes no arguments"),
        ):
            self.refused(line, why)
        [answer] = self.say("/ban 192.0.2.7")
        self.assertTrue(answer.startswith("/err unknown-command there are /status, /drain, "), answer)


class KickTests(ControlTestCase):
    """
    ``/kick``.
    """

    def test_kick(self) -> None:
        """
        By address in whatever form, by number, and by backend; nobody else goes.
        """
        connect = self.balancer.connect
        from_here = [connect("192.0.2.7"), connect("::ffff:192.0.2.7"), connect("192.0.2.7")]
        six = connect("2001:db8::1")
        others = [connect("192.0.2.8") for _ in range(6)]
        self.assertEqual(self.say("/kick 192.0.2.7"), ["/ok kick 3"])
        self.assertEqual(self.say("/kick 2001:DB8:0::1"), ["/ok kick 1"])
        self.assertEqual(self.balancer.connections, others)
        self.assertEqual(self.say(f"/kick {others[0].number}"), ["/ok kick 1"])
        self.assertEqual(self.say(f"/kick {others[0].number}"), ["/ok kick 0"])
        del others[0]
        at_a = [each for each in others if each.lease is not None and each.lease.backend.name == "a"]
        self.assertEqual(self.say("/kick backend a"), [f"/ok kick {len(at_a)}"])
        self.assertEqual(self.balancer.connections, [each for each in others if each not in at_a])
        self.assertEqual(self.fleet.backend("a").active, 0)
        self.assertEqual(len(from_here) + 1, 4)
        self.assertFalse(six.kick())

    def test_one_that_has_no_backend(self) -> None:
        """
        A client that waits for a place is kicked by address and by number, and is at no backend.
        """
        waiting = self.balancer.connect()
        assert waiting.lease is not None
        waiting.lease.release()
        waiting.lease = None
        self.assertEqual(self.say("/kick backend a"), ["/ok kick 0"])
        self.assertEqual(self.say("/kick 1"), ["/ok kick 1"])

    def test_at_one_that_is_leaving(self) -> None:
        """
        The connections of a backend that was removed are ended by its name.
        """
        self.balancer.connect()
        self.say("/remove a")
        self.assertEqual(self.say("/kick backend a"), ["/ok kick 1"])
        self.assertEqual([*backends_of(self.say("/status"))], ["b"])


class ReloadTests(ControlTestCase):
    """
    ``/reload``.
    """

    def test_changes(self) -> None:
        """
        What has changed is told, and what has not changed is not; what is broken is kept, and named.
        """
        wanted = [Backend("a", "tcp:a:7007", weight=4), Backend("b", "tcp:b:7007")]
        self.balancer.operations.reloads.add("the backends", lambda: self.balancer.operations.follow(wanted))
        self.assertEqual(
            self.say("/reload"), ["/info backend a: weight 1 -> 4", "/info the backends: reloaded", "/ok reload 1"]
        )
        self.assertEqual(self.say("/reload"), ["/info the backends: reloaded", "/ok reload 1"])
        wanted.append(Backend("c", "wrong:c"))
        self.assertEqual(
            self.say("/reload"),
            [
                "/info the backends: kept as it was: wrong:c is no endpoint",
                "/err unavailable 1 of 1 kept as they were",
            ],
        )
        self.assertEqual(self.fleet.backend("a").weight, 4)
