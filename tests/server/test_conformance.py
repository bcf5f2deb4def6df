"""
The server keeps the protocol's page: the table of :mod:`tests.server.conformance`, over connections in memory and over
real sockets to a real ``twistd``.
"""

import os
import socket
import sys
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IHalfCloseableDescriptor, IHalfCloseableProtocol, ITransport
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from echochat.history.memory import MemoryHistory
from echochat.server.exchange import Exchange
from echochat.server.factory import EchoChatFactory
from echochat.server.settings import ServerSettings
from tests.processes import TWISTD, Server, start_server
from tests.server.conformance import CASES, LINES, MESSAGES, Case
from tests.server.trying import STILL_HERE, YES, Client, Connect, SocketClient, complaint

reactor: Any = _reactor

PLAIN = (
    sys.executable,
    "-c",
    "import echochat.tap.server as tap\n"
    "lean = tap.lean\n"
    "tap.lean = lambda reactor: print('without the lean reactor', flush=True) or reactor\n"
    "from twisted.scripts.twistd import run; run()",
)
"""
``twistd`` with its reactor as it is, and Twisted's own transports.
"""


@implementer(ITransport, IHalfCloseableDescriptor)
class MemoryTransport:
    """
    A TCP connection's server side without a network, as faithful as the protocol needs: two halves that are closed one
    by one, ends that are told in a later turn, and nothing read while the protocol has paused. It is its client, too.
    """

    disconnecting = False

    def __init__(self, clock: Clock, factory: EchoChatFactory) -> None:
        self.received = b""
        self._clock = clock
        self._arriving: list[bytes | None] = []
        self._reading = True
        self._finished = False
        self._writing = True
        self._lost: Failure | None = None
        protocol: Any = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        self._protocol = protocol
        protocol.makeConnection(self)

    # Called by the test

    async def send(self, data: bytes) -> None:
        self._arriving.append(data)
        self._arrive()

    def half_close(self) -> None:
        self._arriving.append(None)
        self._arrive()

    def until(self, ending: bytes) -> "Deferred[None]":
        assert self.received.endswith(ending), self.received[-200:]
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def told(self, text: bytes) -> "Deferred[None]":
        assert text in self.received, self.received[-200:]
        return self.until(b"")

    def end(self) -> "Deferred[bool]":
        assert not self._writing, "the server has not closed"
        if not self._finished and self._lost is None:
            self.half_close()
        assert self._lost is not None, "the server has let go only half"
        done: Deferred[bool] = Deferred()
        done.callback(self._lost.check(ConnectionDone) is not None)
        return done

    # Called by the protocol

    def write(self, data: bytes) -> None:
        assert self._writing, data
        self.received += data

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert producer is self._protocol
        assert streaming

    def unregisterProducer(self) -> None:
        """
        Nothing here is ever too much for the client.
        """

    def pauseProducing(self) -> None:
        self._reading = False

    def resumeProducing(self) -> None:
        self._reading = True
        self._clock.callLater(0, self._arrive)

    def loseWriteConnection(self) -> None:
        self._writing = False
        self._clock.callLater(0, self._protocol.writeConnectionLost)

    def loseConnection(self) -> None:
        self._lose(Failure(ConnectionDone()))

    def abortConnection(self) -> None:
        self._lose(Failure(ConnectionAborted()))

    def readConnectionLost(self, reason: Failure) -> None:
        raise NotImplementedError("the reactor's to call")

    def writeConnectionLost(self, reason: Failure) -> None:
        raise NotImplementedError("the reactor's to call")

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 1)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 2)

    # Ours

    def _arrive(self) -> None:
        while self._arriving and self._reading and self._lost is None:
            data = self._arriving.pop(0)
            if data is None:
                self._finished = True
                IHalfCloseableProtocol(self._protocol).readConnectionLost()
            elif data:
                self._protocol.dataReceived(data)
            self._clock.advance(0)

    def _lose(self, reason: Failure) -> None:
        if self._lost is None:
            self._lost = reason
            self._writing = False
            self._clock.callLater(0, self._protocol.connectionLost, reason)


