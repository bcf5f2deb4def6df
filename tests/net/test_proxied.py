"""
Tests for :mod:`echochat.net.proxied`.
"""

import os
import shutil
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, ITCPTransport
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from echochat.net.endpoints import server_endpoint
from echochat.net.lean import lean
from echochat.net.proxied import ProxiedFactory, ProxiedTransport
from echochat.net.sources import parse_sources
from echochat.net.tls import peer_name
from echochat.net.tls.client_files import ClientFiles
from echochat.net.tls.connecting import TlsClientEndpoint
from echochat.wire.proxy import CHECKSUM, SocketAddress, UnixPath, encode_local, encode_v1, encode_v2
from tests.net.authority import Folder, alice
from tests.net.peers import Peer, connect
from tests.net.recorders import HalfCloseable, Recorder, Recording
from tests.net.tls_memory import Greeters, Socket
from tests.net.tls_real import Site, echo, reactor
from tests.processes import start_program

PROXY = IPv4Address("TCP", "10.0.0.1", 40_000)
SOURCE = SocketAddress("192.0.2.7", 1234)
DESTINATION = SocketAddress("198.51.100.1", 7007)


class Proxied:
    """
    A port that expects headers, without a socket.
    """

    def __init__(self, make: Callable[[], Recorder | None] = Recorder, sources: str = "10.0.0.0/8") -> None:
        self.clock = Clock()
        self.greeters = Greeters()
        self.greeters.make = make
        self.factory = ProxiedFactory(self.greeters, self.clock, parse_sources(sources), 3)
        self.factory.doStart()
        self.socket = Socket(self.clock)

    def connect(self, address: Any = PROXY) -> ProxiedTransport:
        made = self.factory.buildProtocol(address)
        assert made is not None
        self.socket.peerAddr = address
        self.socket.protocol = made
        made.makeConnection(self.socket)
        return made


