"""
Standard input and output, on pipes of this process.
"""

import os
from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorFromThreads, IReactorTime
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from echochat.client.standard import HIGH_WATER, InputStream, OutputStream
from tests.client.processes import DEADLINE


class _Later:
    """
    Fires a Deferred when something that is called repeatedly has come to pass.
    """

    def __init__(self, done: Callable[[], bool]) -> None:
        self._done = done
        self._happened: Deferred[None] = Deferred()

    def happens(self) -> Deferred[None]:
        return self._happened.addTimeout(DEADLINE, IReactorTime(reactor))

    def look(self) -> None:
        if self._done() and not self._happened.called:
            self._happened.callback(None)


class InputStreamTests(TestCase):
    """
    What is read arrives in order, and no faster than it is taken.
    """

    def setUp(self) -> None:
        self.reading, self.writing = os.pipe()
        self.addCleanup(os.close, self.reading)
        self.chunks: list[bytes] = []
        self.ended: Deferred[None] = Deferred()
        self.arrived = _Later(lambda: bool(self.chunks))
        self.stream = InputStream(
            IReactorFromThreads(reactor), self.reading, self.take, lambda: self.ended.callback(None)
        )

    def take(self, data: bytes) -> None:
        self.chunks.append(data)
        self.arrived.look()

    async def test_everything(self) -> None:
        """
        All of the input arrives, then its end, once.
        """
        self.stream.start()
        os.write(self.writing, b"one\ntwo")
        os.close(self.writing)
        await self.ended
        self.assertEqual(b"".join(self.chunks), b"one\ntwo")

    async def test_paused(self) -> None:
        """
        A paused consumer is given nothing, however much there is; after the pause everything comes.
        """
        self.stream.pauseProducing()
        self.stream.start()
        os.write(self.writing, b"x" * 60_000)
        os.write(self.writing, b"y")
        # The chunk that was being read when the pause came may arrive, but nothing after it.
        await self.arrived.happens()
        os.write(self.writing, b"z")
        os.close(self.writing)
        for _ in range(100):
            # Time enough for a thread that reads on.
            await deferLater(IReactorTime(reactor), 0)
        self.assertFalse(self.ended.called)
        self.assertNotIn(b"z", b"".join(self.chunks))
        self.stream.resumeProducing()
        await self.ended
        self.assertEqual(b"".join(self.chunks), b"x" * 60_000 + b"yz")

    async def test_terminal_that_has_gone(self) -> None:
        """
        An input that fails has ended.
        """
        os.close(self.writing)
        closed, other = os.pipe()
        os.close(closed)
        os.close(other)
        InputStream(IReactorFromThreads(reactor), closed, self.take, lambda: self.ended.callback(None)).start()
        await self.ended


@implementer(IPushProducer)
class _Source:
    """
    A producer that remembers what it was told.
    """

    def __init__(self) -> None:
        self.paused = False
        self.resumed = _Later(lambda: not self.paused)

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        self.resumed.look()

    def stopProducing(self) -> None:
        pass


class OutputStreamTests(TestCase):
    """
    What is written comes out in order, and a slow reader holds back whoever produces it.
    """

    def setUp(self) -> None:
        self.reading, self.writing = os.pipe()
        # It stays open, as a program's standard output does: the next test's pipe would have its number, and a thread
        # that has not noticed the end yet would write there.
        self.broken: Deferred[None] = Deferred()
        self.stream = OutputStream(IReactorFromThreads(reactor), self.writing, lambda: self.broken.callback(None))

    async def test_everything(self) -> None:
        """
        After the flush all that was given is out.
        """
        self.stream.write(b"one\n")
        self.stream.write(b"")
        self.stream.write(b"two\n")
        await self.stream.flushed()
        await self.stream.flushed()
        self.assertEqual(os.read(self.reading, 100), b"one\ntwo\n")
        os.close(self.reading)

    async def test_slow_reader(self) -> None:
        """
        A producer is paused while more waits than the bound, and resumed when the reader has caught up.
        """
        source = _Source()
        self.stream.registerProducer(source, streaming=True)
        self.stream.write(b"x" * HIGH_WATER)
        self.assertFalse(source.paused)
        self.stream.write(b"y")
        self.assertTrue(source.paused)
        left = HIGH_WATER + 1
        while left:
            left -= len(os.read(self.reading, left))
        await source.resumed.happens()
        os.close(self.reading)
        self.stream.unregisterProducer()

    async def test_room(self) -> None:
        """
        Who writes much can wait for room, and does not wait where there is some.
        """
        await self.stream.room()
        self.stream.write(b"x" * (HIGH_WATER + 1))
        waiting, given_up = self.stream.room(), self.stream.room()
        self.assertFalse(waiting.called)
        given_up.cancel()
        self.failureResultOf(given_up)
        left = HIGH_WATER + 1
        while left:
            left -= len(os.read(self.reading, left))
        await waiting
        os.close(self.reading)

    async def test_nobody_reads_and_nothing_is_written(self) -> None:
        """
        That the reader has gone is noticed without writing.
        """
        os.close(self.reading)
        await self.broken

    async def test_nobody_reads_while_much_waits(self) -> None:
        """
        Who waits for room then does not wait for ever.
        """
        self.stream.write(b"x" * (HIGH_WATER + 1))
        waiting = self.stream.room()
        os.close(self.reading)
        await waiting
        await self.stream.room()
        await self.broken

    async def test_nobody_reads(self) -> None:
        """
        When the reader has gone, this is told once, and nobody waits for a flush that cannot be.
        """
        os.close(self.reading)
        self.stream.write(b"x")
        flushed = self.stream.flushed()
        await self.broken
        await flushed
        self.stream.write(b"y")
        await self.stream.flushed()
        self.assertTrue(self.stream.broken)
