"""
What an operator may ask of a server: how it is, to read its files again, and to have people gone.
"""

import os
from collections.abc import Callable

from twisted.internet.defer import Deferred

from echochat import __version__
from echochat.identity.files import FileRefused
from echochat.server.operations import Operations
from tests.server.house import ELSEWHERE, HouseTestCase, rule, token_for

ALICE = {"alice": "right", "bob": "right"}


class OperationsTestCase(HouseTestCase):
    """
    Tests of the operations of a house.
    """

    def operate(self) -> Operations:
        """
        Its operations, as the service wires them.
        """
        self.stops = 0

        def stop() -> None:
            self.stops += 1

        operations = Operations(self.house.factory, stop)
        operations.reloads.afterwards(self.house.factory.look_again)
        return operations

    def reload(self, operations: Operations) -> dict[str, str]:
        """
        Reload, and what came of it.
        """
        return self.successResultOf(Deferred.fromCoroutine(operations.reloads.reload()))


class StatusTests(OperationsTestCase):
    """
    ``status``.
    """

    def test_figures(self) -> None:
        """
        The figures are those of what happened.
        """
        house = self.open()
        operations = self.operate()
        house.clock.advance(12.5)
        talker, follower = house.connect(), house.connect()
        follower.say(b"/sub t\r\n")
        talker.say(b"hello\r\n", b"/pub t one\r\n/pub t two\r\n")
        house.connect().say(b"/quit\r\n")
        house.connect().vanish()
        status = operations.status()
        expected: dict[str, object] = {
            "version": __version__,
            "process": os.getpid(),
            "uptime": 12.5,
            "connections": 2,
            "connections in all": 4,
            "lines": 5,
            "publishes": 2,
            "publishes refused": 0,
            "deliveries": 2,
            "gaps told": 0,
            "subscriptions behind": 0,
            "history": "available",
            "epoch": house.exchange.history.epoch,
            "position": 2,
            "history failures": 0,
            "ended, quit": 1,
            "ended, the connection was lost": 1,
        }
        self.assertEqual({name: status.get(name) for name in expected}, expected)

    def test_figures_that_the_history_has(self) -> None:
        """
        How many commits there were and how long they took, and how many events are kept.
        """
        self.open()
        for name in ("events stored", "commits", "commit time, mean", "commit time, longest", "history reads"):
            self.assertIsInstance(self.operate().status()[name], int | float, name)

    def test_an_unavailable_history(self) -> None:
        """
        Why the history takes nothing, and how many publishes were refused for it.
        """
        house = self.open()
        operations = self.operate()
        visitor = house.connect()
        house.exchange.history.status.unavailable = "the disk is full"
        self.refused(visitor.say(b"/pub t x\r\n"), b"unavailable")
        status = operations.status()
        self.assertEqual((status["history"], status["publishes refused"]), ("the disk is full", 1))

    def test_lines_of_the_past_are_kept(self) -> None:
        """
        Lines count whether their connection is still there or not.
        """
        house = self.open()
        operations = self.operate()
        for visitor in (house.connect(), house.connect()):
            visitor.say(b"a\r\n", b"b\r\n" * 10, b"/ping\r\n")
        house.visitors[0].vanish()
        self.assertEqual(operations.status()["lines"], 24)


