"""
Tests for :mod:`echochat.identity.hashing`, :mod:`echochat.identity.hasher` and
:mod:`echochat.identity.hashing_program`.
"""

import io
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.error import ProcessTerminated
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.identity.hasher import DEADLINE, Hasher, HasherGone, employ
from echochat.identity.hashing import HASHERS, REST, WAITING, HashingBusy, HashingPool
from echochat.identity.hashing_program import QUESTION, answer_all
from tests.identity.doubles import HashersByHand, cheap_hash


class HashingPoolTests(SynchronousTestCase):
    """
    However many log in at once, the work that waits is bounded.
    """

    def setUp(self) -> None:
        self.hashers = HashersByHand()
        self.hashing = self.hashers.hashing
        self.phc = cheap_hash(b"secret")

    def test_answers(self) -> None:
        """
        The right password is right, any other is wrong.
        """
        right = self.hashing.verify(self.phc, b"secret")
        wrong = self.hashing.verify(self.phc, b"Secret")
        self.assertNoResult(right)
        self.hashers.run()
        self.assertTrue(self.successResultOf(right))
        self.assertFalse(self.successResultOf(wrong))

    def test_nothing_is_started_until_it_is_needed(self) -> None:
        """
        A checker that is never asked has no process and asks for no reactor; as many are started as have something to
        do, and they are kept.
        """
        self.assertEqual(self.hashers.running, 0)
        for _ in range(5):
            self.hashing.verify(self.phc, b"")
            self.hashers.run()
        self.assertEqual(self.hashers.running, 1)
        for _ in range(5):
            self.hashing.verify(self.phc, b"")
        self.assertEqual(self.hashers.running, HASHERS)
        self.assertEqual(len(self.hashers.triggers), 1)

    def test_full_queue(self) -> None:
        """
        What does not fit is refused at once, with an error of its own; when there is room again, it is taken again.
        """
        self.assertFalse(self.hashing.is_full)
        checks = [self.hashing.verify(self.phc, b"secret") for _ in range(HASHERS + WAITING)]
        self.assertTrue(self.hashing.is_full)
        self.failureResultOf(self.hashing.verify(self.phc, b"secret"), HashingBusy)
        self.hashers.run()
        self.assertEqual([self.successResultOf(check) for check in checks], [True] * len(checks))
        self.assertEqual((self.hashing.active, self.hashing.is_full), (0, False))
        again = self.hashing.verify(self.phc, b"secret")
        self.hashers.run()
        self.assertTrue(self.successResultOf(again))

    def test_who_has_gone_costs_nothing(self) -> None:
        """
        A check that was cancelled before its turn is not done, and gives its place back at once; one that was cancelled
        while it was done disturbs nobody.
        """
        checks = [self.hashing.verify(self.phc, b"secret") for _ in range(HASHERS + WAITING)]
        for each in (0, -1):
            checks[each].cancel()
            self.failureResultOf(checks[each], CancelledError)
        self.assertFalse(self.hashing.is_full)
        self.hashers.run()
        self.assertEqual(len(self.hashers.checked), HASHERS + WAITING - 1)
        self.assertEqual({self.successResultOf(check) for check in checks[1:-1]}, {True})
        self.assertEqual(self.hashing.active, 0)

    def test_stops_with_the_reactor(self) -> None:
        """
        At the end what waits is not checked any more, nothing new is begun, and no process is left.
        """
        begun = self.hashing.verify(self.phc, b"secret")
        waiting = [self.hashing.verify(self.phc, b"secret") for _ in range(HASHERS)]
        for trigger in self.hashers.triggers:
            self.successResultOf(trigger())
        self.hashers.run()
        self.assertEqual((self.hashers.checked, self.hashers.running), ([], 0))
        self.failureResultOf(begun, HasherGone)
        self.failureResultOf(waiting[-1], HashingBusy)
        self.failureResultOf(self.hashing.verify(self.phc, b"secret"), HashingBusy)


class _Process:
    """
    A process as Twisted shows it, that answers when told.
    """

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.killed = 0

    def signalProcess(self, name: str) -> None:
        assert name == "KILL"
        self.killed += 1


