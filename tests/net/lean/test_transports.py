"""
Tests for :mod:`echochat.net.lean.transports`.
"""

import errno
import os
import resource
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import TestCase

from echochat.net.lean import transports
from tests.net.lean.ending import ClosingGuarantees
from tests.net.lean.failing import FailureGuarantees
from tests.net.lean.producing import ProducerGuarantees
from tests.net.lean.runs import MEGABYTE, SMALL, OverLean, OverPlain, OverUnix, Run, plain
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


class PortTests(OverLean, TestCase):
    """
    Listening ports.
    """

    limits: tuple[int, int]

    async def test_stops_at_once(self) -> None:
        """
        A port that is told to stop while a connection is made accepts no other one, although some wait; it does when
        it may again.
        """
        recording = self.recording()
        port = self.listening(self.reactor.listenTCP(0, recording, interface="127.0.0.1"))
        build = recording.buildProtocol

        def build_and_stop(address: object) -> Any:
            port.stopReading()
            return build(address)

        self.patch(recording, "buildProtocol", build_and_stop)
        for _ in range(5):
            self.peer(port.getHost())
        for count in range(1, 6):
            await recording.until_made(count)
            await self.round_trip()
            self.assertEqual(len(recording.made), count)
            port.startReading()

    async def test_gone_before_it_was_accepted(self) -> None:
        """
        A client that has gone before it was accepted does not keep the next one from being.
        """
        recording = self.recording()
        port = self.listening(self.reactor.listenTCP(0, recording, interface="127.0.0.1"))
        listening = port.socket
        mistakes = [ConnectionAbortedError(errno.ECONNABORTED, "gone")]

        class Listening:
            def accept(self) -> Any:
                if mistakes:
                    raise mistakes.pop()
                return listening.accept()

            def __getattr__(self, name: str) -> Any:
                return getattr(listening, name)

        port.socket = Listening()
        self.peer(port.getHost())
        await recording.until_made(1)
        self.assertEqual(mistakes, [])

    async def test_not_wanted(self) -> None:
        """
        A connection that the factory does not want is closed, and the next one is accepted.
        """
        recording = self.recording()
        address = await self.listen(recording)
        build = recording.buildProtocol
        self.patch(recording, "buildProtocol", lambda address: None)
        self.assertEqual(await self.peer(address).read_to_end(), b"")
        self.patch(recording, "buildProtocol", build)
        self.peer(address)
        await recording.until_made(1)

    async def test_factory_takes_sockets(self) -> None:
        """
        A factory that takes sockets gets each before anything was read from it, and what waits in one is there when it
        is made a connection afterwards. One that it does not want is made a connection as always.
        """
        recording: Any = self.recording()
        taken: list[tuple[Any, Any]] = []

        def take(accepted: Any, address: Any, port: Any) -> bool:
            twisted_address = port.address_of(address)
            self.assertEqual((twisted_address.host, twisted_address.port), address)
            taken.append((accepted, address))
            return len(taken) == 1

        recording.take_socket = take
        port = self.listening(self.reactor.listenTCP(0, recording, interface="127.0.0.1"))
        first = self.peer(port.getHost())
        first.socket.sendall(b"first")
        await self.until(lambda: taken)
        self.peer(port.getHost())
        await recording.until_made(1)
        self.assertEqual(recording.made[0].transport.client, taken[1][1])
        accepted, address = taken[0]
        port.connect(accepted, address, recording.buildProtocol(port.getHost()))
        recorder = recording.made[1]
        await recorder.until_received(5)
        self.assertEqual((bytes(recorder.received), recorder.transport.client), (b"first", first.socket.getsockname()))

    async def test_factory_that_fails_to_take(self) -> None:
        """
        A socket that a factory failed to take is closed.
        """
        recording: Any = self.recording()
        recording.take_socket = lambda *arguments: 1 / 0
        port = self.listening(self.reactor.listenTCP(0, recording, interface="127.0.0.1"))
        self.assertEqual(await self.peer(port.getHost()).read_to_end(), b"")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_out_of_descriptors(self) -> None:
        """
        Without a descriptor for another connection the port rests, and those who wait are served later.
        """
        self.patch(transports, "REST", 0.05)
        recording = self.recording()
        port = self.listening(self.reactor.listenTCP(0, recording, interface="127.0.0.1"))
        # The reactor of the tests takes some of its own when it begins to run.
        await self.a_turn()
        peers = [self.peer(port.getHost()) for _ in range(3)]
        self.leave_descriptors(1)
        await recording.until_made(1)
        await self.until(lambda: port not in self.reactor.getReaders())
        self.assertEqual(len(recording.made), 1)
        self.leave_descriptors(None)
        await recording.until_made(3)
        for peer, recorder in zip(peers, recording.made, strict=True):
            await recorder.until_told("connectionMade")
            recorder.transport.write(b"welcome")
            self.assertEqual(await peer.read(7), b"welcome")

    async def test_stopped_while_it_rests(self) -> None:
        """
        A port that is told to stop while it rests does not begin again by itself, and leaves no timer.
        """
        recording = self.recording()
        port = self.listening(self.reactor.listenTCP(0, recording, interface="127.0.0.1"))
        await self.a_turn()
        self.peer(port.getHost())
        self.leave_descriptors(0)
        await self.until(lambda: port not in self.reactor.getReaders())
        port.stopReading()
        self.leave_descriptors(None)
        self.assertEqual([call for call in plain.getDelayedCalls() if "_go_on" in str(call)], [])
        await port.stopListening()

    def leave_descriptors(self, number: int | None) -> None:
        """
        Let this process open so many descriptors more; None: as many as before.
        """
        if number is None:
            resource.setrlimit(resource.RLIMIT_NOFILE, self.limits)
            return
        self.limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, self.limits)
        free: list[int] = []
        try:
            for _ in range(number + 1):
                free.append(os.dup(0))
        finally:
            for each in free:
                os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free[-1], self.limits[1]))

    async def test_a_queue_for_many(self) -> None:
        """
        A few hundred clients can reconnect at once without one of them having to ask twice.
        """
        port = self.listening(self.reactor.listenTCP(0, self.recording(), interface="127.0.0.1"))
        self.assertGreaterEqual(port.backlog, 500)


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
