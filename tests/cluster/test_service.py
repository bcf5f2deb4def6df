"""
Tests for :mod:`echochat.cluster.service` and :mod:`echochat.cluster.control`, with processes that are none.
"""

import json
import shutil
import tempfile
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from echochat.cluster import questions
from echochat.cluster.control import commands
from echochat.cluster.folder import Folder
from echochat.cluster.rolling import RollFailed
from echochat.cluster.service import PATIENCE, ClusterService
from echochat.cluster.settings import ClusterSettings
from echochat.daemon import asking
from echochat.daemon.asking import NotAnswered
from echochat.daemon.reloads import Reloads
from echochat.wire.commands import CommandError, parse_command
from tests.cluster.doubles import Machine, Process

SETTINGS = ClusterSettings(workers=2, broker="nats://me:secret@elsewhere/chat", drain=5.0)


class ServiceCase(SynchronousTestCase):
    """
    A cluster of which the broker is elsewhere.
    """

    def setUp(self) -> None:
        path = tempfile.mkdtemp(prefix="echochat-")
        self.addCleanup(shutil.rmtree, path)
        self.failed: list[str] = []
        self.asked: list[str] = []
        self.machine = Machine()
        self.service = ClusterService(self.machine, Folder(path), SETTINGS, None, self.failed.append)
        self.patch(questions, "ask", self.ask)

    async def ask(self, reactor: Any, clock: Any, control: str, command: str) -> tuple[list[str], str]:
        """
        Every process answers at once, and has nobody.
        """
        self.asked.append(f"{command} {control.rpartition('/')[2]}")
        return ["history: available", "connections: 0"], ""

    def begin(self) -> None:
        """
        Have it all running.
        """
        self.service.startService()
        self.let_begin()

    def let_begin(self) -> None:
        """
        Have the workers be ready, and then the balancer.
        """
        for _ in range(2):
            self.let_start()

    def perform(self, verb: str) -> Deferred[bytes]:
        """
        Carry out an operator's command.
        """

        async def perform() -> bytes:
            return await commands(self.service, Reloads())[verb](parse_command(f"/{verb}"))

        return Deferred.fromCoroutine(perform())

    def let_start(self) -> None:
        """
        Have what was started be ready.
        """
        for process in self.machine.running:
            if process.protocol.name != "balancer":  # type: ignore[attr-defined]  # Twisted's has it
                process.say("listening on handoff:/x")
            else:
                process.say("listening on tcp:7000: balancer")

    def let_stop(self) -> None:
        """
        Have what was told to stop end.
        """
        for process in self.machine.running:
            if process.signals:
                process.end()

    def worker(self, name: str) -> Process:
        """
        The process of this name.
        """
        found: Process = self.service.crew.protocols[name].transport  # type: ignore[assignment]  # ours
        return found

    def drains(self) -> list[str]:
        """
        The drain time of each worker, as its file has it.
        """
        found: list[str] = []
        for name in self.service.workers:
            lines = self.service.folder.run(f"{name}.toml").read_text().splitlines()
            found.extend(line.removeprefix("drain = ") for line in lines if line.startswith("drain"))
        return found

    def let_roll(self) -> None:
        """
        Have a roll of both workers come to its end.
        """
        for _ in range(2):
            self.let_start()
            self.machine.advance(0)
            self.let_stop()
            self.machine.advance(0)


class RollingTests(ServiceCase):
    """
    When workers are replaced.
    """

    def test_roll(self) -> None:
        """
        One after the other; a second roll meanwhile is the same one.
        """
        self.begin()
        self.assertEqual(self.service.workers, ["w1", "w2"])
        roll = self.service.roll()
        self.assertIs(self.service.roll(), roll)
        self.let_roll()
        self.assertEqual(self.service.workers, ["w1.2", "w2.2"])
        self.assertEqual((self.service.current_roll, self.service.last_roll), (None, "2 of 2 workers replaced"))

    def test_before_it_is_ready(self) -> None:
        """
        There is nothing to replace while the cluster starts: that is said, and is no error of ours.
        """
        self.service.startService()
        self.assertIn("is starting", str(self.assertRaises(RollFailed, self.service.roll)))
        self.assertIn("is starting", self.refusal("roll"))
        self.let_begin()
        self.service.roll()

    def test_while_it_stops(self) -> None:
        """
        No worker is started any more that nobody would stop.
        """
        self.begin()
        started = len(self.machine.all)
        stopped = self.service.stopService()
        self.assertIn("is stopping", self.refusal("roll"))
        self.service.change(replace(SETTINGS, drain=9.0))
        for _ in range(3):
            self.let_stop()
        self.successResultOf(stopped)
        self.assertEqual((len(self.machine.all), self.machine.running), (started, []))
        self.assertEqual(self.machine.getDelayedCalls(), [])

    def test_stopped_while_a_worker_is_asked(self) -> None:
        """
        A roll that waits for an answer of the worker that it replaces does not go on with the next one.
        """

        async def ask_old(reactor: Any, clock: Any, control: str, command: str) -> tuple[list[str], str]:
            if control.endswith("/w1.control"):
                return await asking.ask(MemoryReactorClock(), clock, "tcp:192.0.2.1:7000", command)
            return await self.ask(reactor, clock, control, command)

        self.begin()
        self.service.roll()
        self.patch(questions, "ask", ask_old)
        self.let_start()
        self.assertEqual(self.service.workers, ["w1.2", "w2"])
        started = len(self.machine.all)
        stopped = self.service.stopService()
        for _ in range(3):
            self.let_stop()
        self.successResultOf(stopped)
        self.assertEqual((len(self.machine.all), self.machine.running), (started, []))
        self.assertEqual(self.machine.getDelayedCalls(), [])

    def test_stopped_while_it_starts(self) -> None:
        """
        That is no error, whatever it waits for.
        """
        for started in range(3):
            self.setUp()
            self.service.startService()
            for _ in range(started):
                self.let_start()
            stopped = self.service.stopService()
            for _ in range(3):
                self.let_stop()
                self.machine.advance(0)
            self.successResultOf(stopped)
            self.assertEqual(self.machine.running, [])
            self.assertEqual(self.flushLoggedErrors(), [])

    def refusal(self, verb: str) -> str:
        """
        What an operator is told.
        """
        failure = self.failureResultOf(self.perform(verb), CommandError)
        return str(failure.value)