class HeaderTests(SynchronousTestCase):
    """
    What a proxy says of a connection counts, before there is anybody whom it could mislead.
    """

    def refused(self, proxied: Proxied, words: str, happening: Callable[[], object]) -> None:
        with capturedLogs() as captured:
            happening()
            proxied.clock.advance(0)
        self.assertEqual([formatEvent(each) for each in captured], [f"connection from 10.0.0.1:40000 refused: {words}"])
        self.assertEqual((proxied.greeters.addresses, proxied.socket.aborted), ([], True))
        self.assertEqual(proxied.factory.protocols, {})
        proxied.clock.advance(10)
        self.assertEqual(proxied.clock.getDelayedCalls(), [])

    def test_addresses(self) -> None:
        """
        The protocol is made for the address in the header, and its transport has no other; where there is none, the
        proxy's own counts.
        """
        client, target = IPv4Address("TCP", *SOURCE), IPv4Address("TCP", *DESTINATION)
        over_ipv6 = (SocketAddress("2001:db8::1", 1), SocketAddress("2001:db8::2", 2))
        own = (PROXY, Socket(Clock()).getHost())
        for header, addresses in (
            (encode_v1(SOURCE, DESTINATION), (client, target)),
            (encode_v2(SOURCE, DESTINATION), (client, target)),
            (encode_v2(SOURCE, DESTINATION, (CHECKSUM,)), (client, target)),
            (encode_v1(*over_ipv6), (IPv6Address("TCP", "2001:db8::1", 1), IPv6Address("TCP", "2001:db8::2", 2))),
            (encode_v2(UnixPath(b"/a"), UnixPath(b"")), (UNIXAddress(b"/a"), UNIXAddress(None))),
            (encode_v1(None, None), own),
            (encode_v2(None, None), own),
            (encode_local(), own),
        ):
            proxied = Proxied()
            proxied.connect().dataReceived(header + b"hello")
            (recorder,) = proxied.greeters.made
            self.assertEqual(proxied.greeters.addresses, [addresses[0]])
            self.assertEqual((recorder.transport.getPeer(), recorder.transport.getHost()), addresses)
            self.assertEqual((recorder.told, recorder.received), (["connectionMade", "dataReceived"], b"hello"))
            proxied.clock.advance(10)
            self.assertEqual(proxied.clock.getDelayedCalls(), [])

    def test_segments(self) -> None:
        """
        A header that comes byte by byte is the same, and what follows it is the protocol's.
        """
        for header in (encode_v1(SOURCE, DESTINATION), encode_v2(SOURCE, DESTINATION, (CHECKSUM,))):
            proxied = Proxied()
            transport = proxied.connect()
            for byte in header:
                self.assertEqual(proxied.greeters.made, [])
                transport.dataReceived(bytes([byte]))
            (recorder,) = proxied.greeters.made
            self.assertEqual(recorder.told, ["connectionMade"])
            transport.dataReceived(b"hello")
            self.assertEqual(recorder.received, b"hello")

    def test_transport(self) -> None:
        """
        To the protocol it is the socket's transport, but for the addresses.
        """
        proxied = Proxied()
        proxied.connect().dataReceived(encode_v1(SOURCE, DESTINATION))
        (recorder,) = proxied.greeters.made
        recorder.transport.write(b"wel")
        recorder.transport.writeSequence([b"co", b"me"])
        self.assertEqual(proxied.socket.value(), b"welcome")
        recorder.transport.pauseProducing()
        self.assertEqual(proxied.socket.producerState, "paused")
        self.assertIsNone(peer_name(recorder.transport))
        proxied.socket.lose(ConnectionLost())
        assert recorder.reason is not None
        self.assertEqual((recorder.times_lost, recorder.reason.type), (1, ConnectionLost))

    def test_half_close(self) -> None:
        """
        A protocol that goes on when one direction has ended is told of it; another is not asked.
        """
        for make, told in ((HalfCloseable, ["readConnectionLost", "writeConnectionLost"]), (Recorder, [])):
            proxied = Proxied(make)
            transport = proxied.connect()
            self.assertFalse(IHalfCloseableProtocol.providedBy(transport))
            transport.dataReceived(encode_v1(SOURCE, DESTINATION))
            self.assertEqual(IHalfCloseableProtocol.providedBy(transport), bool(told))
            if told:
                transport.readConnectionLost()
                transport.writeConnectionLost()
            self.assertEqual(proxied.greeters.made[0].told[1:], told)

    def test_malformed(self) -> None:
        """
        What is no header ends the connection, with the reason in the log; what comes after it is not looked at.
        """
        proxied = Proxied()
        transport = proxied.connect()
        self.refused(proxied, "what came first is no PROXY header", lambda: transport.dataReceived(b"hello"))
        transport.dataReceived(encode_v1(SOURCE, DESTINATION))
        self.assertEqual(proxied.greeters.addresses, [])

    def test_late(self) -> None:
        """
        A header has three seconds in all, whether nothing of it comes or all but one byte.
        """
        for first in (b"", encode_v2(SOURCE, DESTINATION)[:-1]):
            proxied = Proxied()
            transport = proxied.connect()
            transport.dataReceived(first)
            proxied.clock.advance(2.9)
            self.assertFalse(proxied.socket.aborted)
            self.refused(proxied, "its PROXY header did not come within 3 s", partial(proxied.clock.pump, [0.1, 0]))

    def test_gone(self) -> None:
        """
        A connection that ends before its header did, as those of simple health checks.
        """
        proxied = Proxied()
        proxied.connect()
        self.refused(proxied, "it ended before its header did", lambda: proxied.socket.lose(ConnectionDone()))

    def test_unwanted(self) -> None:
        """
        A client for whom there is no protocol is gone at once.
        """
        proxied = Proxied(lambda: None)
        transport = proxied.connect()
        transport.dataReceived(encode_v1(SOURCE, DESTINATION) + b"hello")
        transport.dataReceived(b"hello")
        self.assertTrue(proxied.socket.aborted)
        proxied.clock.advance(10)
        self.assertEqual(proxied.factory.protocols, {})
        self.assertEqual(proxied.clock.getDelayedCalls(), [])

    def test_closed_port(self) -> None:
        """
        When the port closes, connections whose header has not come end, and nothing is left behind; others stay.
        """
        for header, aborted in ((b"PROXY ", True), (encode_v1(SOURCE, DESTINATION), False)):
            proxied = Proxied()
            proxied.connect().dataReceived(header)
            proxied.factory.doStop()
            proxied.clock.advance(0)
            self.assertEqual(proxied.socket.aborted, aborted)
            self.assertEqual(proxied.clock.getDelayedCalls(), [])


