"""
Tests for :mod:`echochat.net.tls.ports`, on real sockets.
"""

import shutil
from typing import Any
from unittest import mock

from OpenSSL.SSL import Error
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IPushProducer
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase
from zope.interface import implementer

from echochat.net.endpoints import server_endpoint
from echochat.net.tls import TlsFileError, TlsPort, reload_ports
from tests.net.authority import Pair, address, alice, authority, dns, make, revocation_list, server
from tests.net.peers import connect
from tests.net.recorders import Recorder, Recording, Witness
from tests.net.tls_real import Site, echo
from tests.processes import start_program


def successor() -> Pair:
    """
    Another good certificate of the server's.
    """
    return make("localhost", authority(), alternatives=[dns("localhost"), address("127.0.0.1")])


@implementer(IPushProducer)
class Producer:
    """
    Keeps what it was told.
    """

    def __init__(self) -> None:
        self._told: list[str] = []
        self._witness = Witness()

    def until(self, what: str) -> Deferred[None]:
        return self._witness.until(lambda: what in self._told)

    # Called by Twisted

    def pauseProducing(self) -> None:
        self._tell("pauseProducing")

    def resumeProducing(self) -> None:
        self._tell("resumeProducing")

    def stopProducing(self) -> None:
        self._tell("stopProducing")

    def _tell(self, what: str) -> None:
        self._told.append(what)
        self._witness.changed()


class ListenTests(TestCase):
    """
    A port listens with what its files say, or says why it does not listen.
    """

    def setUp(self) -> None:
        self.site = Site(self)

    async def test_port(self) -> None:
        """
        It is a port like any other, and a factory starts and stops with it.
        """
        recording = Recording()
        started: list[str] = []
        recording.startFactory = lambda: started.append("started")  # type: ignore[method-assign]  # to see that it is called
        recording.stopFactory = lambda: started.append("stopped")  # type: ignore[method-assign]  # likewise
        port = await self.site.listen(recording)
        self.assertIsInstance(port, TlsPort)
        self.assertEqual(port.getHost().host, "127.0.0.1")
        self.assertEqual(port.socket.getsockname()[1], port.getHost().port)
        await port.stopListening()
        self.assertEqual(started, ["started", "stopped"])
        port.startListening()

    async def test_files(self) -> None:
        """
        A file that is not right is told, and nobody listens.
        """
        endpoint = server_endpoint(MemoryReactorClock(), f"tls:0:{self.site.server_options()}:clientCA=absent.pem")
        listening: Deferred[Any] = endpoint.listen(Recording())
        error = await self.assertFailure(listening, TlsFileError)
        self.assertEqual(str(error), "cannot read absent.pem: No such file or directory")

    async def test_openssl_refuses(self) -> None:
        """
        What only OpenSSL finds wrong is told with the file's name, too.
        """
        with mock.patch("echochat.net.tls.ports.server_context", side_effect=Error([("", "", "ee key too small")])):
            listening: Deferred[Any] = server_endpoint(
                MemoryReactorClock(), f"tls:0:{self.site.server_options()}"
            ).listen(Recording())
            error = await self.assertFailure(listening, TlsFileError)
        self.assertEqual(str(error), f"OpenSSL does not accept {self.site.certificate}: ee key too small")

    async def test_silent_client(self) -> None:
        """
        A connection that says nothing is broken off, without anybody having been told of it.
        """
        recording = Recording()
        port = await self.site.listen(recording, ":handshake=0.05")
        self.assertTrue(await connect(port.getHost()).is_reset())
        self.assertEqual(recording.made, [])
        self.assertEqual(port.counts.late, 1)

    async def test_stop(self) -> None:
        """
        A port that stops breaks off what has not finished its handshake, and leaves the others alone.
        """
        port = await self.site.listen()
        client = await self.site.connect(port)
        client.transport.write(b"hello")
        await client.until_received(5)
        silent = connect(port.getHost())
        stopped = port.stopListening()
        self.assertTrue(await silent.is_reset())
        await stopped
        client.transport.write(b"there")
        await client.until_received(10)
        self.assertEqual(client.received, b"HELLOTHERE")

    async def test_client_that_does_not_read(self) -> None:
        """
        What a client does not take is bounded by its producer: it is told to pause, and to go on.
        """
        recording = Recording()
        port = await self.site.listen(recording)
        client = await self.site.connect(port)
        await recording.until_made(1)
        client.transport.pauseProducing()
        transport = recording.made[0].transport
        producer = Producer()
        transport.registerProducer(producer, True)
        transport.write(bytes(20_000_000))
        await producer.until("pauseProducing")
        client.transport.resumeProducing()
        await producer.until("resumeProducing")
        transport.unregisterProducer()
        await client.until_received(20_000_000)


