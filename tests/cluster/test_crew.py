"""
Tests for :mod:`echochat.cluster.crew`.
"""

import errno

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from echochat.cluster.crew import Child, ChildFailed, Crew, State
from tests.cluster.doubles import Machine


class CrewCase(SynchronousTestCase):
    """
    A crew of processes that are none. No call may be left in the end.
    """

    def setUp(self) -> None:
        self.machine = Machine()
        self.crew = Crew(self.machine, 35.0)
        self.addCleanup(lambda: self.assertEqual(self.machine.getDelayedCalls(), []))

    def start(self, name: str = "w1") -> Child:
        """
        Start a process that says "ready" when it is.
        """
        return self.crew.start(name, ["program", name], b"ready")

    def stop(self, name: str = "w1") -> None:
        """
        Stop one for good.
        """
        stopped = self.crew.stop(name)
        if name in self.crew.protocols:
            self.machine.all[-1].end()
        self.successResultOf(stopped)


class EndingTests(CrewCase):
    """
    What becomes of one that ends.
    """

    def test_one_that_was_ready(self) -> None:
        """
        It is started again, at once when it ran for a second.
        """
        child = self.start()
        self.machine.all[0].say("ready")
        self.successResultOf(child.ready)
        self.assertIs(child.state, State.UP)
        self.machine.advance(1)
        self.machine.all[0].end(1)
        self.assertIs(child.state, State.WAITING)
        self.machine.advance(0)
        self.assertEqual((len(self.machine.all), child.restarts, child.state), (2, 1, State.STARTING))
        self.machine.all[1].say("ready")
        self.assertIs(child.state, State.UP)
        self.stop()

    def test_one_that_was_never_ready(self) -> None:
        """
        It is not started again, as it would end so again; whoever started it is told what it complained of.
        """
        child = self.start()
        self.machine.all[0].say("some words", "echochat: no such file", "more words")
        self.machine.all[0].end(1)
        self.assertEqual(str(self.failureResultOf(child.ready, ChildFailed).value), "w1: no such file")
        self.assertEqual((self.crew.children, child.state), ([], State.GONE))
        self.machine.advance(60)
        self.assertEqual(len(self.machine.all), 1)
        # The name can be had again.
        again = self.start()
        self.stop()
        self.assertEqual(str(self.failureResultOf(again.ready, ChildFailed).value), "w1 was stopped")

    def test_stopped(self) -> None:
        """
        One that is stopped is not started again, and killed when it takes too long.
        """
        child = self.start()
        self.machine.all[0].say("ready")
        stopped = self.crew.stop("w1")
        again = self.crew.stop("w1")
        self.assertEqual((self.machine.all[0].signals, child.state), (["TERM"], State.STOPPING))
        self.machine.advance(34)
        self.assertEqual(self.machine.all[0].signals, ["TERM"])
        self.machine.advance(1)
        self.assertEqual(self.machine.all[0].signals, ["TERM", "KILL"])
        self.machine.all[0].end(9)
        self.successResultOf(stopped)
        self.successResultOf(again)
        self.assertEqual(self.crew.children, [])

    def test_stopped_while_it_waits(self) -> None:
        """
        One that is about to be started again is not.
        """
        self.start()
        self.machine.all[0].say("ready")
        self.machine.all[0].end(1)
        self.successResultOf(self.crew.stop("w1"))
        self.machine.advance(60)
        self.assertEqual(len(self.machine.all), 1)