class SourcesTests(SynchronousTestCase):
    """
    Headers are believed from listed sources only, and nobody else is let in.
    """

    def test_table(self) -> None:
        """
        Networks and addresses of both kinds, and UNIX sockets.
        """

        def tcp(host: str) -> Any:
            return (IPv6Address if ":" in host else IPv4Address)("TCP", host, 1)

        for text, address, expected in (
            ("10.0.0.0/8,127.0.0.1", tcp("10.255.0.1"), True),
            ("10.0.0.0/8, 127.0.0.1", tcp("127.0.0.1"), True),
            ("10.0.0.0/8,127.0.0.1", tcp("11.0.0.1"), False),
            ("10.0.0.0/8,127.0.0.1", tcp("127.0.0.2"), False),
            ("10.0.0.0/8", tcp("::ffff:10.0.0.1"), True),
            ("10.0.0.0/8", tcp("::1"), False),
            ("fd00::/8,::1", tcp("fd12::1"), True),
            ("fd00::/8,::1", tcp("::1"), True),
            ("fd00::/8,::1", tcp("fe80::1%eth0"), False),
            ("fe80::/10", tcp("fe80::1%eth0"), True),
            ("10.0.0.0/8", UNIXAddress(None), False),
            ("unix", UNIXAddress(None), True),
            ("unix,10.0.0.1", tcp("10.0.0.1"), True),
            ("unix", tcp("10.0.0.1"), False),
            ("0.0.0.0/0", tcp("192.0.2.1"), True),
        ):
            self.assertEqual(parse_sources(text).has(address), expected, (text, address))

    def test_stranger(self) -> None:
        """
        Whoever is not listed is closed before a byte was read, and it is told in the log.
        """
        proxied = Proxied()
        with capturedLogs() as captured:
            self.assertIsNone(proxied.factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1)))
        self.assertEqual(
            [formatEvent(each) for each in captured],
            ["connection from 192.0.2.1:1 refused: it is not one of the proxies that are expected here (from=)"],
        )

    def test_bad(self) -> None:
        """
        What is no source is told with the word that is wrong.
        """
        for text in ("", ",", " "):
            self.assertIn("from=10.0.0.0/8,127.0.0.1", str(self.assertRaises(ValueError, parse_sources, text)))
        for word in ("localhost", "10.0.0.1/8", "10.0.0.0/33", "*", "10.0.0.1-2"):
            error = self.assertRaises(ValueError, parse_sources, f"127.0.0.1,{word}")
            self.assertTrue(str(error).startswith(f"proxied: {word} in from= is neither an address"))


