"""
Tests for :mod:`echochat.net.closing`: on real sockets, since what is at stake is what the kernel does with bytes.
"""

from typing import Any

from twisted.internet.defer import gatherResults
from twisted.internet.endpoints import clientFromString, wrapClientTLS
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from echochat.net.closing import Closer
from tests.net.certificates import identity
from tests.net.lean.producing import Pushing
from tests.net.lean.runs import MEGABYTE, SMALL, OverLean, OverPlain, OverUnix, Run, pattern
from tests.net.lean.securing import SecureGuarantees
from tests.net.recorders import Recorder

GRACE = 5

ANSWERS = pattern(200_000)
"""
What was answered before the close.
"""

BEHIND = b"one more line\r\n" * 15_000
"""
200 KB that a client has pipelined behind the line that closes.
"""


@implementer(IHalfCloseableProtocol)
class Closing(Recorder):
    """
    A protocol that uses the closer as it asks for.
    """

    closer: Closer

    def __init__(self) -> None:
        super().__init__()
        self.peer_has_closed = False
        self.closing = False

    def close(self) -> None:
        """
        Close politely.
        """
        self.closing = True
        self.closer.close(self.transport, self.peer_has_closed)

    # Called by Twisted

    def dataReceived(self, data: bytes) -> None:
        if not self.closing:
            super().dataReceived(data)

    def readConnectionLost(self) -> None:
        self.peer_has_closed = True
        if self.closing:
            self.closer.finish(self.transport)
        self._tell("readConnectionLost")

    def writeConnectionLost(self) -> None:
        self._tell("writeConnectionLost")

    def connectionLost(self, *arguments: Any) -> None:
        self.closer.gone(self.transport)
        super().connectionLost(*arguments)


class ClosingRun(Run):
    """
    A closer whose time the test passes.
    """

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.closer = Closer(self.clock, GRACE)

    def make(self) -> Closing:
        made = Closing()
        made.closer = self.closer
        return made

    def assert_nothing_is_left(self) -> None:
        self.assertEqual(self.closer._unsent, {})
        self.clock.advance(GRACE)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ClosingGuarantees(ClosingRun):
    """
    Over plain sockets.
    """

    async def test_pipelined_behind_the_close(self) -> None:
        """
        A client that has sent 200 KB behind the last line, and reads late, gets all the answers before it.
        """
        [(peer, recorder)] = await self.connect(self.make, receive_buffer=SMALL)
        recorder.transport.pauseProducing()
        sending = peer.send(BEHIND)
        recorder.transport.write(ANSWERS)
        recorder.close()
        await sending
        await self.round_trip()
        self.assertEqual(await peer.read_to_end(), ANSWERS)
        self.assertEqual(recorder.times_lost, 0)
        peer.close()
        await recorder.until_lost()
        self.assertTrue(recorder.reason.check(ConnectionDone))
        self.assert_nothing_is_left()

    async def test_goes_on_sending_for_a_while(self) -> None:
        """
        What a client sends after the close is thrown away, not waited for in memory, and does not disturb it.
        """
        [(peer, recorder)] = await self.connect(self.make)
        recorder.transport.write(ANSWERS)
        recorder.close()
        for _ in range(5):
            await peer.send(BEHIND)
        self.assertEqual(recorder.received, b"")
        self.assertEqual(await peer.read_to_end(), ANSWERS)
        peer.finish()
        await recorder.until_lost()

    async def test_client_has_closed_its_half(self) -> None:
        """
        A client that has said everything gets all answers, and the connection ends without its help.
        """
        [(peer, recorder)] = await self.connect(self.make, receive_buffer=SMALL)
        peer.finish()
        await recorder.until_told("readConnectionLost")
        large = ANSWERS * 20
        recorder.transport.write(large)
        recorder.close()
        self.assertEqual(await peer.read_to_end(), large)
        await recorder.until_lost()
        self.assert_nothing_is_left()

    async def test_client_never_closes(self) -> None:
        """
        A client that has got everything and does not close is aborted when the grace is over.
        """
        [(peer, recorder)] = await self.connect(self.make)
        recorder.transport.write(ANSWERS)
        recorder.close()
        self.assertEqual(await peer.read_to_end(), ANSWERS)
        await self.until(lambda: recorder.told[-1] == "writeConnectionLost")
        self.clock.advance(GRACE)
        # The client has taken it all since the close: that counts as progress, once.
        self.clock.advance(GRACE)
        await recorder.until_lost()
        self.assertTrue(recorder.reason.check(ConnectionAborted))
        self.assert_nothing_is_left()

    async def test_client_never_reads(self) -> None:
        """
        A client that takes nothing is aborted when the grace is over, and not before.
        """
        [(_, recorder)] = await self.connect(self.make, receive_buffer=SMALL)
        recorder.transport.registerProducer(Pushing(), True)
        recorder.transport.write(b"x" * (8 * MEGABYTE))
        await self.round_trip()
        recorder.close()
        self.clock.advance(GRACE - 0.1)
        await self.round_trip()
        self.assertEqual(recorder.times_lost, 0)
        self.clock.advance(0.1)
        await recorder.until_lost()
        self.assertTrue(recorder.reason.check(ConnectionAborted))
        self.assert_nothing_is_left()

    async def test_client_reads_slowly(self) -> None:
        """
        A client that takes something in each while gets everything, however long that takes.
        """
        [(peer, recorder)] = await self.connect(self.make, receive_buffer=SMALL)
        content = pattern(4 * MEGABYTE)
        recorder.transport.write(content)
        recorder.close()
        taken = bytearray()
        while len(taken) < len(content):
            taken += await peer.read(min(300_000, len(content) - len(taken)))
            await self.round_trip()
            self.clock.advance(GRACE)
        self.assertEqual(bytes(taken), content)
        self.assertEqual(await peer.read_to_end(), b"")
        peer.close()
        await recorder.until_lost()
        self.assertTrue(recorder.reason.check(ConnectionDone))

    async def test_paused_when_it_is_closed(self) -> None:
        """
        A connection that was not being read from, because the client did not read either, ends when both have.
        """
        [(peer, recorder)] = await self.connect(self.make, receive_buffer=SMALL)
        producer = Pushing()
        recorder.transport.registerProducer(producer, True)
        recorder.transport.write(b"x" * (4 * MEGABYTE))
        self.assertEqual(producer.asked, ["pause"])
        recorder.transport.pauseProducing()
        recorder.close()
        self.assertEqual(len(await peer.read_to_end()), 4 * MEGABYTE)
        peer.close()
        await recorder.until_lost()
        self.assertTrue(recorder.reason.check(ConnectionDone))

    async def test_client_resets(self) -> None:
        """
        A client that vanishes while the connection closes leaves nothing behind.
        """
        [(peer, recorder)] = await self.connect(self.make, receive_buffer=SMALL)
        recorder.transport.write(b"x" * (4 * MEGABYTE))
        recorder.close()
        peer.reset()
        await recorder.until_lost()
        self.assert_nothing_is_left()


