"""
The benchmarks themselves: a figure that is wrong is worse than none.
"""

import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from bench.balancers import ECHOCHAT_LB, HAPROXY, HAPROXY_SPLICE, NGINX, Kind, balanced
from bench.echoes import ASYNCIO, LINE_ONLY_RECEIVER, UVLOOP, echochat
from bench.loadgen import NoFigure, idle, lg
from bench.report import record, section
from bench.row import Effort, Entry, Goal, Measured, Row, measure, reached
from bench.rows import ROWS, neighbours, replays
from bench.running import Running, Server


class Pretended(Server):
    """
    A server that is never started.
    """

    @contextmanager
    def running(self) -> Iterator[Running]:
        yield Running(self.name, 0, 0, self.proto)


def row(*entries: Entry, goals: Sequence[Goal] = (Goal("a", 2, "b"),)) -> Row:
    return Row(99, "a row", "things/s", entries, tuple(goals))


def entry(name: str, *figures: float, absent: str | None = None) -> Entry:
    """
    An entry whose trials give the figures one after another, and then none.
    """
    left = iter(figures)

    def trial(server: Running, seconds: float) -> float:
        try:
            return next(left)
        except StopIteration:
            raise NoFigure("worn out") from None

    return Entry(name, Pretended(name, lambda port, folder: [], absent=lambda: absent), trial)


class MeasureTests(SynchronousTestCase):
    """
    Entries are measured in turns, and nobody disappears from the table without a word.
    """

    def test_in_turns(self) -> None:
        """
        A B, A B, ...: what else the machine does meanwhile hits all alike. The median counts.
        """
        told: list[str] = []
        a, b = measure(row(entry("a", 1, 9, 2), entry("b", 3, 4, 5)), Effort(1, 3), told.append)
        self.assertEqual([line[-1] for line in told], list("ababab"))
        self.assertEqual((a.middle, b.middle), (2, 4))

    def test_absent_is_skipped_by_name(self) -> None:
        """
        A server that cannot be measured here is not tried, and says why.
        """
        a, b = measure(row(entry("a", 1), entry("b", absent="not installed")), Effort(1, 1), lambda line: None)
        self.assertEqual((b.figures, b.skipped, b.failed), ((), "not installed", ""))
        self.assertIn("b: skipped, not installed", section(row(a.entry, b.entry), [a, b], Effort(1, 1)))

    def test_without_a_goal(self) -> None:
        """
        What has nothing to be compared with is shown as it is.
        """
        alone = replace(row(entry("a", 5)), goals=())
        self.assertRegex(section(alone, measure(alone, Effort(1, 1), lambda line: None), Effort(1, 1)), r"\| 5 \|")

    def test_failure_is_told(self) -> None:
        """
        A server that fails in a trial is not tried again; the others go on.
        """
        a, b = measure(row(entry("a", 1), entry("b", 1, 2)), Effort(1, 2), lambda line: None)
        self.assertEqual((a.figures, a.failed), ((1,), "worn out"))
        self.assertEqual((b.figures, b.failed), ((1, 2), ""))
        self.assertIn("a: FAILED, worn out", section(row(a.entry, b.entry), [a, b], Effort(1, 2)))


class ServersTests(SynchronousTestCase):
    """
    The servers that were written to measure against do the work that they are measured at.
    """

    def converse(self, server: Server) -> None:
        """
        A conversation with a real process, and a short load on it.
        """
        if (reason := server.absent()) is not None:
            raise SkipTest(f"{server.name}: {reason}")
        with server.running() as running:
            with socket.create_connection(("127.0.0.1", running.port), timeout=10) as talk:
                talk.sendall("hello\r\nstraße\nand CLOSE SOCKET\nnot answered\n".encode())
                self.assertEqual(talk.makefile("rb").read(), b"HELLO\r\nSTRASSE\n")
            if not (shutil.which("gcc") or shutil.which("cc")):
                raise SkipTest("no C compiler for the load generator")
            self.assertGreater(lg("echo", running.port, 2, 1, 32, 0.2)["lines_per_s"], 0)
            with idle(running.port, 20, running.proto):
                running.at_rest(10)
                self.assertGreaterEqual(running.descriptors(), 20)

    def test_asyncio(self) -> None:
        self.converse(ASYNCIO)

    def test_uvloop(self) -> None:
        self.converse(UVLOOP)

    def test_line_only_receiver(self) -> None:
        self.converse(LINE_ONLY_RECEIVER)

    def test_echochat(self) -> None:
        """
        The server of this checkout is started as ``twistd`` starts it.
        """
        self.converse(echochat())

    def test_start_that_fails(self) -> None:
        """
        A server that ends at once, or that does not know an option, says why instead of being waited for.
        """
        broken = Server("broken", lambda port, folder: [sys.executable, "-c", "raise SystemExit('no licence')"])
        with self.assertRaisesRegex(NoFigure, "did not start: no licence"), broken.running():
            pass
        self.assertEqual(echochat("--no-such-option", "x").absent(), "has no --no-such-option yet")