class ReloadTests(TestCase):
    """
    New files are for new handshakes; broken ones change nothing.
    """

    def setUp(self) -> None:
        self.site = Site(self)

    async def shown(self, port: Any) -> object:
        """
        Which certificate the server shows to a new client.
        """
        client = await self.site.connect(port)
        return client.transport.getHandle().get_peer_certificate(as_cryptography=True)

    async def test_certificate(self) -> None:
        """
        Who connects after it sees the new certificate; who is connected goes on.
        """
        port = await self.site.listen()
        before = await self.site.connect(port)
        new = successor()
        self.site.install(new)
        self.assertEqual(await self.shown(port), server().certificate)
        self.assertEqual(reload_ports([port, object()]), [])
        self.assertEqual(await self.shown(port), new.certificate)
        before.transport.write(b"hello")
        await before.until_received(5)

    async def test_broken(self) -> None:
        """
        A broken file is told, and what was there stays.
        """
        port, other = await self.site.listen(), await self.site.listen()
        self.site.folder.write("server.key", b"broken")
        problems = reload_ports([port, object(), other])
        self.assertEqual([str(each) for each in problems], [f"{_NO_KEY} {self.site.key}, {_DAMAGED}"] * 2)
        self.assertRaises(TlsFileError, port.reload)
        self.assertEqual(await self.shown(port), server().certificate)

    async def test_revocation(self) -> None:
        """
        Who is on the new list does not come in any more.
        """
        crl = self.site.folder.write("crl.pem", revocation_list(authority()))
        port = await self.site.listen(options=f":clientCA={self.site.ca}:crl={crl}")
        certificate, key = self.site.folder.write_pair("alice", alice())
        options = f"ca={self.site.ca}:cert={certificate}:key={key}"
        inside = await self.site.connect(port, options)
        inside.transport.write(b"hello")
        await inside.until_received(5)
        self.site.folder.write("crl.pem", revocation_list(authority(), alice()))
        port.reload()
        outside = await self.site.connect(port, options)
        await outside.until_lost()
        assert outside.reason is not None
        self.assertEqual(outside.reason.getErrorMessage(), "the server refused our certificate, which was revoked")
        inside.transport.write(b"there")
        await inside.until_received(10)

    async def test_under_load(self) -> None:
        """
        Twenty reloads, eight of them broken, while ten clients come, talk and go all the time: nobody is lost, and
        nobody is refused.
        """
        port = await self.site.listen()
        good = [server(), successor()]
        talked = 0
        over = False

        async def come_and_go() -> None:
            nonlocal talked
            while not over:
                client = await self.site.connect(port)
                for count in (1, 2, 3):
                    client.transport.write(b"hello\n")
                    await client.until_received(6 * count)
                self.assertEqual((client.received, client.times_lost), (b"HELLO\n" * 3, 0))
                client.transport.loseConnection()
                await client.until_lost()
                talked += 1

        async def stay() -> Recorder:
            client = await self.site.connect(port)
            while not over:
                count = len(client.received)
                client.transport.write(b"still here\n")
                await client.until_received(count + 11)
            return client

        async def reload() -> int:
            nonlocal over
            problems = 0
            for number in range(20):
                before = talked
                self.site.install(good[number % 2])
                if number % 5 in (1, 3):
                    self.site.folder.write("server.key", [b"", good[(number + 1) % 2].key_pem][number % 5 == 3])
                problems += len(reload_ports([port]))
                while talked < before + 2:
                    await self.site.connect(port)
            over = True
            return problems

        staying = Deferred.fromCoroutine(stay())
        coming = gatherResults([Deferred.fromCoroutine(come_and_go()) for _ in range(10)])
        self.assertEqual(await Deferred.fromCoroutine(reload()), 8)
        await coming
        self.assertEqual((await staying).times_lost, 0)
        self.assertGreaterEqual(talked, 40)
        self.assertEqual((port.counts.refused, port.counts.late), (0, 0))


_NO_KEY = "there is not a private key in"
_DAMAGED = "or it is damaged (PEM is what is read)"


