"""
What connections with TLS promise, over any reactor: it is Twisted's TLS on the transports under test.
"""

from pathlib import Path
from typing import Any

from twisted.internet.endpoints import clientFromString, wrapClientTLS
from twisted.internet.interfaces import ISSLTransport

from tests.net.certificates import identity
from tests.net.lean.producing import Pushing
from tests.net.lean.runs import MEGABYTE, Run, pattern
from tests.net.recorders import Recorder


class SecureGuarantees(Run):
    """
    TLS from the first byte, and from a later one.
    """

    def endpoint(self) -> str:
        folder = Path(self.folder())
        (folder / "key.pem").write_bytes(identity().key)
        (folder / "certificate.pem").write_bytes(identity().certificate)
        return f"ssl:0:interface=127.0.0.1:privateKey={folder}/key.pem:certKey={folder}/certificate.pem"

    async def pair(self) -> tuple[Any, Any]:
        """
        :return: the recorders of a client and of the server, both on transports under test, after the handshake.
        """
        serving, connecting = self.recording(), self.recording()
        address = await self.listen(serving)
        endpoint = clientFromString(self.reactor, f"tcp:127.0.0.1:{address.port}")
        options: Any = identity().client_options()
        await wrapClientTLS(options, endpoint).connect(connecting)
        client, server = connecting.made[0], serving.made[0]
        client.transport.write(b"hello")
        await server.until_received(5)
        server.received.clear()
        return client, server

    async def test_both_directions(self) -> None:
        """
        Much goes both ways at once, and arrives as it was.
        """
        client, server = await self.pair()
        there, back = pattern(2 * MEGABYTE, 1), pattern(2 * MEGABYTE, 2)
        client.transport.write(there)
        server.transport.write(back)
        await server.until_received(len(there))
        await client.until_received(len(back))
        self.assertEqual((bytes(server.received), bytes(client.received)), (there, back))

    async def test_close_flushes(self) -> None:
        """
        A connection that is closed sends first what was written, to a peer that reads late too.
        """
        client, server = await self.pair()
        client.transport.pauseProducing()
        content = pattern(4 * MEGABYTE)
        server.transport.write(content)
        server.transport.loseConnection()
        await self.round_trip()
        self.assertEqual(server.times_lost, 0)
        client.transport.resumeProducing()
        await client.until_lost()
        await server.until_lost()
        self.assertEqual(bytes(client.received), content)

    async def test_push_producer(self) -> None:
        """
        A producer is paused while the peer does not read, and resumed then.
        """
        client, server = await self.pair()
        client.transport.pauseProducing()
        producer = Pushing()
        server.transport.registerProducer(producer, True)
        server.transport.write(b"x" * (8 * MEGABYTE))
        self.assertEqual(producer.asked, ["pause"])
        client.transport.resumeProducing()
        await client.until_received(8 * MEGABYTE)
        await self.until(lambda: producer.asked == ["pause", "resume"])
        server.transport.unregisterProducer()

    async def test_abort(self) -> None:
        """
        An aborted connection ends without the peer's help.
        """
        client, server = await self.pair()
        client.transport.pauseProducing()
        server.transport.write(b"x" * (8 * MEGABYTE))
        server.transport.abortConnection()
        await server.until_lost()
        client.transport.resumeProducing()
        await client.until_lost()
        self.assertLess(len(client.received), 8 * MEGABYTE)

    async def test_exception(self) -> None:
        """
        An exception of a protocol behind TLS ends its connection.
        """
        client, server = await self.pair()

        def fail(data: bytes) -> None:
            raise ZeroDivisionError

        server.on_data = fail
        client.transport.write(b"x")
        await server.until_lost()
        await client.until_lost()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_no_tls_at_all(self) -> None:
        """
        Whoever does not speak TLS is not heard, and leaves no traceback.
        """
        serving = self.recording()
        peer = self.peer(await self.listen(serving))
        await peer.send(b"hello\r\n" * 10)
        await serving.until_made(1)
        await serving.made[0].until_lost()
        self.assertEqual(serving.made[0].received, b"")

    async def test_start_tls(self) -> None:
        """
        A connection that has begun in the clear goes on with TLS, in both roles.
        """
        serving, connecting = self.recording(), self.recording()
        address = await self.listen(serving, "tcp:0:interface=127.0.0.1")
        await clientFromString(self.reactor, f"tcp:127.0.0.1:{address.port}").connect(connecting)
        await serving.until_made(1)
        client, server = connecting.made[0], serving.made[0]
        self.start_tls(server, client)
        content = pattern(2 * MEGABYTE)
        await client.witness.until(lambda: ISSLTransport.providedBy(client.transport))
        client.transport.write(content)
        server.transport.write(b"welcome")
        await client.until_received(len(b"now") + 7)
        await server.until_received(len(b"please") + len(content))
        self.assertEqual(bytes(client.received), b"nowwelcome")
        self.assertEqual(bytes(server.received), b"please" + content)
        client.transport.loseConnection()
        await server.until_lost()

    def start_tls(self, server: Recorder, client: Recorder) -> None:
        def asked(data: bytes) -> None:
            server.on_data = lambda data: None
            server.transport.write(b"now")
            server.transport.startTLS(identity().server_options())

        def answered(data: bytes) -> None:
            client.on_data = lambda data: None
            client.transport.startTLS(identity().client_options())

        server.on_data, client.on_data = asked, answered
        client.transport.write(b"please")