class _Reactor(Clock):
    """
    Starts no process, and says that it has; or says that it has not.
    """

    refusal: OSError | None = None

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[_Process] = []
        self.protocols: list[Hasher] = []

    def spawnProcess(self, protocol: Hasher, *arguments: object, childFDs: dict[int, int]) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.processes.append(_Process(socket.socket(fileno=os.dup(childFDs[0]))))
        self.protocols.append(protocol)
        protocol.makeConnection(self.processes[-1])

    def addReader(self, reader: object) -> None:
        """
        Tests say when something has come.
        """

    def removeReader(self, reader: object) -> None:
        """
        As above.
        """

    def addSystemEventTrigger(self, phase: str, event: str, call: Callable[[], Any]) -> None:
        """
        It does not end.
        """


class FailingTests(SynchronousTestCase):
    """
    Processes that end, hang, or cannot be started: a login fails, and the next one may succeed.
    """

    def setUp(self) -> None:
        self.reactor = _Reactor()
        self.hashing = HashingPool(lambda: self.reactor)

    def tearDown(self) -> None:
        for number in range(len(self.reactor.processes)):
            self.end(number)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def say(self, number: int, answer: bytes) -> None:
        """
        A process answers.
        """
        self.reactor.processes[number].channel.send(answer)
        self.assertIsNone(self.reactor.protocols[number].doRead())

    def end(self, number: int) -> None:
        """
        A process ends, if it has not yet: we hear of its channel first, and then of it.
        """
        process, protocol = self.reactor.processes[number], self.reactor.protocols[number]
        if protocol.fileno() >= 0:
            process.channel.close()
            self.assertIs(protocol.doRead(), CONNECTION_LOST)
            protocol.connectionLost(Failure(CONNECTION_LOST))
            protocol.processEnded(Failure(ProcessTerminated(1)))

    def test_ended(self) -> None:
        """
        With a process that ends, its check fails. What waits is done by another, which is started at once if that one
        had ever answered.
        """
        first = self.hashing.verify("phc", b"secret")
        self.say(0, b"+")
        self.assertTrue(self.successResultOf(first))
        checks = [self.hashing.verify("phc", b"secret") for _ in range(HASHERS + 1)]
        self.end(0)
        self.failureResultOf(checks[0], HasherGone)
        self.assertEqual(len(self.reactor.protocols), HASHERS + 1)
        for number in range(1, HASHERS + 1):
            self.say(number, b"-")
        self.assertEqual([self.successResultOf(check) for check in checks[1:]], [False] * HASHERS)

    def test_ended_while_it_had_nothing_to_do(self) -> None:
        """
        Nobody notices; the next check starts another.
        """
        self.hashing.verify("phc", b"secret")
        self.say(0, b"+")
        self.end(0)
        check = self.hashing.verify("phc", b"secret")
        self.say(1, b"+")
        self.assertTrue(self.successResultOf(check))

    def test_cannot_run(self) -> None:
        """
        A program that ends before it has answered is not started for each login anew, but once in a second.
        """
        check = self.hashing.verify("phc", b"secret")
        self.end(0)
        self.failureResultOf(check, HasherGone)
        for _ in range(5):
            self.failureResultOf(self.hashing.verify("phc", b"secret"), HasherGone)
        self.assertEqual(len(self.reactor.protocols), 1)
        self.reactor.advance(REST)
        check = self.hashing.verify("phc", b"secret")
        self.say(1, b"+")
        self.assertTrue(self.successResultOf(check))

    def test_cannot_be_started(self) -> None:
        """
        Neither is one that the system does not start.
        """
        self.reactor.refusal = OSError(12, "Cannot allocate memory")
        self.failureResultOf(self.hashing.verify("phc", b"secret"), HasherGone)
        self.reactor.refusal = None
        self.failureResultOf(self.hashing.verify("phc", b"secret"), HasherGone)
        self.assertEqual((self.reactor.protocols, self.hashing.active), ([], 0))

    def test_hangs(self) -> None:
        """
        A process that does not answer in time is ended, however long it had served before.
        """
        self.hashing.verify("phc", b"secret")
        self.say(0, b"+")
        self.reactor.advance(DEADLINE - 1)
        check = self.hashing.verify("phc", b"secret")
        self.reactor.advance(DEADLINE - 1)
        self.assertEqual(self.reactor.processes[0].killed, 0)
        self.reactor.advance(1)
        self.assertEqual(self.reactor.processes[0].killed, 1)
        self.end(0)
        self.failureResultOf(check, HasherGone)

    def test_leaves_while_it_is_checked(self) -> None:
        """
        The answer to somebody who has gone is not taken for the next one's.
        """
        gone = self.hashing.verify("phc", b"secret")
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        others = [self.hashing.verify("phc", b"secret") for _ in range(HASHERS)]
        self.say(0, b"+")
        for each in others:
            self.assertNoResult(each)
        for number in range(HASHERS):
            self.say(number, b"-")
        self.assertEqual([self.successResultOf(each) for each in others], [False] * HASHERS)