class RealClientTests(TestCase):
    """
    OpenSSL's own client.
    """

    def setUp(self) -> None:
        if shutil.which("openssl") is None:
            raise SkipTest("openssl is not installed")
        self.site = Site(self)

    async def test_conversation(self) -> None:
        """
        TLS 1.2 and 1.3, with a certificate, and to the end.
        """
        recording = Recording(lambda: echo(Recorder()))
        port = await self.site.listen(recording, f":clientCA={self.site.ca}")
        certificate, key = self.site.folder.write_pair("alice", alice())
        for version in ("-tls1_2", "-tls1_3"):
            client = start_program(
                self,
                *("openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", self.site.ca, version),
                *("-connect", f"127.0.0.1:{port.getHost().port}", "-cert", certificate, "-key", key),
            )
            client.write(b"hello\n")
            await client.until(b"HELLO")
            recording.made[-1].transport.loseConnection()
            self.assertEqual(await client.end(), 0)

    async def test_refused(self) -> None:
        """
        Without a certificate it gets an alert, and not a byte.
        """
        recording = Recording(lambda: echo(Recorder()))
        port = await self.site.listen(recording, f":clientCA={self.site.ca}")
        for version in ("-tls1_2", "-tls1_3"):
            client = start_program(
                self,
                *("openssl", "s_client", "-quiet", "-CAfile", self.site.ca, version),
                *("-connect", f"127.0.0.1:{port.getHost().port}"),
            )
            client.write(b"hello\n")
            await client.until(b"alert (handshake failure|certificate required)")
            self.assertNotIn(b"HELLO", client.output)
        self.assertEqual(recording.made, [])

    async def test_other_curves(self) -> None:
        """
        Other curves than X25519 and P-256 are not spoken.
        """
        port = await self.site.listen()
        for curve, accepted in (("X25519", True), ("P-256", True), ("P-384", False), ("X448", False)):
            client = start_program(
                self,
                *("openssl", "s_client", "-brief", "-CAfile", self.site.ca, "-groups", curve),
                *("-connect", f"127.0.0.1:{port.getHost().port}"),
            )
            client.close_input()
            await client.until(b"CONNECTION ESTABLISHED" if accepted else b"alert handshake failure")
            await client.end()


class ParseTests(SynchronousTestCase):
    """
    What is wrong in a description is told in a sentence.
    """

    def test_good(self) -> None:
        """
        The port may be named, and colons are quoted as everywhere.
        """
        for description in (
            "tls:7443:cert=a.pem",
            "tls:port=7443:cert=a.pem:key=b.pem",
            "tls:0:cert=a\\:b.pem:interface=\\:\\:1:backlog=100",
            "tls:0:cert=a.pem:clientCA=ca.pem:client=optional:crl=crl.pem:handshake=2.5",
        ):
            server_endpoint(MemoryReactorClock(), description)

    def test_bad(self) -> None:
        """
        The sentence says what is missing, or what there is.
        """
        for rest, words in (
            ("", "tls: needs a port from 0 to 65535, as in tls:7443"),
            ("cert=a.pem", "tls: needs a port"),
            ("https:cert=a.pem", "tls: needs a port"),
            ("7443", "tls: needs a certificate: cert=FILE, and key=FILE ('echochat certs' makes both)"),
            ("7443:cert=", "tls: needs a certificate"),
            ("7443:7444:cert=a.pem", "tls: has one port, and everything else is NAME=VALUE"),
            ("7443:port=1:cert=a.pem", "tls: has one port"),
            ("7443:privateKey=a.pem", "tls: has no option privateKey=; it has port=, cert=, key=, clientCA="),
            ("7443:cert=a.pem:client=require", "tls: client= is about clients' certificates, and needs clientCA=FILE"),
            ("7443:cert=a.pem:crl=b.pem", "tls: crl= is about clients' certificates, and needs clientCA=FILE"),
            ("7443:cert=a.pem:clientCA=b.pem:client=maybe", "tls: client= is require or optional"),
            ("7443:cert=a.pem:handshake=never", "tls: handshake= is in seconds, up to 3600"),
            ("7443:cert=a.pem:backlog=many", "tls: backlog= is a number"),
        ):
            error = self.assertRaises(ValueError, server_endpoint, MemoryReactorClock(), f"tls:{rest}")
            self.assertTrue(str(error).startswith(words), str(error))