class DescriptionTests(SynchronousTestCase):
    """
    What follows ``proxied:`` and its options is any endpoint, as it is written without them.
    """

    def test_behind(self) -> None:
        """
        The endpoint behind gets what is its own, quoted as it was.
        """
        reactor = MemoryReactorClock()
        for behind in (
            "tcp:7007",
            "tcp:port=7007:interface=127.0.0.1",
            "tcp:7007:interface=\\:\\:1",
            "unix:/run/a\\:b\\=c:mode=600",
            "unix:/run/a\\=b",
        ):
            for options in ("from=10.0.0.0/8,127.0.0.1", "from=fd00\\:\\:/8:within=1.5"):
                own = server_endpoint(reactor, behind)
                below = server_endpoint(reactor, f"proxied:{options}:{behind}")._below  # type: ignore[attr-defined]  # ours
                self.assertEqual(_inside(below), _inside(own))

    def test_bad(self) -> None:
        """
        The sentence says what is missing.
        """
        for rest, words in (
            ("", "proxied: needs"),
            ("tcp:7007", "proxied: needs the proxies' addresses or networks: from="),
            ("from=127.0.0.1", "proxied: needs an endpoint to listen on, as in proxied:from=127.0.0.1:tcp:7007"),
            ("from=127.0.0.1:within=0:tcp:7007", "proxied: within= is in seconds"),
            ("from=::1:tcp:7007", "proxied: needs the proxies' addresses"),
            ("from=127.0.0.1:tls:7443", "tls: needs a certificate"),
            ("from=127.0.0.1:nonsense:1", "Unknown endpoint type"),
        ):
            error = self.assertRaises(ValueError, server_endpoint, MemoryReactorClock(), f"proxied:{rest}")
            self.assertTrue(str(error).startswith(words), str(error))


def _inside(endpoint: Any) -> dict[str, object]:
    return {name: value for name, value in vars(endpoint).items() if name != "_reactor"}


class ListenTests(TestCase):
    """
    Headers on real sockets, alone and before TLS.
    """

    async def listen(self, description: str, recording: Recording) -> Any:
        own = lean(reactor)
        port = await server_endpoint(own, description).listen(recording)
        self.addCleanup(own.close)
        self.addCleanup(port.stopListening)
        return port

    def connect(self, port: Any) -> Peer:
        peer = connect(port.getHost())
        self.addCleanup(peer.close)
        return peer

    async def test_tcp(self) -> None:
        """
        A client behind a proxy talks to a protocol that knows its address, and half-closes as ever.
        """
        recording = Recording(lambda: echo(HalfCloseable()))
        port = await self.listen("proxied:from=127.0.0.1:tcp:0:interface=127.0.0.1", recording)
        peer = self.connect(port)
        await peer.send(encode_v1(SOURCE, DESTINATION) + b"hello")
        self.assertEqual(await peer.read(5), b"HELLO")
        (recorder,) = recording.made
        self.assertEqual(recorder.transport.getPeer(), IPv4Address("TCP", *SOURCE))
        self.assertTrue(ITCPTransport.providedBy(recorder.transport))
        peer.finish()
        await recorder.until_told("readConnectionLost")
        recorder.transport.write(b"bye")
        recorder.transport.loseConnection()
        self.assertEqual(await peer.read_to_end(), b"bye")
        await recorder.until_lost()

    async def test_strangers(self) -> None:
        """
        Others than the listed, and those without a header, are closed.
        """
        recording = Recording()
        for sources, said in (("10.0.0.0/8", encode_v1(SOURCE, DESTINATION)), ("127.0.0.1", b"hello\n")):
            port = await self.listen(f"proxied:from={sources}:tcp:0:interface=127.0.0.1", recording)
            peer = self.connect(port)
            try:
                await peer.send(said)
                self.assertEqual(await peer.read_to_end(), b"")
            except ConnectionError:
                pass
        self.assertEqual(recording.made, [])

    async def test_before_tls(self) -> None:
        """
        With TLS the header comes before the handshake, and the protocol has both: the address, and the certificate's
        name. The port can read its files again.
        """
        site = Site(self)
        recording = Recording(lambda: echo(Recorder()))
        description = f"proxied:from=127.0.0.1:tls:0:{site.server_options()}:clientCA={site.ca}"
        port = await self.listen(description, recording)
        files = ClientFiles(site.ca, *site.folder.write_pair("alice", alice()))
        below = HeaderFirst(HostnameEndpoint(reactor, "127.0.0.1", port.getHost().port))
        endpoint = TlsClientEndpoint(reactor, below, "127.0.0.1", files)  # type: ignore[arg-type]  # it does what one does
        client = Recorder()
        made: Deferred[Any] = endpoint.connect(Factory.forProtocol(lambda: client))
        await made
        client.transport.write(b"hello")
        await client.until_received(5)
        (recorder,) = recording.made
        self.assertEqual(recorder.transport.getPeer(), IPv4Address("TCP", *SOURCE))
        self.assertEqual(peer_name(recorder.transport), "alice")
        port.reload()
        self.assertEqual((port.counts.accepted, port.counts.refused), (1, 0))
        client.transport.loseConnection()
        await client.until_lost()
        await recorder.until_lost()