class HurryTests(CrewCase):
    """
    Whoever says it twice does not want to wait.
    """

    def test_those_that_stop(self) -> None:
        """
        They are told again, by another signal: the same one could be lost.
        """
        self.start()
        self.machine.all[0].say("ready")
        self.crew.hurry()
        self.assertEqual(self.machine.all[0].signals, [])
        stopped = self.crew.stop("w1")
        self.assertEqual(self.machine.all[0].signals, ["TERM", "INT"])
        self.machine.all[0].end()
        self.successResultOf(stopped)

    def test_those_that_are_stopped_later(self) -> None:
        """
        They are told twice at once; and one that has ended meanwhile does no harm.
        """
        for name in ("w1", "w2"):
            self.start(name)
        for process in self.machine.all:
            process.say("ready")
        first = self.crew.stop("w1")
        self.crew.hurry()
        self.assertEqual([process.signals for process in self.machine.all], [["TERM", "INT"], []])
        self.machine.all[0].pid = None
        self.crew.hurry()
        self.machine.all[0].end()
        second = self.crew.stop("w2")
        self.assertEqual(self.machine.all[1].signals, ["TERM", "INT"])
        self.machine.all[1].end()
        for stopped in (first, second):
            self.successResultOf(stopped)


class SayingTests(CrewCase):
    """
    What children say is in the log, as far as it says something.
    """

    def said(self, *lines: str) -> list[tuple[str, str]]:
        """
        What the log has of these, and at which level.
        """
        self.start()
        with capturedLogs() as log:
            self.machine.all[0].say(*lines)
        self.machine.all[0].say("ready")
        self.stop()
        return [(event["log_level"].name, event["line"]) for event in log]

    def test_levels(self) -> None:
        """
        Each line has the level that it had with the child; what is routine is for those who debug.
        """
        said = self.said(
            "[123] [INF] Starting nats-server", "something", "[123] [WRN] the disk is slow", "[123] [FTL] the end"
        )
        self.assertEqual(said, [("info", "something"), ("warn", "the disk is slow"), ("error", "the end")])

    def test_without_an_end(self) -> None:
        """
        What a child wrote last is in the log, whether or not it came to the end of the line; what goes to standard
        error is not mixed up with it.
        """
        child = self.start()
        with capturedLogs() as log:
            self.machine.all[0].protocol.outReceived(b"half a ")
            self.machine.all[0].protocol.errReceived(b"trouble\nand mo")
            self.machine.all[0].protocol.outReceived(b"line")
            self.machine.all[0].end(1)
        self.assertEqual([event["line"] for event in log if "line" in event], ["trouble", "half a line", "and mo"])
        self.failureResultOf(child.ready, ChildFailed)

    def test_twice(self) -> None:
        """
        Why one of ours ends it tells its log and standard error: it is in the cluster's log once.
        """
        said = self.said("no such file", "echochat: no such file", "echochat: another thing")
        self.assertEqual([line for _, line in said], ["no such file", "echochat: another thing"])


class NotStartedTests(CrewCase):
    """
    A machine that has no room for another process.
    """

    def setUp(self) -> None:
        super().setUp()
        self.full = OSError(errno.EMFILE, "Too many open files")

    def test_the_first_time(self) -> None:
        """
        Whoever starts it is told, and nothing is left of it.
        """
        self.machine.refuses = self.full
        child = self.start()
        why = str(self.failureResultOf(child.ready, ChildFailed).value)
        self.assertEqual(why, "w1: cannot be started: Too many open files")
        self.assertEqual(self.crew.children, [])
        self.successResultOf(self.crew.stop("w1"))

    def test_again(self) -> None:
        """
        One that ran before is tried again, less and less often, until there is room.
        """
        child = self.start()
        self.machine.all[0].say("ready")
        self.machine.all[0].end(1)
        self.machine.refuses = self.full
        for seconds in (0.5, 1.0, 2.0):
            self.assertIs(child.state, State.WAITING)
            self.machine.advance(seconds)
        self.assertEqual((len(self.machine.all), child.last_words), (1, "cannot be started: Too many open files"))
        self.machine.refuses = None
        self.machine.advance(4.0)
        self.assertEqual((len(self.machine.all), child.state), (2, State.STARTING))
        self.stop()

    def test_stopped(self) -> None:
        """
        One that could not be started again can be stopped.
        """
        self.start()
        self.machine.all[0].say("ready")
        self.machine.advance(1)
        self.machine.all[0].end(1)
        self.machine.refuses = self.full
        self.machine.advance(0)
        stopped: Deferred[None] = self.crew.stop("w1")
        self.successResultOf(stopped)