class ChangeTests(ServiceCase):
    """
    Settings that are read again are those of all workers, in the end.
    """

    def test_at_once(self) -> None:
        """
        The workers are replaced, and have what is new.
        """
        self.begin()
        self.service.change(replace(SETTINGS, drain=6.0))
        self.let_roll()
        self.assertEqual((self.service.workers, self.drains()), (["w1.2", "w2.2"], ["6.0", "6.0"]))

    def test_during_a_roll(self) -> None:
        """
        Workers that were replaced before the change are replaced again.
        """
        self.begin()
        self.service.roll()
        self.service.change(replace(SETTINGS, drain=6.0))
        self.let_roll()
        # The first successor was started before the change.
        self.assertEqual(self.drains(), ["5.0", "6.0"])
        self.assertIsNotNone(self.service.current_roll)
        self.let_roll()
        self.assertEqual((self.service.workers, self.drains()), (["w1.3", "w2.3"], ["6.0", "6.0"]))
        self.assertIsNone(self.service.current_roll)

    def test_during_a_roll_that_fails(self) -> None:
        """
        What made the roll fail may be what was changed.
        """
        self.begin()
        self.service.roll()
        self.service.change(replace(SETTINGS, drain=6.0))
        self.machine.all[-1].end(1)
        self.let_roll()
        self.assertEqual(self.drains(), ["6.0", "6.0"])

    def test_during_the_start(self) -> None:
        """
        Workers that are starting are replaced when the cluster is ready.
        """
        self.service.startService()
        self.service.change(replace(SETTINGS, drain=6.0))
        self.let_begin()
        self.let_roll()
        self.assertEqual((self.service.workers, self.drains()), (["w1.2", "w2.2"], ["6.0", "6.0"]))

    def test_time_to_end(self) -> None:
        """
        Nobody is killed before their drain time is over, whether they have the old one or the new one.
        """
        self.begin()
        old, before = self.worker("w1"), self.worker("w2")
        self.service.change(replace(SETTINGS, drain=300.0))
        self.let_start()
        self.machine.advance(0)
        self.assertEqual(old.signals, ["TERM"])
        self.machine.advance(5.0 + PATIENCE)
        self.assertEqual(old.signals, ["TERM"])
        old.end()
        self.service.change(replace(SETTINGS, drain=1.0))
        stopped = self.service.stopService()
        self.worker("balancer").end()
        self.assertEqual(before.signals, ["TERM"])
        self.machine.advance(300.0 + PATIENCE - 1)
        self.assertEqual(before.signals, ["TERM"])
        self.machine.advance(1)
        self.assertEqual(before.signals, ["TERM", "KILL"])
        for process in self.machine.running:
            process.end(9)
        self.successResultOf(stopped)


class StatusTests(ServiceCase):
    """
    What operators are shown.
    """

    def test_one_that_hangs(self) -> None:
        """
        All are asked at once: the time that one takes is not added to the others'.
        """
        self.begin()
        answers: list[Deferred[tuple[list[str], str]]] = []

        def ask(*arguments: object) -> Deferred[tuple[list[str], str]]:
            answers.append(Deferred())
            return answers[-1]

        self.patch(questions, "ask", ask)
        told = self.perform("status")
        self.assertEqual(len(answers), 2)
        answers[1].callback((["history: available", "connections: 3"], ""))
        self.assertNoResult(told)
        answers[0].errback(NotAnswered("no answer within 5 s"))
        answer = self.successResultOf(told)
        self.assertIn(b'"connections": 3', answer)
        self.assertIn(b"no answer within 5 s", answer)

    def test_no_password(self) -> None:
        """
        The address of the broker is shown without what is secret in it.
        """
        self.begin()
        answer = self.successResultOf(self.perform("status"))
        self.assertNotIn(b"secret", answer)
        first = answer.decode().splitlines()[0].removeprefix("/info cluster ")
        self.assertEqual(json.loads(first)["broker"], "nats://elsewhere:4222/chat")