class ReloadTests(OperationsTestCase):
    """
    ``reload``.
    """

    def test_all_in_order(self) -> None:
        """
        Everything is read again, in the order in which it was named; connections are looked at once, afterwards.
        """
        self.open()
        operations = self.operate()
        done: list[str] = []
        operations.reloads.add("one", lambda: done.append("one"))
        operations.reloads.add("two", lambda: done.append("two"))
        operations.reloads.afterwards(lambda: done.append("looked"))
        self.assertEqual(self.reload(operations), {"one": "reloaded", "two": "reloaded"})
        self.assertEqual(done, ["one", "two", "looked"])

    def test_one_is_broken(self) -> None:
        """
        What is broken is kept, and named with the reason; all else is reloaded, and the log has it without a
        traceback.
        """
        self.open()
        operations = self.operate()
        done: list[str] = []

        def refuse() -> None:
            raise FileRefused("the file f:3 is wrong")

        operations.reloads.add("the accounts", refuse)
        operations.reloads.add("the rules", lambda: done.append("rules"))
        operations.reloads.afterwards(lambda: done.append("looked"))
        results = self.reload(operations)
        self.assertEqual(results, {"the accounts": "kept as it was: the file f:3 is wrong", "the rules": "reloaded"})
        self.assertEqual(done, ["rules", "looked"])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_what_takes_time(self) -> None:
        """
        What answers later is waited for.
        """
        self.open()
        operations = self.operate()
        answers: list[Deferred[None]] = [Deferred(), Deferred()]
        for number in range(2):
            operations.reloads.add(str(number), lambda number=number: answers[number])  # type: ignore[misc]  # bound early
        reloading = Deferred.fromCoroutine(operations.reloads.reload())
        answers[0].callback(None)
        self.assertNoResult(reloading)
        answers[1].errback(FileRefused("no"))
        self.assertEqual(self.successResultOf(reloading), {"0": "reloaded", "1": "kept as it was: no"})

    def test_files(self) -> None:
        """
        Of accounts, rules and keys each alone may be broken: it keeps what it had, the others change.
        """
        for broken in ("accounts", "rules", "key"):
            house = self.open(ALICE, rule("*", "read publish", "t"), tokens=True)
            operations = self.operate()
            things: dict[str, tuple[str, Callable[[], None]]] = {}
            assert house.accounts is not None
            assert house.tokens is not None
            things["accounts"] = (house.accounts_path, house.accounts.reload)
            things["rules"] = (house.rules_path, house.rules.reload)
            things["key"] = (house.key_path, house.tokens.reload)
            for what, (_, reload) in things.items():
                operations.reloads.add(what, reload)
            path = things[broken][0]
            visitor = house.connect()
            visitor.log_in()
            with open(path, "a") as file:
                file.write("what is this\n")
            results = self.reload(operations)
            self.assertEqual(
                {what for what, result in results.items() if result != "reloaded"}, {broken}, f"{broken}: {results}"
            )
            self.assertIn(path, results[broken])
            self.assertFalse(visitor.lost)
            self.assertIn(b"/ok pub t ", visitor.say(b"/pub t x\r\n"))
            house.connect("127.0.0.3").log_in("bob")
            answer = house.connect().say(f"/token {token_for('carol')}\r\n".encode())
            self.assertEqual(answer, b"/ok token carol\r\n")
            house.clean_up()