class LeanTcpTests(OverLean, ClosingGuarantees, TestCase):
    """
    TCP over the lean reactor.
    """

    async def test_without_it_answers_are_lost(self) -> None:
        """
        The other tests test something: Twisted's own way to close loses what the client has not read yet.
        """
        [(peer, recorder)] = await self.connect(self.make, receive_buffer=SMALL)
        recorder.transport.pauseProducing()
        sending = peer.send(BEHIND)
        recorder.transport.write(ANSWERS)
        recorder.transport.loseConnection()
        await gatherResults([sending.addErrback(lambda failure: failure.trap(OSError)), recorder.until_lost()])
        self.assertTrue(await peer.is_reset())


class PlainTcpTests(OverPlain, ClosingGuarantees, TestCase):
    """
    TCP over the plain reactor.
    """


class LeanUnixTests(OverLean, OverUnix, ClosingGuarantees, TestCase):
    """
    UNIX sockets over the lean reactor.
    """


class SecureClosingGuarantees(ClosingRun):
    """
    With TLS, where close_notify takes the place of a half-close.
    """

    endpoint = SecureGuarantees.endpoint

    async def pair(self) -> tuple[Recorder, Any]:
        """
        :return: a client, and the server's connection with it.
        """
        serving, connecting = self.recording(self.make), self.recording()
        address = await self.listen(serving)
        options: Any = identity().client_options()
        await wrapClientTLS(options, clientFromString(self.reactor, f"tcp:127.0.0.1:{address.port}")).connect(
            connecting
        )
        client, server = connecting.made[0], serving.made[0]
        client.transport.write(b"hello")
        await server.until_received(5)
        return client, server

    async def test_pipelined_behind_the_close(self) -> None:
        """
        A client that has sent much behind the last line, and reads late, gets all the answers before it.
        """
        client, server = await self.pair()
        client.transport.pauseProducing()
        client.transport.write(BEHIND)
        server.transport.write(ANSWERS)
        server.close()
        await self.round_trip()
        client.transport.resumeProducing()
        await client.until_lost()
        await server.until_lost()
        self.assertEqual(bytes(client.received), ANSWERS)
        self.assertEqual(bytes(server.received), b"hello")
        self.assert_nothing_is_left()

    async def test_paused_when_it_is_closed(self) -> None:
        """
        A connection that was not being read from ends when the client has read, without waiting for the deadline.
        """
        client, server = await self.pair()
        client.transport.pauseProducing()
        server.transport.registerProducer(Pushing(), True)
        server.transport.write(b"x" * (8 * MEGABYTE))
        server.transport.pauseProducing()
        server.close()
        client.transport.resumeProducing()
        await client.until_lost()
        await server.until_lost()
        self.assertEqual(len(client.received), 8 * MEGABYTE)
        self.assertFalse(isinstance(server.reason, Failure) and server.reason.check(ConnectionAborted))
        self.assert_nothing_is_left()

    async def test_client_never_closes(self) -> None:
        """
        A client that does not answer the close_notify is aborted when the grace is over.
        """
        client, server = await self.pair()
        client.transport.pauseProducing()
        await self.round_trip()
        server.transport.write(ANSWERS)
        server.close()
        await self.round_trip()
        self.assertEqual(server.times_lost, 0)
        # What the kernel took counts as progress, once.
        self.clock.pump([GRACE, GRACE])
        await server.until_lost()
        self.assert_nothing_is_left()
        client.transport.abortConnection()

    async def test_unfinished_handshake(self) -> None:
        """
        A client that has not finished its handshake is closed all the same.
        """
        serving = self.recording(self.make)
        peer = self.peer(await self.listen(serving))
        await serving.until_made(1)
        server: Any = serving.made[0]
        await server.until_told("connectionMade")
        server.close()
        self.clock.advance(GRACE)
        await server.until_lost()
        await peer.is_reset()
        self.assert_nothing_is_left()


class LeanSecureTests(OverLean, SecureClosingGuarantees, TestCase):
    """
    TLS over the lean reactor.
    """


class PlainSecureTests(OverPlain, SecureClosingGuarantees, TestCase):
    """
    TLS over the plain reactor.
    """