class BalancersTests(SynchronousTestCase):
    """
    The balancers that are measured relay to what stands behind them.
    """

    def relay(self, kind: Kind) -> None:
        """
        A line and the end of it pass through, and many of them.
        """
        server = balanced(kind)
        if (reason := server.absent()) is not None:
            raise SkipTest(f"{server.name}: {reason}")
        if not (shutil.which("gcc") or shutil.which("cc")):
            raise SkipTest("no C compiler for the echo server")
        with server.running() as running:
            with socket.create_connection(("127.0.0.1", running.port), timeout=10) as talk:
                talk.sendall(b"Hello\n")
                self.assertEqual(talk.makefile("rb").readline(), b"Hello\n")
            self.assertGreater(lg("echo", running.port, 2, 1, 200_000, 0.2)["lines_per_s"], 0)

    def test_haproxy(self) -> None:
        self.relay(HAPROXY)

    def test_haproxy_with_splice(self) -> None:
        self.relay(HAPROXY_SPLICE)

    def test_nginx(self) -> None:
        self.relay(NGINX)

    def test_echochat_lb(self) -> None:
        self.relay(ECHOCHAT_LB)

    def test_nothing_behind(self) -> None:
        """
        A server that does not start is told, whatever is in front of it.
        """
        broken = Server("broken", lambda port, folder: [sys.executable, "-c", "raise SystemExit('no licence')"])
        if (reason := HAPROXY.absent()) is not None:
            raise SkipTest(f"HAProxy: {reason}")
        with self.assertRaisesRegex(NoFigure, "did not start: no licence"), balanced(HAPROXY, None, broken).running():
            pass


class GoalTests(SynchronousTestCase):
    """
    A goal is reached by a ratio of medians, or by the figure itself.
    """

    results = (Measured(entry("a"), (20.0,)), Measured(entry("b"), (10.0,)), Measured(entry("c")))

    def test_reached(self) -> None:
        for goal, expected in {
            Goal("a", 2, "b"): (2, True),
            Goal("a", 2.1, "b"): (2, False),
            Goal("b", 0.5, "a", at_most=True): (0.5, True),
            Goal("b", 0.4, "a", at_most=True): (0.5, False),
            Goal("a", 20, at_most=True): (20, True),
            Goal("a", 19, at_most=True): (20, False),
            Goal("a", 1, "c"): None,
            Goal("c", 1, "a"): None,
            Goal("c", 1): None,
        }.items():
            self.assertEqual(reached(goal, list(self.results)), expected, goal)


class RowsTests(SynchronousTestCase):
    """
    The rows that are measured.
    """

    def test_goals_are_about_entries(self) -> None:
        """
        Every goal names entries of its own row: one that names nobody would never be missed.
        """
        for measured in ROWS:
            names = [entry.name for entry in measured.entries]
            self.assertEqual(len(names), len(set(names)))
            for goal in measured.goals:
                self.assertIn(goal.of, names)
                self.assertIn(goal.against or goal.of, names)


