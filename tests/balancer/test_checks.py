"""
Tests for :mod:`echochat.balancer.checks`, on real sockets.
"""

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from echochat.balancer.backends import Backend
from echochat.balancer.checks import Check, Checks
from echochat.balancer.reasons import why
from echochat.net.endpoints import client_endpoint
from echochat.wire.proxy import encode_local
from tests.net.recorders import Recorder, Recording
from tests.net.tls_real import Site
from tests.ports import free_port

reactor: Any = _reactor
BACKEND = Backend("a", "tcp:127.0.0.1:1")


class Greeting(Recorder):
    """
    A server that speaks first.
    """

    def connectionMade(self) -> None:
        self.transport.write(b"220 hello\r\n")
        super().connectionMade()


class Closing(Recorder):
    """
    A server that closes at once.
    """

    def connectionMade(self) -> None:
        self.transport.loseConnection()
        super().connectionMade()


def answering(answer: bytes, piece: int = 0) -> Callable[[], Recorder]:
    """
    Servers that answer the first line.

    :param piece: send this many bytes at a time; 0: all.
    """

    def make() -> Recorder:
        recorder = Recorder()
        pieces = [answer[at : at + piece] for at in range(0, len(answer), piece)] if piece else [answer]

        def answer_it(data: bytes) -> None:
            if recorder.received.endswith(b"/ping\r\n"):
                for delay, each in enumerate(pieces):
                    reactor.callLater(delay * 0.001, recorder.transport.write, each)

        recorder.on_data = answer_it
        return recorder

    return make


class RealCase(TestCase):
    """
    A backend on loopback, and checks of it.
    """

    def setUp(self) -> None:
        self.checks = self.make_checks()

    def make_checks(self, send_proxy: str | None = None) -> Checks:
        checks = Checks(reactor, send_proxy)
        self.addCleanup(checks.stop)
        return checks

    async def listen(self, make: Callable[[], Recorder] = Recorder) -> IStreamClientEndpoint:
        self.recording = Recording(make)
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(self.recording)
        self.addCleanup(port.stopListening)
        return client_endpoint(reactor, f"tcp:127.0.0.1:{port.getHost().port}")

    async def end(self) -> Recorder:
        """
        Wait until the backend has seen the end of the check's connection.
        """
        await self.recording.until_made(1)
        await self.recording.made[0].until_lost()
        return self.recording.made[0]

    async def problem(self, check: Check) -> str:
        """
        Why the backend is not well; empty when it is.
        """
        try:
            await check(BACKEND)
        except Exception:
            return why(Failure())
        return ""


