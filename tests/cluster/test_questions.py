"""
Tests for :mod:`echochat.cluster.questions`, with processes that are none.
"""

import json
import shutil
import tempfile
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echochat.cluster import questions as module
from echochat.cluster.crew import ChildFailed
from echochat.cluster.folder import Folder
from echochat.cluster.questions import SETTLING, Questions
from echochat.daemon.asking import NotAnswered


class QuestionsCase(SynchronousTestCase):
    """
    A cluster of which every process gives the same answer. No call may be left in the end.
    """

    def setUp(self) -> None:
        path = tempfile.mkdtemp(prefix="echochat-")
        self.addCleanup(shutil.rmtree, path)
        folder = Folder(path)
        self.addCleanup(folder.release)
        self.clock = Clock()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.questions = Questions(self.clock, folder)
        self.asked: list[str] = []
        self.answer: list[str] | NotAnswered = []
        self.patch(module, "ask", self.ask)

    async def ask(self, reactor: Any, clock: Any, control: str, command: str) -> tuple[list[str], str]:
        """
        Answer at once.
        """
        self.asked.append(f"{command} {control.rpartition('/')[2]}")
        if isinstance(self.answer, NotAnswered):
            raise self.answer
        return self.answer, ""


class WorkerTests(QuestionsCase):
    """
    A worker is ready when its history is.
    """

    def wait(self) -> "Deferred[None]":
        """
        Wait for a worker, ten seconds at most.
        """
        return Deferred.fromCoroutine(self.questions.until_available("w1", 10.0))

    def test_status(self) -> None:
        """
        What it says of itself is told by name; other lines are not.
        """
        self.answer = ["history: available", "history at: nats://x:4222", "something"]
        status = self.successResultOf(Deferred.fromCoroutine(self.questions.status("w1")))
        self.assertEqual(status, {"history": "available", "history at": "nats://x:4222"})
        self.assertEqual(self.asked, ["/status w1.control"])

    def test_in_time(self) -> None:
        """
        It is asked until then, whether it cannot be asked yet or has no history yet.
        """
        self.answer = NotAnswered("no such socket")
        waiting = self.wait()
        self.clock.advance(5)
        self.answer = ["history: the broker cannot be reached"]
        self.clock.advance(4)
        self.assertNoResult(waiting)
        self.answer = ["history: available"]
        self.clock.advance(0.5)
        self.successResultOf(waiting)

    def test_too_late(self) -> None:
        """
        One that takes too long has failed, for the reason that it gave last.
        """
        for answer, why in (
            (["history: the broker cannot be reached"], "w1: its history: the broker cannot be reached"),
            (NotAnswered("no answer within 5 s"), "w1: no answer within 5 s"),
        ):
            self.answer = answer
            waiting = self.wait()
            self.clock.advance(10)
            self.assertNoResult(waiting)
            self.clock.advance(0.1)
            self.assertEqual(str(self.failureResultOf(waiting, ChildFailed).value), why)


class BalancerTests(QuestionsCase):
    """
    The balancer is ready when it has found its workers.
    """

    def wait(self) -> "Deferred[None]":
        """
        Wait for it.
        """
        return Deferred.fromCoroutine(self.questions.until_looked())

    def has_looked(self, *checked: float | None) -> None:
        """
        Have it say so of workers.
        """
        self.answer = ["balancer {}", *(f"backend {json.dumps({'checked': when})}" for when in checked)]

    def test_looked(self) -> None:
        """
        It is asked until it has looked at all of them.
        """
        self.has_looked(None, None)
        waiting = self.wait()
        self.has_looked(0.2, None)
        self.clock.advance(0.5)
        self.assertNoResult(waiting)
        self.has_looked(0.2, 0.1)
        self.clock.advance(0.5)
        self.successResultOf(waiting)
        self.assertEqual(set(self.asked), {"/status balancer.control"})

    def test_long(self) -> None:
        """
        The cluster does not wait longer for a worker that does not answer, nor for a balancer that does not.
        """
        self.has_looked(0.2, None)
        waiting = self.wait()
        self.clock.pump([0.1] * int(SETTLING * 10 + 2))
        self.successResultOf(waiting)
        self.answer = NotAnswered("no answer within 5 s")
        self.successResultOf(self.wait())

    def test_reload(self) -> None:
        """
        Whoever has it read its file again is told when it does not.
        """
        self.successResultOf(Deferred.fromCoroutine(self.questions.reload_balancer()))
        self.assertEqual(self.asked, ["/reload balancer.control"])
        self.answer = NotAnswered("a backend is not named twice")
        self.failureResultOf(Deferred.fromCoroutine(self.questions.reload_balancer()), NotAnswered)