class ProgramTests(SynchronousTestCase):
    """
    What the process does with its standard input.
    """

    def answers(self, *questions: tuple[str, bytes]) -> bytes:
        """
        Ask, and then no more.
        """
        asked = b"".join(
            QUESTION.pack(len(phc), len(password)) + phc.encode() + password for phc, password in questions
        )
        answers = io.BytesIO()
        answer_all(io.BytesIO(asked), answers)
        return answers.getvalue()

    def test_answers(self) -> None:
        """
        One byte for each, in their order; what is no hash matches nothing.
        """
        phc = cheap_hash(b"secret")
        self.assertEqual(self.answers(), b"")
        self.assertEqual(self.answers((phc, b"secret"), (phc, b"Secret"), ("x", b"secret"), (phc, b"secret")), b"+--+")

    def test_longest(self) -> None:
        """
        The longest password fits.
        """
        password = "ü".encode() * 512
        self.assertEqual(self.answers((cheap_hash(password), password)), b"+")


class RealProcessTests(TestCase):
    """
    With real processes.
    """

    def setUp(self) -> None:
        self.hashers: list[Hasher] = []
        self.hashing = HashingPool(lambda: reactor, self.employ)
        self.addCleanup(self.hashing.stop)
        self.phc = cheap_hash(b"secret")

    def employ(self, reactor: Any) -> Hasher:
        """
        Start one, and remember it.
        """
        self.hashers.append(employ(reactor))
        return self.hashers[-1]

    def process_of(self, hasher: Hasher) -> Path:
        """
        What the system tells about it.
        """
        transport: Any = hasher.transport
        return Path(f"/proc/{transport.pid}")

    async def test_beside_the_reactor(self) -> None:
        """
        All are answered, by a process or two that give way to others.
        """
        passwords = [b"secret", b"wrong"] * ((HASHERS + WAITING) // 2)
        answers = await gatherResults([self.hashing.verify(self.phc, password) for password in passwords])
        self.assertEqual(answers, [True, False] * (len(passwords) // 2))
        self.assertEqual(len(self.hashers), HASHERS)
        for hasher in self.hashers:
            transport: Any = hasher.transport
            self.assertEqual(os.getpriority(os.PRIO_PROCESS, transport.pid), 19)
            if sys.platform == "linux":
                self.assertNotIn(b"secret", (self.process_of(hasher) / "cmdline").read_bytes())
                self.assertNotIn(b"secret", (self.process_of(hasher) / "environ").read_bytes())

    async def test_killed(self) -> None:
        """
        When somebody kills the process, one login fails, and the next is checked by another.
        """
        self.assertTrue(await self.hashing.verify(self.phc, b"secret"))
        transport: Any = self.hashers[0].transport
        os.kill(transport.pid, signal.SIGSTOP)
        check = self.hashing.verify(self.phc, b"secret")
        os.kill(transport.pid, signal.SIGKILL)
        await self.assertFailure(check, HasherGone)
        self.assertTrue(await self.hashing.verify(self.phc, b"secret"))
        self.assertEqual(len(self.hashers), 2)

    async def test_signals_of_the_terminal(self) -> None:
        """
        Control-C, and a terminal that is closed, are the server's to deal with: the process goes on.
        """
        self.assertTrue(await self.hashing.verify(self.phc, b"secret"))
        transport: Any = self.hashers[0].transport
        for each in (signal.SIGINT, signal.SIGHUP):
            os.kill(transport.pid, each)
            self.assertTrue(await self.hashing.verify(self.phc, b"secret"))
        self.assertEqual(len(self.hashers), 1)

    async def test_stops(self) -> None:
        """
        No process is left at the end, whatever it does.
        """
        self.assertTrue(await self.hashing.verify(self.phc, b"secret"))
        transport: Any = self.hashers[0].transport
        pid = transport.pid
        os.kill(pid, signal.SIGSTOP)
        check: Deferred[bool] = self.hashing.verify(self.phc, b"secret")
        stopped = self.hashing.stop()
        await self.assertFailure(check, HasherGone)
        await stopped
        self.assertRaises(ProcessLookupError, os.kill, pid, 0)