class MemoryTests(SynchronousTestCase):
    """
    The factory's connections keep the protocol.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        exchange = Exchange(self.clock, MemoryHistory(self.clock))
        self.successResultOf(exchange.open())
        self.factory = EchoChatFactory(self.clock, ServerSettings(), exchange)

    async def connect(self) -> Client:
        return MemoryTransport(self.clock, self.factory)

    def try_all(self, size: int) -> None:
        complaints = [
            self.successResultOf(Deferred.fromCoroutine(complaint(case, self.connect, size))) for case in CASES
        ]
        self.clock.advance(0)
        self.assertEqual("\n".join(filter(None, complaints)), "")
        self.assertEqual(self.factory.connections, set())

    def test_whole(self) -> None:
        """
        Every promise holds when all that a client sends arrives at once.
        """
        self.try_all(1 << 30)

    def test_byte_by_byte(self) -> None:
        """
        Every promise holds when it arrives byte by byte.
        """
        self.try_all(1)

    def test_in_pieces(self) -> None:
        """
        Every promise holds when it arrives in pieces of some bytes.
        """
        for size in (2, 3, 5, 7):
            self.try_all(size)

    def test_nothing_is_left(self) -> None:
        """
        When all clients have gone and the server stops, nothing waits for its time.
        """
        self.try_all(1 << 30)
        self.factory.stop_timers()
        self.successResultOf(self.factory.exchange.close())
        self.assertEqual(self.clock.getDelayedCalls(), [])


class LeanProcessTests(TestCase):
    """
    A real server keeps the protocol on real sockets.
    """

    command = TWISTD
    lean = True

    async def start(self, *options: str) -> Server:
        self.server = start_server(self, *options, program=self.command)
        self.port = await self.server.port()
        self.assertEqual(b"without the lean reactor" in self.server.output, not self.lean)
        return self.server

    async def stop(self) -> None:
        """
        Stop the server, which must not have noticed anything.
        """
        self.assertEqual(await self.server.stop(), 0, self.server.output.decode())
        for trouble in (b"Traceback", b"Unhandled", b"#critical", b"#error"):
            self.assertNotIn(trouble, self.server.output)

    async def connect(self) -> SocketClient:
        client = SocketClient()
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port), client)
        return client

    async def try_one_by_one(self, cases: tuple[Case, ...], connect: Connect, size: int) -> None:
        self.assertEqual("\n".join(filter(None, [await complaint(case, connect, size) for case in cases])), "")

    async def try_together(self, cases: tuple[Case, ...], connect: Connect, size: int) -> None:
        complaints = await gatherResults(
            [Deferred.fromCoroutine(complaint(case, connect, size)) for case in cases], consumeErrors=True
        )
        self.assertEqual("\n".join(filter(None, complaints)), "")

    async def test_table(self) -> None:
        """
        One server keeps every promise to clients that come one by one, and to all of them at once.
        """
        await self.start()
        await self.try_one_by_one(CASES, self.connect, 1 << 30)
        await self.try_together(CASES, self.connect, 11)
        await self.stop()

    async def test_unix(self) -> None:
        """
        The same on a UNIX socket.
        """
        directory = self.mktemp()
        os.makedirs(directory)
        self.server = start_server(self, "--listen", "unix:s", program=self.command, directory=directory)
        await self.server.until(rb"listening on unix:s")
        endpoint = UNIXClientEndpoint(reactor, os.path.join(directory, "s"))

        async def connect() -> Client:
            client = SocketClient()
            await connectProtocol(endpoint, client)
            return client

        await self.try_one_by_one((*LINES, *MESSAGES), connect, 1 << 30)
        await self.stop()

    async def connect_narrow(self) -> SocketClient:
        """
        Connect a client that does not read, and whose connection holds little: what the server cannot send stays with
        the server.
        """
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # The buffers of both ends are made for so many segments. Those of loopback have 64 KiB.
        narrow.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        narrow.connect(("127.0.0.1", self.port))
        narrow.setblocking(False)
        client = SocketClient()
        reactor.adoptStreamConnection(narrow.fileno(), socket.AF_INET, Factory.forProtocol(lambda: client))
        narrow.close()
        client.transport.pauseProducing()
        return client

    async def test_half_close_of_one_who_reads_late(self) -> None:
        """
        Every reply is delivered to a client that sends everything, closes its half, and only then begins to read:
        replies that the server has not been able to send when the end comes, too.
        """
        await self.start()
        for lines in (1_000, 10_000, 12_000, 14_000, 16_000, 18_000, 100_000):
            client = await self.connect_narrow()
            await client.send(b"line\r\n" * lines)
            client.half_close()
            await self.say_hello()
            client.transport.resumeProducing()
            self.assertTrue(await client.end())
            self.assertEqual(client.received, b"LINE\r\n" * lines)
        await self.stop()

    async def test_close_socket_before_much_more(self) -> None:
        """
        What was answered before ``CLOSE SOCKET`` arrives, and what comes behind it is taken and thrown away: a server
        that simply closed would send a reset, which may destroy answers that are on their way.
        """
        await self.start()
        client = await self.connect()
        await client.send(b"line\n" * 1_000 + b"CLOSE SOCKET\n" + b"more\n" * 1_000_000)
        self.assertTrue(await client.end())
        self.assertEqual(client.received, b"LINE\n" * 1_000)
        await self.stop()

    async def test_reset_of_others(self) -> None:
        """
        Clients that vanish at any moment are forgotten, and the others notice nothing.
        """
        await self.start()
        witness = await self.connect()
        moments = (
            b"",
            b"hel",
            b"hello\n",
            b"/nick bob\n/sub lobby\n",
            b"/pub lobby hi\nx\n",
            b"line\n" * 50_000,
            b"\xff\xfb",
        )
        for number in range(10):
            for moment in moments:
                client = await self.connect()
                await client.send(moment)
                client.transport.abortConnection()
                await client.end()
            await witness.send(b"%d\n" % number)
        await witness.send(STILL_HERE)
        await witness.until(YES)
        self.assertEqual(witness.received, b"".join(b"%d\n" % number for number in range(10)) + YES)
        await self.server.until(rb"connection \d+ from \S+ ended", 10 * len(moments))
        await self.say_hello()
        witness.half_close()
        self.assertTrue(await witness.end())
        await self.stop()

    async def say_hello(self) -> None:
        """
        Have the server answer a newcomer, who can take a name that those who are gone had.
        """
        client = await self.connect()
        await client.send(b"/nick bob\n" + STILL_HERE)
        await client.until(YES)
        self.assertEqual(client.received, b"/ok nick bob\r\n" + YES)
        client.half_close()
        self.assertTrue(await client.end())


class PlainProcessTests(LeanProcessTests):
    """
    The same holds on the reactor that Twisted chooses, with Twisted's own transports.
    """

    command = PLAIN
    lean = False
