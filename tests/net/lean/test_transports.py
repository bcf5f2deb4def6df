"""
Tests for :mod:`echochat.net.lean.transports`.
"""

from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import TestCase

from echochat.net.lean import transports
from tests.net.lean.ending import ClosingGuarantees
from tests.net.lean.failing import FailureGuarantees
from tests.net.lean.producing import ProducerGuarantees
from tests.net.lean.runs import MEGABYTE, SMALL, OverLean, OverPlain, OverUnix, Run
from tests.net.lean.writing import WritingGuarantees
from tests.net.recorders import HalfCloseable


class Guarantees(WritingGuarantees, ProducerGuarantees, ClosingGuarantees, FailureGuarantees):
    """
    All that every stream connection promises.
    """


class ResetGuarantees(Run):
    """
    What TCP connections promise besides: UNIX sockets are not reset.
    """

    async def test_peer_resets(self) -> None:
        """
        A reset is no clean end, and is told once.
        """
        [(peer, recorder)] = await self.connect(HalfCloseable)
        peer.reset()
        await recorder.until_lost()
        self.assertTrue(recorder.reason.check(ConnectionLost))
        self.assertEqual(recorder.told, ["connectionMade", "connectionLost"])

    async def test_peer_resets_while_it_is_written_to(self) -> None:
        """
        A write to a peer that has gone does not end the connection inside the call; then it ends as by the reset.
        """
        [(peer, recorder)] = await self.connect(HalfCloseable)
        peer.reset()
        for _ in range(3):
            recorder.transport.write(b"anybody there?")
        self.assertEqual(recorder.told, ["connectionMade"])
        await recorder.until_lost()
        self.assertTrue(recorder.reason.check(ConnectionLost))
        self.assertEqual(recorder.told, ["connectionMade", "connectionLost"])

    async def test_peer_resets_while_bytes_wait(self) -> None:
        """
        A connection that is not read from, but has something to send, notices a reset.
        """
        [(peer, recorder)] = await self.connect(receive_buffer=SMALL)
        recorder.transport.pauseProducing()
        recorder.transport.write(b"x" * (8 * MEGABYTE))
        peer.reset()
        await recorder.until_lost()
        self.assertTrue(recorder.reason.check(ConnectionLost))

    async def test_abort_resets(self) -> None:
        """
        The peer of an aborted connection is told that something was not sent.
        """
        [(peer, recorder)] = await self.connect(receive_buffer=SMALL)
        recorder.transport.write(b"x" * (8 * MEGABYTE))
        recorder.transport.abortConnection()
        self.assertTrue(await peer.is_reset())

    async def test_writing_to_a_peer_that_has_closed(self) -> None:
        """
        A peer that closes while it is still written to ends the connection, once.
        """
        [(peer, recorder)] = await self.connect(HalfCloseable)
        peer.socket.sendall(b"never read")
        peer.close()
        await recorder.until_told("readConnectionLost")
        while not recorder.times_lost:
            recorder.transport.write(b"x")
            await self.a_turn()
        self.assertTrue(recorder.reason.check(ConnectionLost))
        self.assertEqual(recorder.times_lost, 1)

    async def test_options_and_addresses(self) -> None:
        """
        A connection tells its two ends, and its socket's options can be set.
        """
        [(peer, recorder)] = await self.connect()
        transport = recorder.transport
        self.assertEqual((transport.getPeer().host, transport.getPeer().port), peer.socket.getsockname())
        self.assertEqual((transport.getHost().host, transport.getHost().port), peer.socket.getpeername())
        for value in (True, False):
            transport.setTcpNoDelay(value)
            transport.setTcpKeepAlive(value)
            self.assertEqual((transport.getTcpNoDelay(), transport.getTcpKeepAlive()), (value, value))


class LeanTcpTests(OverLean, Guarantees, ResetGuarantees, TestCase):
    """
    TCP connections over the lean reactor.
    """

    async def test_is_lean(self) -> None:
        """
        These tests test what they are for.
        """
        [(_, recorder)] = await self.connect()
        self.assertIsInstance(recorder.transport, transports.LeanServer)

    async def test_written_at_once(self) -> None:
        """
        What is written is with the peer when ``write`` returns.
        """
        [(peer, recorder)] = await self.connect()
        recorder.transport.write(b"now")
        peer.socket.setblocking(False)
        self.assertEqual(peer.socket.recv(10), b"now")

    async def test_connection_that_fails_when_made_is_closed(self) -> None:
        """
        A connection whose protocol failed in ``connectionMade`` does not stay half made.
        """

        class Failing(HalfCloseable):
            def connectionMade(self) -> None:
                raise ZeroDivisionError

        recording = self.recording(Failing)
        peer = self.peer(await self.listen(recording))
        self.assertTrue(await peer.is_reset())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_factory_that_fails(self) -> None:
        """
        A connection for which no protocol could be made is closed.
        """

        def fail() -> HalfCloseable:
            raise ZeroDivisionError

        address = await self.listen(self.recording(fail))
        self.assertEqual(await self.peer(address).read_to_end(), b"")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class LeanUnixTests(OverLean, OverUnix, Guarantees, TestCase):
    """
    UNIX connections over the lean reactor.
    """


class PlainTcpTests(OverPlain, Guarantees, ResetGuarantees, TestCase):
    """
    TCP connections over the plain reactor.
    """


class PlainUnixTests(OverPlain, OverUnix, Guarantees, TestCase):
    """
    UNIX connections over the plain reactor.
    """
