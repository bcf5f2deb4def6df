"""
Tests for :mod:`echochat.net.tls.connecting`, on real sockets.
"""

from typing import Any
from unittest import mock

from cryptography.x509 import UnrecognizedExtension
from cryptography.x509.oid import ExtensionOID
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.net.endpoints import client_endpoint
from echochat.net.tls import TlsFailed, TlsFileError, peer_name
from tests.net.authority import CLIENTS, address, alice, authority, dns, make, stranger
from tests.net.recorders import Recorder, Recording
from tests.net.tls_real import Site, reactor


class ConnectTests(TestCase):
    """
    A client knows with whom it talks before it says anything.
    """

    def setUp(self) -> None:
        self.site = Site(self)

    async def refused(self, words: str, port: Any, options: str | None = None, host: str = "127.0.0.1") -> None:
        error: Exception | None = None
        try:
            await self.site.connect(port, options, host)
        except (TlsFailed, TlsFileError) as caught:
            error = caught
        self.assertIn(words, str(error))
        self.assertNotIn("\n", str(error))

    async def test_conversation(self) -> None:
        """
        By name and by address, what is sent is answered, however much it is.
        """
        port = await self.site.listen()
        for host in ("localhost", "127.0.0.1"):
            client = await self.site.connect(port, host=host)
            client.transport.write(b"hello " * 200_000)
            await client.until_received(1_200_000)
            self.assertEqual(client.received, b"HELLO " * 200_000)

    async def test_other_name(self) -> None:
        """
        The name to look for may be another than that under which the server is reached.
        """
        port = await self.site.listen()
        await self.site.connect(port, f"ca={self.site.ca}:name=localhost")
        await self.refused(
            "the server's certificate is not for chat.example, but for localhost, 127.0.0.1",
            port,
            f"ca={self.site.ca}:name=chat.example",
        )

    async def test_wrong_server(self) -> None:
        """
        A server that cannot show that it is the one is refused, with the reason in words.
        """
        by = authority()
        good = [dns("localhost"), address("127.0.0.1")]
        for pair, words in (
            (make("localhost", by), "the server's certificate is not for 127.0.0.1: it may be"),
            (make("localhost", by, alternatives=[dns("127.0.0.1")]), "is not for 127.0.0.1, but for 127.0.0.1"),
            (make("localhost", by, alternatives=[address("127.0.0.2")]), "is not for 127.0.0.1, but for 127.0.0.2"),
            (
                make("localhost", by, alternatives=[dns("a\x1b[2J"), dns("b"), dns("c"), dns("d"), dns("e")]),
                "is not for 127.0.0.1, but for b, c, d: it",
            ),
            (
                make("localhost", by, more=[UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"junk")]),
                "the server's certificate ",
            ),
            (make("localhost", stranger(), alternatives=good), "is from an authority that is not trusted here"),
            (make("localhost", alternatives=good), "is signed by nobody but itself"),
            (make("localhost", by, alternatives=good, begins=-2, ends=-1), "the server's certificate has expired"),
            (make("localhost", by, alternatives=good, begins=1), "is not valid yet (or a clock is wrong)"),
            (make("localhost", by, alternatives=good, purpose=CLIENTS), "is for another purpose"),
        ):
            self.site.install(pair)
            with (
                mock.patch("echochat.net.tls.files._check_valid_now"),
                mock.patch("echochat.net.tls.files._check_purpose"),
            ):
                port = await self.site.listen()
            await self.refused(words, port)

    async def test_impossible_name(self) -> None:
        """
        A name that cannot be one is told before anything is sent.
        """
        port = await self.site.listen()
        for name in ("a..b", "a" * 64):
            await self.refused(f"{name!r} is not a host name", port, f"ca={self.site.ca}:name={name}")

    async def test_name_is_no_address(self) -> None:
        """
        A name is looked for among the names, and not among the addresses.
        """
        self.site.install(make("localhost", authority(), alternatives=[address("127.0.0.1")]))
        port = await self.site.listen()
        await self.refused("is not for localhost, but for 127.0.0.1", port, host="localhost")

    async def test_platform(self) -> None:
        """
        Without a file, who is trusted is this machine's to say: nobody here knows ours.
        """
        port = await self.site.listen()
        await self.refused("the server's certificate is from an authority that is not trusted here", port, "")

    async def test_own_certificate(self) -> None:
        """
        Who is asked for a certificate shows it; who has none is told that the server asks for one.
        """
        recording = Recording()
        port = await self.site.listen(recording, f":clientCA={self.site.ca}")
        certificate, key = self.site.folder.write_pair("alice", alice())
        await self.site.connect(port, f"ca={self.site.ca}:cert={certificate}:key={key}")
        await recording.until_made(1)
        self.assertEqual(peer_name(recording.made[0].transport), "alice")
        client = await self.site.connect(port)
        await client.until_lost()
        assert client.reason is not None
        client.reason.trap(TlsFailed)
        self.assertEqual(client.reason.getErrorMessage(), "the server asks for a certificate")
        self.assertEqual(len(recording.made), 1)

    async def test_files(self) -> None:
        """
        A file that cannot be used is told before anything is sent.
        """
        recording = Recording()
        port = await self.site.listen(recording)
        absent = str(self.site.folder.path / "absent.pem")
        await self.refused(f"cannot read {absent}: No such file", port, f"ca={absent}")
        await self.refused(f"cannot read {absent}: No such file", port, f"ca={self.site.ca}:cert={absent}")
        certificate = self.site.certificate
        options = f"ca={self.site.ca}:cert={certificate}:key={self.site.key}"
        await self.refused(f"the certificate in {certificate} is not for clients", port, options)
        self.assertEqual(recording.made, [])

    async def test_no_tls(self) -> None:
        """
        A server that speaks something else, and one that goes.
        """
        greeting = Recording()
        plain = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(greeting)
        self.addCleanup(plain.stopListening)

        class Greets(Recorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.transport.write(b"220 welcome\r\n")

        class Leaves(Recorder):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.transport.loseConnection()

        for make_one, words in ((Greets, "the server does not speak TLS"), (Leaves, "the server went away")):
            greeting._make = make_one
            await self.refused(words, plain)

    async def test_silence(self) -> None:
        """
        A server that says nothing is not waited for longer than was said, or wanted.
        """
        silent = Recording()
        plain = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(silent)
        self.addCleanup(plain.stopListening)
        number = plain.getHost().port
        await self.refused("the server did not finish the handshake within 0.05 s", plain, "handshake=0.05")
        connecting: Deferred[Any] = client_endpoint(reactor, f"tls:127.0.0.1:{number}").connect(
            Factory.forProtocol(Recorder)
        )
        await silent.until_made(2)
        connecting.cancel()
        await self.assertFailure(connecting, CancelledError)
        for each in silent.made:
            await each.until_lost()

    async def test_unwanted(self) -> None:
        """
        When the factory has no protocol after all, the connection ends.
        """
        port = await self.site.listen()

        class Nobody(Factory):
            def buildProtocol(self, addr: object) -> None:
                return None

        endpoint = client_endpoint(reactor, f"tls:127.0.0.1:{port.getHost().port}:ca={self.site.ca}")
        connecting: Deferred[Any] = endpoint.connect(Nobody())
        await self.assertFailure(connecting, TlsFailed)


class ParseTests(SynchronousTestCase):
    """
    What is wrong in a description is told in a sentence.
    """

    def test_good(self) -> None:
        """
        Host and port may be named, and colons are quoted as everywhere.
        """
        for description in (
            "tls:localhost:7443",
            "tls:host=localhost:port=1",
            "tls:\\:\\:1:1",
            "tls:a:port=1:timeout=3",
        ):
            client_endpoint(MemoryReactorClock(), description)

    def test_bad(self) -> None:
        """
        The sentence says what is missing, or what there is.
        """
        for description, words in (
            ("tls:", "tls: needs a host, as in tls:chat.example:7443"),
            ("tls:localhost", "tls:localhost: needs a port from 0 to 65535, as in tls:localhost:7443"),
            ("tls:localhost:http", "tls:localhost: needs a port"),
            ("tls:localhost:1:2", "tls: has a host and a port, and everything else is NAME=VALUE"),
            ("tls:localhost:1:port=2", "tls: has a host and a port"),
            ("tls:localhost:1:trustRoots=x", "tls: has no option trustRoots=; it has host=, port=, ca="),
            ("tls:localhost:1:key=x", "tls: key= belongs to a certificate: cert=FILE"),
            ("tls:localhost:1:timeout=x", "tls: timeout= is in seconds"),
            ("tls:localhost:1:handshake=0", "tls: handshake= is in seconds"),
        ):
            error = self.assertRaises(ValueError, client_endpoint, MemoryReactorClock(), description)
            self.assertTrue(str(error).startswith(words), str(error))