class NeighboursTests(SynchronousTestCase):
    """
    What is measured beside others is measured beside others, on a real server.
    """

    def setUp(self) -> None:
        if not (shutil.which("gcc") or shutil.which("cc")):
            raise SkipTest("no C compiler for the load generator")
        for name, smaller in {"_STOPPED": 20, "_FILLING": 200, "_FAN": 5, "_FAN_MESSAGES": 2_000, "_SLACK": 6}.items():
            self.patch(neighbours, name, smaller)

    def measure(self, row: Row) -> list[Measured]:
        results = measure(row, Effort(0.2, 1), lambda line: None)
        self.assertEqual([result.failed for result in results], [""] * len(results))
        return results

    def test_stopped(self) -> None:
        """
        A trial beside subscribers that stopped ends with one of them that reads all that was published.
        """
        for row in neighbours.ROWS[:2]:
            self.assertTrue(all(result.middle for result in self.measure(row)))

    def test_fan(self) -> None:
        """
        An echo is measured while the fan-out goes on.
        """
        self.assertTrue(all(result.middle for result in self.measure(neighbours.ROWS[2])))

    def test_loss_is_noticed(self) -> None:
        """
        There is no figure when one that reads again is given less than was published.
        """
        with ExitStack() as held, socket.create_server(("127.0.0.1", 0)) as server:
            self.patch(neighbours, "_STOPPED", 1)
            held.enter_context(answering(server, b"/ok sub bench 0 e\r\n" + b"".join(EVENT % n for n in (1, 2, 4))))
            stopped = neighbours._Stopped(server.getsockname()[1], held)
            with self.assertRaisesRegex(NoFigure, "not given everything"):
                stopped.read_again(3)


class ReplaysTests(SynchronousTestCase):
    """
    What is measured while others replay is measured meanwhile, on a real server.
    """

    def setUp(self) -> None:
        if not (shutil.which("gcc") or shutil.which("cc")):
            raise SkipTest("no C compiler for the load generator")

    def measure(self, row: Row, clients: int, events: int) -> list[Measured]:
        for name, smaller in {"_CLIENTS": clients, "_EVENTS": events, "_BATCH": 100}.items():
            self.patch(replays, name, smaller)
        return measure(row, Effort(0.2, 1), lambda line: None)

    def test_all_is_replayed(self) -> None:
        """
        There is a figure when each client has been given everything.
        """
        (replayed,) = self.measure(replays.ROWS[0], 3, 2_000)
        self.assertEqual((replayed.failed, bool(replayed.middle)), ("", True))

    def test_over_before(self) -> None:
        """
        There is none when the replays were over before the echo.
        """
        idle, beside = self.measure(replays.ROWS[1], 1, 100)
        self.assertEqual((idle.failed, beside.failed), ("", "all had been read before the echo was measured"))

    def test_meanwhile(self) -> None:
        """
        There is a figure when they go on for longer.
        """
        # More than there is, for which they wait.
        self.patch(replays, "fill", lambda *_: None)
        results = self.measure(replays.ROWS[1], 2, 1)
        self.assertEqual([(result.failed, bool(result.middle)) for result in results], [("", True)] * 2)

    def test_not_served(self) -> None:
        """
        There is none when the clients were refused.
        """
        self.patch(replays, "fill", lambda *_: None)
        with ExitStack() as held, socket.create_server(("127.0.0.1", 0)) as server:
            held.enter_context(answering(server, b"/err sub denied no\r\n"))
            self.patch(replays, "_CLIENTS", 1)
            with self.assertRaisesRegex(NoFigure, "not served"):
                replays._events_a_second(Running("echochat", 0, server.getsockname()[1], "echochat"), 1)


EVENT = b"/event bench %d 2026-01-01T00:00:00.000Z bob x\r\n"


@contextmanager
def answering(server: socket.socket, answer: bytes) -> Iterator[None]:
    """
    Answer the one connection that comes.
    """

    def answer_it() -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(answer)
            connection.recv(64)

    thread = Thread(target=answer_it)
    thread.start()
    yield
    thread.join()


class RecordTests(SynchronousTestCase):
    """
    The page that keeps the results belongs to its writers; the benchmarks replace only what is theirs.
    """

    def test_sections_are_replaced_and_notes_kept(self) -> None:
        page = Path(self.mktemp())
        one, two = row(entry("a")), Row(98, "another row", "things/s", (entry("a"),), ())
        record(page, one, "old one")
        record(page, two, "old two")
        page.write_text(page.read_text() + "\nA note by hand.\n")
        record(page, one, r"new \1 one")
        text = page.read_text()
        self.assertNotIn("old one", text)
        self.assertEqual(text.count(r"new \1 one"), 1)
        self.assertLess(text.index("old two"), text.index("A note by hand."))