class TcpTests(RealCase):
    """
    A connection is enough.
    """

    async def test_well(self) -> None:
        """
        A backend that takes the connection and keeps it is well; the check leaves politely and has said nothing.
        """
        endpoint = await self.listen()
        self.assertEqual(await self.checks.tcp(endpoint)(BACKEND), "connected")
        recorder = await self.end()
        assert recorder.reason is not None
        self.assertEqual(bytes(recorder.received), b"")
        self.assertIsNotNone(recorder.reason.check(ConnectionDone))

    async def test_speaks_first(self) -> None:
        """
        One that speaks first is well as soon as it does.
        """
        endpoint = await self.listen(Greeting)
        self.assertEqual(await self.checks.tcp(endpoint)(BACKEND), "spoke")
        await self.end()

    async def test_closes(self) -> None:
        """
        One that closes at once is of no use to anybody.
        """
        endpoint = await self.listen(Closing)
        self.assertEqual(await self.problem(self.checks.tcp(endpoint)), "it closed the connection")

    async def test_refuses(self) -> None:
        """
        One that is not there is known by the system's words.
        """
        endpoint = await self.listen()
        endpoint = client_endpoint(reactor, f"tcp:127.0.0.1:{free_port()}")
        self.assertEqual(await self.problem(self.checks.tcp(endpoint)), "connection refused")

    async def test_cancel(self) -> None:
        """
        A check that is not wanted any more is gone at once, and its connection with it.
        """
        endpoint = await self.listen()
        for kind in (self.checks.tcp, self.checks.ping):
            checking = kind(endpoint)(BACKEND)
            await self.recording.until_made(1)
            checking.cancel()
            self.failureResultOf(checking, CancelledError)
            await self.end()
            self.recording.made.clear()

    async def test_cancel_while_connecting(self) -> None:
        """
        So is one that has not connected: here, to a port whose queue of connections is full.
        """
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as first:
            first.connect(full.getsockname())
            endpoint = client_endpoint(reactor, f"tcp:127.0.0.1:{full.getsockname()[1]}")
            before = reactor.getWriters()
            checking = self.checks.tcp(endpoint)(BACKEND)
            while len(reactor.getWriters()) == len(before):
                await deferLater(reactor, 0)
            checking.cancel()
            self.failureResultOf(checking, CancelledError)
            self.assertEqual(len(reactor.getWriters()), len(before))

    async def test_header(self) -> None:
        """
        Where headers are on, that of a check says that the balancer speaks for itself.
        """
        for send_proxy, header in (("v1", b"PROXY UNKNOWN\r\n"), ("v2", encode_local())):
            self.checks = self.make_checks(send_proxy)
            endpoint = await self.listen()
            await self.checks.tcp(endpoint)(BACKEND)
            recorder = await self.end()
            self.assertEqual(bytes(recorder.received), header)


class PingTests(RealCase):
    """
    An echochat server answers ``/ping``.
    """

    async def test_well(self) -> None:
        """
        One that answers is well, however its answer is cut.
        """
        for piece in (0, 1, 3):
            endpoint = await self.listen(answering(b"/ok ping\r\n", piece))
            self.assertEqual(await self.checks.ping(endpoint)(BACKEND), "answered /ping")
            self.assertEqual(bytes((await self.end()).received), b"/ping\r\n")

    async def test_other_answers(self) -> None:
        """
        One that says something else is not, and what it said is shown without what could act on a terminal.
        """
        for answer, said in (
            (b"/bye draining see you\r\n", "/bye draining see you"),
            (b"\x1b[2J\xff<b>\r\n", "?[2J?<b>"),
            (b"x" * 2_000, "a very long line"),
            (b"y" * 1_000 + b"\n", "y" * 80),
            (b"/ok pingpong\r\n/ok ping\r\n", "/ok pingpong"),
        ):
            endpoint = await self.listen(answering(answer))
            self.assertEqual(await self.problem(self.checks.ping(endpoint)), f"it answered /ping with: {said}")
            await self.end()

    async def test_closes(self) -> None:
        """
        One that closes instead of answering is not.
        """
        endpoint = await self.listen(Closing)
        self.assertEqual(await self.problem(self.checks.ping(endpoint)), "it closed the connection")

    async def test_header(self) -> None:
        """
        The header comes before the ping.
        """
        self.checks = self.make_checks("v2")
        endpoint = await self.listen(answering(b"/ok ping\r\n"))
        await self.checks.ping(endpoint)(BACKEND)
        self.assertEqual(bytes((await self.end()).received), encode_local() + b"/ping\r\n")


class TlsTests(RealCase):
    """
    Backends with TLS.
    """

    async def test_certificate(self) -> None:
        """
        A check goes through the handshake, and says so in words when that fails.
        """
        site = Site(self)
        recording = Recording(answering(b"/ok ping\r\n"))
        port = await site.listen(recording)
        where = f"tls:127.0.0.1:{port.getHost().port}"
        endpoint = client_endpoint(reactor, f"{where}:ca={site.ca}")
        self.assertEqual(await self.checks.ping(endpoint)(BACKEND), "answered /ping")
        await recording.made[0].until_lost()
        self.assertEqual(await self.checks.tcp(endpoint)(BACKEND), "connected")
        self.assertIn("is not trusted here", await self.problem(self.checks.ping(client_endpoint(reactor, where))))