class HeaderFirst:
    """
    Connects as a proxy does: the header, and then what the protocol says.
    """

    def __init__(self, endpoint: Any) -> None:
        self._endpoint = endpoint

    def connect(self, factory: Any) -> Deferred[Any]:
        class Prefixing(Factory):
            def buildProtocol(self, addr: Any) -> Any:
                protocol = factory.buildProtocol(addr)
                begin = protocol.makeConnection

                def prefix(transport: Any) -> None:
                    transport.write(encode_v2(SOURCE, DESTINATION, (CHECKSUM,)))
                    begin(transport)

                protocol.makeConnection = prefix
                return protocol

        connecting: Deferred[Any] = self._endpoint.connect(Prefixing())
        return connecting


CONFIGURATION = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen one
    bind 127.0.0.1:{one}
    server echo 127.0.0.1:{behind} send-proxy
listen two
    bind 127.0.0.1:{two}
    unique-id-format %[uuid()]
    server echo 127.0.0.1:{behind} send-proxy-v2 proxy-v2-options crc32c,unique-id check inter 100ms
"""


class HAProxyTests(TestCase):
    """
    A proxy of others' making.
    """

    def reserve(self) -> int:
        """
        A port that nobody else gets before HAProxy has it, which shares it.
        """
        reserved = socket.socket()
        self.addCleanup(reserved.close)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        port: int = reserved.getsockname()[1]
        return port

    async def test_both_versions(self) -> None:
        """
        Both versions of the header give the client's address, and the proxy's own checks find a server that is well.
        """
        program = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if program is None:
            raise SkipTest("haproxy is not installed")
        recording = Recording(lambda: echo(Recorder()))
        own = lean(reactor)
        self.addCleanup(own.close)
        behind: Any = await server_endpoint(own, "proxied:from=127.0.0.1:tcp:0:interface=127.0.0.1").listen(recording)
        self.addCleanup(behind.stopListening)
        ports = {"one": self.reserve(), "two": self.reserve()}
        folder = Folder(self)
        text = CONFIGURATION.format(**ports, behind=behind.getHost().port)
        path = folder.write("haproxy.cfg", text.encode())
        haproxy = start_program(self, program, "-db", "-V", "-f", path)
        # A check is a connection that the proxy makes for itself: when one has come, it listens.
        await recording.until_made(1)
        self.assertEqual(recording.made[0].transport.getPeer().host, "127.0.0.1")
        for port in ports.values():
            peer = connect(IPv4Address("TCP", "127.0.0.1", port))
            self.addCleanup(peer.close)
            await peer.send(b"hello")
            self.assertEqual(await peer.read(5), b"HELLO")
            client = IPv4Address("TCP", *peer.socket.getsockname())
            (recorder,) = (each for each in recording.made if each.received)
            self.assertEqual(recorder.transport.getPeer(), client)
            self.assertEqual(recorder.transport.getHost(), IPv4Address("TCP", "127.0.0.1", port))
            peer.close()
            await recorder.until_lost()
            recording.made.remove(recorder)
        await haproxy.stop()
