"""
Tests for :mod:`echochat.net.lean.ports`.
"""

import errno
import os
import resource
from typing import Any

from twisted.trial.unittest import TestCase

from echochat.net.lean import ports
from tests.net.lean.runs import OverLean, plain


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
        self.patch(ports, "REST", 0.05)
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