class KickTests(OperationsTestCase):
    """
    ``kick``, ``ban`` and ``unban``, on connections that are there.
    """

    def test_by_name(self) -> None:
        """
        All connections of a name, in any letter case, are told and closed, and no others.
        """
        house = self.open(ALICE, guests="yes")
        operations = self.operate()
        first, second, bob, guest = (house.connect() for _ in range(4))
        for visitor, name in ((first, "alice"), (second, "alice"), (bob, "bob")):
            visitor.log_in(name)
        self.assertEqual(operations.kick("ALICE"), 2)
        house.settle()
        for visitor in (first, second):
            self.assertRegex(visitor.received, rb"\r\n/bye (banned|restarted) [^\r\n]+\r\n\Z")
        self.assertEqual([each.lost for each in (first, second, bob, guest)], [True, True, False, False])
        self.assertEqual(house.exchange.counters.ended, {"kicked": 2})
        house.connect().log_in("alice")

    def test_guests_by_name(self) -> None:
        """
        A guest by the name that others see; one whose name nobody has seen has none.
        """
        house = self.open()
        operations = self.operate()
        visitor = house.connect()
        visitor.say(b"/nick mallory\r\n")
        house.connect()
        self.assertEqual(operations.kick("mallory"), 1)
        house.settle()
        self.assertTrue(visitor.lost)

    def test_by_address(self) -> None:
        """
        All connections from an address, in whatever form it is written, plain or TLS.
        """
        house = self.open()
        operations = self.operate()
        here = [
            house.connect(ELSEWHERE),
            house.connect(ELSEWHERE, encrypted=True),
            house.connect(f"::ffff:{ELSEWHERE}"),
        ]
        six = house.connect("2001:db8::1")
        other = [house.connect("192.0.2.8"), house.connect(""), house.connect("2001:db8::2")]
        self.assertEqual(operations.kick(ELSEWHERE), 3)
        self.assertEqual(operations.kick("2001:DB8:0::1"), 1)
        house.settle()
        self.assertTrue(all(each.lost for each in [*here, six]))
        self.assertFalse(any(each.lost for each in other))

    def test_nobody(self) -> None:
        """
        When nobody is meant, nobody goes; and who is closing already is not counted again.
        """
        house = self.open()
        operations = self.operate()
        visitor = house.connect()
        visitor.say(b"/nick mallory\r\n")
        self.assertEqual(operations.kick("alice"), 0)
        self.assertEqual(operations.kick("192.0.2.99"), 0)
        self.assertEqual((operations.kick("mallory"), operations.kick("mallory")), (1, 0))
        house.settle()

    def test_subscriptions_go(self) -> None:
        """
        Who was kicked is gone from the topics at once, whether they let go or not.
        """
        house = self.open()
        operations = self.operate()
        watcher, visitor = house.connect(), house.connect()
        watcher.say(b"/sub t presence=on\r\n")
        visitor.say(b"/nick mallory\r\n/sub t\r\n")
        operations.kick("mallory")
        self.assertTrue(watcher.received.endswith(b"/part t mallory\r\n"))

    def test_ban_a_name(self) -> None:
        """
        Who is banned by name goes, cannot log in, and can again when unbanned.
        """
        house = self.open(ALICE)
        operations = self.operate()
        visitor = house.connect()
        visitor.log_in()
        self.assertEqual(operations.ban("Alice", None), 1)
        house.settle()
        self.assertTrue(visitor.lost)
        self.refused(house.connect().say(b"/login alice right\r\n"), b"denied")
        self.assertTrue(operations.unban("alice"))
        self.assertFalse(operations.unban("alice"))
        house.connect().log_in()

    def test_ban_an_address(self) -> None:
        """
        Who is banned by address goes, and is refused at the door, until the time is over.
        """
        house = self.open()
        operations = self.operate()
        visitor = house.connect(ELSEWHERE)
        self.assertEqual(operations.ban(ELSEWHERE, 60), 1)
        house.settle()
        self.assertTrue(visitor.lost)
        self.assertRegex(house.connect(ELSEWHERE).received, rb"\A/bye banned ")
        house.wait(60)
        self.assertEqual(house.connect(ELSEWHERE).say(b"hello\r\n"), b"HELLO\r\n")

    def test_a_login_that_is_being_checked(self) -> None:
        """
        A ban that comes while the password is being checked holds for that login.
        """
        house = self.open(ALICE)
        operations = self.operate()
        visitor = house.connect()
        house.hashing = False
        visitor.say(b"/login alice right\r\n")
        operations.ban("alice", None)
        house.hashing = True
        house.settle()
        self.refused(visitor.received, b"denied")

    def test_drain(self) -> None:
        """
        ``drain`` stops the process, which does what else there is.
        """
        self.open()
        self.operate().drain()
        self.assertEqual(self.stops, 1)

    def test_move(self) -> None:
        """
        ``move`` tells clients to reconnect while the server goes on, and leaves alone whoever has gone meanwhile.
        """
        house = self.open()
        operations = self.operate()
        visitors = [house.connect() for _ in range(10)]
        self.assertEqual(operations.move(None, 20), 10)
        for _ in range(10):
            house.wait(1)
        told = [each for each in visitors if each.received]
        self.assertEqual({each.received for each in told}, {b"/drain 2\r\n"})
        self.assertTrue(4 <= len(told) <= 6, len(told))
        [gone, *staying] = [each for each in visitors if not each.received]
        gone.vanish()
        # Nothing of who has gone is kept until their turn would have come.
        self.assertNotIn(gone.protocol, house.factory.moving._waiting)
        for _ in range(10):
            house.wait(1)
        self.assertEqual({each.received for each in staying}, {b"/drain 2\r\n"})
        self.assertEqual(gone.received, b"")
        self.assertEqual(staying[0].say(b"hello\r\n"), b"HELLO\r\n")
        # Of so many, only those who have said something: a balancer's check, for one, would be asked in vain.
        self.assertEqual((operations.move(3, 0), self.stops), (1, 0))
        self.assertEqual(staying[0].received.count(b"/drain"), 2)
