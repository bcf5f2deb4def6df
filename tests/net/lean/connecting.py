"""
What a reactor promises to whoever listens and connects through it: with endpoints, and with what others have opened.
"""

import os
import socket
from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import ConnectionRefusedError, UnsupportedAddressFamily

from tests.net.certificates import identity
from tests.net.lean.runs import MEGABYTE, Run, pattern
from tests.net.peers import Peer
from tests.net.recorders import DescriptorReceiver, Recorder


class ConnectingGuarantees(Run):
    """
    Listening and connecting.
    """

    async def ends(self, listen: str, make: Any = Recorder) -> tuple[Any, Any]:
        """
        :return: the recorders of a client and of the server, both on transports under test.
        """
        serving, connecting = self.recording(make), self.recording(make)
        address = await self.listen(serving, listen)
        path = getattr(address, "name", None)
        host = getattr(address, "host", "").replace(":", r"\:")
        there = f"unix:{path.decode()}" if path else f"tcp:{host}:{address.port}"
        await clientFromString(self.reactor, there).connect(connecting)
        await serving.until_made(1)
        return connecting.made[0], serving.made[0]

    async def assert_talks(self, client: Recorder, server: Recorder) -> None:
        content = pattern(MEGABYTE)
        server.on_data = server.transport.write
        client.transport.write(content)
        await client.until_received(len(content))
        self.assertEqual(bytes(client.received), content)
        client.transport.loseConnection()
        await client.until_lost()
        await server.until_lost()

    async def test_tcp(self) -> None:
        """
        ``tcp:`` endpoints of both sides.
        """
        await self.assert_talks(*await self.ends("tcp:0:interface=127.0.0.1"))

    async def test_tcp6(self) -> None:
        """
        IPv6.
        """
        if not _has_ipv6():
            self.skipTest("this machine has no IPv6")
        client, server = await self.ends(r"tcp:0:interface=\:\:1")
        self.assertEqual((server.transport.getPeer().host, server.transport.getHost().host), ("::1", "::1"))
        await self.assert_talks(client, server)

    async def test_unix(self) -> None:
        """
        ``unix:`` endpoints of both sides.
        """
        await self.assert_talks(*await self.ends(f"unix:{self.folder()}/socket"))

    async def test_ssl(self) -> None:
        """
        TLS without endpoints, as older programs ask for it.
        """
        serving, connecting = self.recording(), self.recording()
        options: Any = identity().server_options()
        port = self.listening(self.reactor.listenSSL(0, serving, options, interface="127.0.0.1"))
        self.reactor.connectSSL("127.0.0.1", port.getHost().port, connecting, identity().client_options())
        await connecting.until_made(1)
        await serving.until_made(1)
        await self.assert_talks(connecting.made[0], serving.made[0])

    async def test_refused(self) -> None:
        """
        Where nobody listens the attempt fails, and says so.
        """
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            endpoint = clientFromString(self.reactor, f"tcp:127.0.0.1:{closed.getsockname()[1]}")
            await self.assertFailure(self.attempt(endpoint), ConnectionRefusedError)

    async def test_nobody_answers(self) -> None:
        """
        An attempt that is not answered can be given up.
        """
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            # As many as fit into the queue; the kernel does not answer any more then.
            with socket.create_connection(full.getsockname()):
                attempt = self.attempt(clientFromString(self.reactor, f"tcp:127.0.0.1:{full.getsockname()[1]}"))
                await self.a_turn()
                attempt.cancel()
                await self.assertFailure(attempt, error.UserError, error.ConnectingCancelledError)

    async def test_again(self) -> None:
        """
        A connector that failed connects when it is asked again.
        """
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            number = bound.getsockname()[1]
            connecting = self.recording()
            connector = self.reactor.connectTCP("127.0.0.1", number, connecting)
            await connecting.witness.until(lambda: connecting.failed)
            bound.listen(5)
            connector.connect()
            await connecting.until_made(1)
            await connecting.made[0].until_told("connectionMade")

    async def test_descriptors_over_unix(self) -> None:
        """
        File descriptors arrive in their order and with their bytes, also behind bytes that were written before.
        """
        client, server = await self.ends(f"unix:{self.folder()}/socket", DescriptorReceiver)
        pipes = [os.pipe() for _ in range(3)]
        transport = client.transport
        transport.write(b"first ")
        transport.sendFileDescriptor(pipes[0][1])
        await server.until_received(6)
        transport.sendFileDescriptor(pipes[1][1])
        transport.sendFileDescriptor(pipes[2][1])
        transport.write(b"second")
        await server.until_received(12)
        self.assertEqual(bytes(server.received), b"first second")
        for number, (descriptor, _) in enumerate(server.descriptors):
            os.write(descriptor, b"%d" % number)
            os.close(descriptor)
        for number, (reading, writing) in enumerate(pipes):
            os.close(writing)
            self.assertEqual(os.read(reading, 10), b"%d" % number)
            os.close(reading)

    async def test_flood_does_not_starve(self) -> None:
        """
        Timers and other descriptors have their turn, however much the connections have to say to one another.
        """
        pairs = [await self.ends("tcp:0:interface=127.0.0.1") for _ in range(4)]
        for ends in pairs:
            for end in ends:
                end.on_data = end.transport.write
            ends[0].transport.write(b"x" * 100_000)
        for _ in range(100):
            await self.a_turn()
        await self.round_trip()

    def attempt(self, endpoint: Any) -> "Deferred[Any]":
        """
        Connect.
        """
        attempt: Deferred[Any] = endpoint.connect(self.recording())
        return attempt


