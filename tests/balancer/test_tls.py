"""
TLS through the balancer: the name that a client asks for, and an end of one direction only.
"""

import ssl
from typing import Any
from unittest import TestCase as PlainTestCase

from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from echochat.balancer.backends import Backend
from echochat.balancer.journal import Ended
from echochat.balancer.relaying import RelayRoute
from echochat.net.closing import Closer
from echochat.net.endpoints import server_endpoint
from tests.balancer.relayed import Balanced, OverPlain, OverSockets
from tests.net.authority import Folder, authority, server
from tests.net.peers import Peer
from tests.wire.test_hello import said_by_openssl


class TlsCase(Balanced):
    """
    With a certificate, and what the journal is told.
    """

    def setUp(self) -> None:
        super().setUp()
        folder = Folder(self)
        self.files = folder.write_pair("server", server())
        self.trusted = folder.write("ca.pem", authority().pem)
        self.journal: list[Ended] = []
        self.patch(self.factory.journal, "add", self.journal.append)

    async def encrypted_client(self, name: str) -> Peer:
        """
        A client that speaks TLS with whoever is at the other end, and asks for this name.
        """
        context = ssl.create_default_context(cafile=self.trusted)
        plain = await self.client()
        wrapped = await deferToThread(context.wrap_socket, plain.socket, server_hostname=name)
        self.addCleanup(wrapped.close)
        return Peer(wrapped)

    async def encrypted_backend(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Peer:
        """
        Accept a connection to the backend, which speaks TLS.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self.files)
        context.maximum_version = version
        accepted = await self.accepted()
        wrapped = await deferToThread(context.wrap_socket, accepted.socket, True)
        self.addCleanup(wrapped.close)
        return Peer(wrapped)


class NameGuarantees(TlsCase):
    """
    The name that a client asks for is in the log, whoever carries its bytes.
    """

    async def test_passed_through(self) -> None:
        """
        ... where the TLS is the backend's, too.
        """
        encrypted = self.encrypted_client("localhost")
        waiting: Any = self.encrypted_backend()
        client, backend = await _both(encrypted, waiting)
        await client.send(b"hello")
        self.assertEqual(await backend.read(5), b"hello")
        client.close()
        self.assertEqual(await backend.read_to_end(), b"")
        backend.close()
        await self.until(lambda: self.journal)
        self.assertRegex(str(self.journal[0]), r"^connection 1 from 127\.0\.0\.1:\d+ for localhost to a ended after ")

    async def test_none(self) -> None:
        """
        Whatever else a client says first is passed on as it comes, and is no name; nor is one that has not come whole
        with the first bytes.
        """
        hello = said_by_openssl("chat.example")
        for first, rest in ((b"hello\n", b""), (b"\x16", b"\3\1"), (hello[:60], hello[60:])):
            client, backend = await self.pair()
            for part in filter(None, (first, rest)):
                await client.send(part)
                self.assertEqual(await backend.read(len(part)), part)
            await backend.send(b"x")
            self.assertEqual(await client.read(1), b"x")
            client.close()
            self.assertEqual(await backend.read_to_end(), b"")
            backend.close()
        await self.until(lambda: len(self.journal) == 3)
        self.assertEqual([each.server_name for each in self.journal], [""] * 3)

    async def test_in_one_piece(self) -> None:
        """
        ... and a large hello is looked at as a whole.
        """
        hello = said_by_openssl("chat.example")
        # Padding (RFC 7685) before all other extensions, which makes it 1,600 bytes long.
        at = 5 + 4 + 34 + 1 + hello[43]
        at += 2 + int.from_bytes(hello[at : at + 2], "big")
        at += 1 + hello[at]
        extensions = b"\0\x15" + (1_000).to_bytes(2, "big") + bytes(1_000) + hello[at + 2 :]
        body = hello[9:at] + len(extensions).to_bytes(2, "big") + extensions
        message = b"\1" + len(body).to_bytes(3, "big") + body
        large = hello[:3] + len(message).to_bytes(2, "big") + message
        client, backend = await self.pair()
        await client.send(large)
        self.assertEqual(await backend.read(len(large)), large)
        client.close()
        self.assertEqual(await backend.read_to_end(), b"")
        backend.close()
        await self.until(lambda: self.journal)
        self.assertEqual(self.journal[0].server_name, "chat.example")


async def _both(client: Any, backend: Any) -> tuple[Peer, Peer]:
    """
    Have a handshake at both ends at once.
    """
    from twisted.internet.defer import Deferred, gatherResults

    made, accepted = await gatherResults([Deferred.fromCoroutine(client), Deferred.fromCoroutine(backend)])
    return made, accepted


class SocketNameTests(OverSockets, NameGuarantees, TestCase):
    """
    Plain sockets.
    """


class ProtocolNameTests(OverPlain, NameGuarantees, TestCase):
    """
    Twisted protocols.
    """


class TerminatedTests(OverSockets, TlsCase, TestCase):
    """
    Where the client's TLS ends here.
    """

    async def test_name(self) -> None:
        """
        The name is that of the handshake.
        """
        certificate, key = self.files
        endpoint = server_endpoint(self.reactor, f"tls:0:interface=127.0.0.1:cert={certificate}:key={key}")
        self._port = await endpoint.listen(self.factory)
        for name in ("localhost", "127.0.0.1"):
            client = await self.encrypted_client(name)
            # What passes through may look like another hello.
            await client.send(said_by_openssl("chat.example"))
            backend = await self.accepted()
            self.assertEqual(len(await backend.read(5)), 5)
            backend.close()
            client.close()
        await self.until(lambda: len(self.journal) == 2)
        self.assertEqual([each.server_name for each in self.journal], ["localhost", "chat.example"])


class HalfCloseTests(OverSockets, TlsCase, TestCase):
    """
    A client of plain TCP, and a backend with TLS.
    """

    async def test_answers_after_the_end(self) -> None:
        """
        A client that has said everything hears everything that the backend says after that, whenever it says it; with
        TLS 1.2 as with 1.3.
        """
        self.route = RelayRoute(
            self.reactor, Backend("a", f"{self.endpoint().replace('tcp', 'tls')}:ca={self.trusted}"), None
        )
        clock = Clock()
        self.factory.closer = Closer(clock, 5.0)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            client = await self.client()
            backend = await self.encrypted_backend(version)
            await client.send(b"question")
            client.finish()
            self.assertEqual(await backend.read_to_end(), b"question")
            clock.pump([5.0] * 4)
            await backend.send(b"it takes some time")
            self.assertEqual(await client.read(18), b"it takes some time")
            clock.pump([5.0] * 4)
            answer = deferToThread(backend.socket.sendall, b"x" * 3_000_000)
            self.assertEqual(await client.read(3_000_000), b"x" * 3_000_000)
            await answer
            leaving = deferToThread(backend.socket.unwrap)
            self.assertEqual(await client.read_to_end(), b"")
            await leaving
            backend.close()
            client.close()
            await self.until(lambda: not self.factory.connections)
        self.assertEqual({each.cause for each in self.journal}, {"client closed"})
        clock.advance(60)
        self.assertEqual(clock.getDelayedCalls(), [])


class LineTests(PlainTestCase):
    """
    What is logged of a connection.
    """

    def test_line(self) -> None:
        """
        The name stands in its line only where there is one.
        """
        ended = Ended(1, ("192.0.2.1", 5), "a", 0.25, "client closed", 6, 7)
        self.assertEqual(
            str(ended), "connection 1 from 192.0.2.1:5 to a ended after 0.250 s: client closed; 6 bytes in, 7 bytes out"
        )
        self.assertIn(" from 192.0.2.1:5 for chat.example to a ended ", str(ended._replace(server_name="chat.example")))
