"""
Asking another process over its control socket.
"""

import os
import secrets
import tempfile
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import TestCase

from echochat.daemon import asking
from echochat.daemon.asking import DEADLINE, NotAnswered, ask
from echochat.daemon.control import ControlFactory, no_arguments
from echochat.net.lean import lean
from echochat.wire.answers import Info, Ok
from echochat.wire.commands import Command

reactor: Any = _reactor


class _Saying(Protocol):
    """
    Says this to whoever asks, and closes.
    """

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(self._answer)
        self.transport.loseConnection()


class AskTests(TestCase):
    """
    Tests for :func:`ask`, over real sockets.
    """

    timeout = 60

    def setUp(self) -> None:
        self.path = _free_path()

    def listen(self, factory: Factory) -> None:
        """
        Listen on another socket.
        """
        self.path = _free_path()
        port = reactor.listenUNIX(self.path, factory)
        self.addCleanup(port.stopListening)

    def saying(self, answer: bytes) -> None:
        """
        Something that says this and closes.
        """
        self.listen(Factory.forProtocol(lambda: _Saying(answer)))

    async def refused(self, why: str, control: str | None = None) -> None:
        """
        To ask fails, with a sentence that has this in it.
        """
        error = await self.assertFailure(
            Deferred.fromCoroutine(ask(reactor, reactor, control or f"unix:{self.path}", "/status")), NotAnswered
        )
        self.assertIn(why, str(error))
        self.assertNotIn("\n", str(error))

    async def test_answer(self) -> None:
        """
        The items and the closing line come back, on either kind of reactor.
        """

        async def status(command: Command) -> bytes:
            no_arguments(command)
            return Info("one: 1").encode() + Info("two: 2").encode() + Ok("status", "2 in all").encode()

        self.listen(ControlFactory({"status": status}))
        for with_reactor in (reactor, lean(reactor)):
            answer = await ask(with_reactor, reactor, f"unix:{self.path}", "/status")
            self.assertEqual(answer, (["one: 1", "two: 2"], "2 in all"))

    async def test_refusal(self) -> None:
        """
        A refusal is the reason.
        """
        self.listen(ControlFactory({}))
        await self.refused(f"unix:{self.path}: there are ")

    async def test_unreachable(self) -> None:
        """
        Nothing there, something else there, or what is no endpoint.
        """
        await self.refused(f"unix:{self.path} cannot be reached: No such file or directory")
        await self.refused("unix:/tmp cannot be reached: Connection refused", "unix:/tmp")
        await self.refused("cannot be reached: ", "nothing")

    async def test_closes(self) -> None:
        """
        Whoever closes without an answer, or in the middle of one, has not answered; nor has another service.
        """
        for answer in (b"", b"/info one: 1\r\n", b"/ok stat", b"HTTP/1.1 400 Bad\r\n\r\n/nothing\r\n\xff\r\n"):
            self.saying(answer)
            await self.refused("closed without an answer")

    async def test_silence(self) -> None:
        """
        An answer that does not come is not waited for without end, and nothing is left of it.
        """
        self.listen(Factory.forProtocol(Protocol))
        clock = Clock()
        asked = Deferred.fromCoroutine(ask(reactor, clock, f"unix:{self.path}", "/status"))
        while clock.getDelayedCalls() or not asked.called:
            await Deferred.fromCoroutine(_a_turn())
            clock.advance(DEADLINE / 2)
        error = await self.assertFailure(asked, NotAnswered)
        self.assertEqual(str(error), f"unix:{self.path}: no answer within {asking.DEADLINE:g} s")

    async def test_cancelled(self) -> None:
        """
        Whoever gives up an answer is not told that there is none.
        """
        came: Deferred[None] = Deferred()
        self.patch(Protocol, "dataReceived", lambda protocol, _: came.callback(None))
        self.listen(Factory.forProtocol(Protocol))
        asked = Deferred.fromCoroutine(ask(reactor, reactor, f"unix:{self.path}", "/status"))
        await came
        asked.cancel()
        await self.assertFailure(asked, CancelledError)

    def test_cancelled_while_it_connects(self) -> None:
        """
        Nor whoever gives up a process before there is a connection to it.
        """
        memory = MemoryReactorClock()
        asked = Deferred.fromCoroutine(ask(memory, memory, "tcp:192.0.2.1:7000", "/status"))
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertEqual(memory.getDelayedCalls(), [])

    def test_no_connection(self) -> None:
        """
        A connection is not waited for without end either, and it is said for how long it was.
        """
        memory = MemoryReactorClock()
        asked = Deferred.fromCoroutine(ask(memory, memory, "tcp:192.0.2.1:7000", "/status"))
        memory.advance(DEADLINE)
        error = self.failureResultOf(asked, NotAnswered).value
        self.assertEqual(str(error), f"tcp:192.0.2.1:7000: no answer within {DEADLINE:g} s")


def _free_path() -> str:
    # Of a UNIX socket's path there may be 108 bytes.
    return os.path.join(tempfile.gettempdir(), f"echochat-{secrets.token_hex(8)}")


async def _a_turn() -> None:
    turn: Deferred[None] = Deferred()
    reactor.callLater(0, turn.callback, None)
    await turn