class AdoptingGuarantees(Run):
    """
    Sockets that somebody else has opened: systemd, or a process that handed them over.
    """

    async def adopted_port(self, listening: socket.socket) -> None:
        listening.setblocking(False)
        listening.listen(5)
        recording = self.recording()
        port = self.listening(self.reactor.adoptStreamPort(listening.fileno(), listening.family, recording))
        listening.close()
        peer = self.peer(port.getHost())
        await recording.until_made(1)
        recording.made[0].on_data = recording.made[0].transport.write
        await peer.send(b"hello")
        self.assertEqual(await peer.read(5), b"hello")

    async def adopted_connection(self, ours: socket.socket, theirs: socket.socket) -> None:
        ours.setblocking(False)
        recording = self.recording()
        transport = self.reactor.adoptStreamConnection(ours.fileno(), ours.family, recording)
        ours.close()
        peer = self.owned(Peer(theirs))
        transport.write(b"welcome")
        self.assertEqual(await peer.read(7), b"welcome")
        await peer.send(b"x" * MEGABYTE)
        await recording.made[0].until_received(MEGABYTE)
        peer.finish()
        await recording.made[0].until_lost()

    async def test_tcp_port(self) -> None:
        """
        A listening TCP socket.
        """
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        await self.adopted_port(listening)

    async def test_unix_port(self) -> None:
        """
        A listening UNIX socket.
        """
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(f"{self.folder()}/socket")
        await self.adopted_port(listening)

    async def test_tcp_connection(self) -> None:
        """
        A connected TCP socket.
        """
        with socket.create_server(("127.0.0.1", 0)) as listening:
            theirs = socket.create_connection(listening.getsockname())
            ours, _ = listening.accept()
        await self.adopted_connection(ours, theirs)

    async def test_unix_connection(self) -> None:
        """
        A connected UNIX socket.
        """
        await self.adopted_connection(*socket.socketpair())

    def test_other_families(self) -> None:
        """
        A socket of another kind is refused.
        """
        with socket.socket() as other:
            for adopt in (self.reactor.adoptStreamPort, self.reactor.adoptStreamConnection):
                self.assertRaises(UnsupportedAddressFamily, adopt, other.fileno(), socket.AF_APPLETALK, None)

    async def test_connection_that_is_not_wanted(self) -> None:
        """
        A factory may refuse what was handed over.
        """

        class Refusing:
            def buildProtocol(self, address: object) -> None:
                return None

        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.assertIsNone(self.reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, Refusing()))
        ours.close()
        self.assertEqual(await self.owned(Peer(theirs)).read_to_end(), b"")


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
