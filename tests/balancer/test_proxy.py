"""
Tests for :mod:`echochat.balancer.proxy`, and what carries its connections: :mod:`echochat.balancer.halves` and
:mod:`echochat.balancer.sockets`, over :mod:`echochat.net.lean.ends`.
"""

import contextlib
import os
import shutil
import socket
import ssl
import tempfile
from dataclasses import replace
from functools import partial
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SkipTest, TestCase

from echochat.balancer import halves, sockets
from echochat.balancer.backends import Backend, Mode
from echochat.balancer.connection import Connection
from echochat.balancer.halves import Halves
from echochat.balancer.relaying import RelayRoute
from echochat.net.deadlines import Deadlines
from echochat.net.endpoints import server_endpoint
from tests.balancer.relayed import Balanced, OverPlain, OverSockets, Refusing, Slow, read_checksum, send_chunks
from tests.net.authority import Folder, authority, server
from tests.net.peers import Peer

MOST_KEPT = 262_144


class Guarantees(Balanced):
    """
    What holds of every connection, whatever carries it.
    """

    async def test_lines(self) -> None:
        """
        What the client says reaches the backend, and the answer the client. The end is told in one line.
        """
        client, backend = await self.pair()
        await client.send(b"hello\n")
        self.assertEqual(await backend.read(6), b"hello\n")
        await backend.send(b"HELLO!\n")
        self.assertEqual(await client.read(7), b"HELLO!\n")
        with capturedLogs() as captured:
            client.finish()
            self.assertEqual(await backend.read_to_end(), b"")
            backend.close()
            self.assertEqual(await client.read_to_end(), b"")
            await self.over("client closed")
        (line,) = [formatEvent(each) for each in captured if each["log_namespace"].startswith("echochat")]
        host, port = client.socket.getsockname()
        self.assertRegex(
            line,
            rf"^connection 1 from {host}:{port} to a ended after \d\.\d+ s: client closed; 6 bytes in, 7 bytes out$",
        )
        self.assertEqual(self.reports.told, [("a", "served")])
        self.assertEqual((self.backend.traffic.bytes_in, self.backend.traffic.bytes_out), (6, 7))

    async def test_server_speaks_first(self) -> None:
        """
        A server may speak before the client does.
        """
        client, backend = await self.pair()
        await backend.send(b"welcome\n")
        self.assertEqual(await client.read(8), b"welcome\n")
        backend.close()
        self.assertEqual(await client.read_to_end(), b"")
        client.close()
        await self.over("backend closed")

    async def test_half_close(self) -> None:
        """
        A client that has said everything still hears everything, and so does a backend.
        """
        for first in (0, 1):
            self.factory.causes.clear()
            both = await self.pair()
            early, late = both[first], both[1 - first]
            await early.send(b"the last words")
            early.finish()
            self.assertEqual(await late.read_to_end(), b"the last words")
            answer = b"x" * 3_000_000
            hearing = early.read_to_end()
            await late.send(answer)
            late.finish()
            self.assertEqual(await hearing, answer)
            await self.over(("client closed", "backend closed")[first])

    async def test_reset(self) -> None:
        """
        A reset of one side resets the other.
        """
        for first in (0, 1):
            self.factory.causes.clear()
            both = await self.pair()
            await both[0].send(b"hello")
            self.assertEqual(await both[1].read(5), b"hello")
            both[first].reset()
            self.assertTrue(await both[1 - first].is_reset())
            await self.over(("client reset", "backend reset")[first])

    async def test_reset_of_one_that_is_not_read_from(self) -> None:
        """
        ... also while it is not read from, since the other side takes nothing; nothing is waited for then.
        """
        client, backend = await self.pair()
        client.socket.setblocking(False)
        connection = await self.full(client)
        client.reset()
        self.assertIs(connection.is_over, False)
        # Twisted's transports do not notice before they may read again.
        if not isinstance(connection.carrier, Halves):
            await self.over("client reset")
        self.assertTrue(await backend.is_reset())
        await self.over("client reset")

    async def test_random_chunks(self) -> None:
        """
        Chunks of all sizes, both ways at once, arrive as they were sent.
        """
        client, backend = await self.pair()
        sent_in, sent_out, came_in, came_out = await gatherResults(
            [
                send_chunks(client, 1, 20_000_000),
                send_chunks(backend, 2, 30_000_000),
                read_checksum(backend),
                read_checksum(client),
            ]
        )
        self.assertEqual((came_in, came_out), (sent_in, sent_out))
        await self.until(lambda: not self.factory.connections)
        self.assertEqual((self.backend.traffic.bytes_in, self.backend.traffic.bytes_out), (20_000_000, 30_000_000))

    async def test_stopped_reader(self) -> None:
        """
        50 MiB for one who does not read, and then the end: a bounded part is kept, and all of it arrives.
        """
        for first in (0, 1):
            both = await self.pair()
            sending = send_chunks(both[first], 3, 50 << 20)
            (connection,) = self.factory.connections.values()
            await self.until(partial(kept, connection))
            self.assertLessEqual(kept(connection), MOST_KEPT)
            arrived = await read_checksum(both[1 - first])
            self.assertEqual(arrived, await sending)
            both[1 - first].finish()
            await self.until(lambda: not self.factory.connections)

    async def test_end_while_the_other_direction_is_full(self) -> None:
        """
        Both sides send their ends while one of them has not taken everything: it still gets it.
        """
        client, backend = await self.pair()
        sending = send_chunks(client, 4, 8 << 20)
        (connection,) = self.factory.connections.values()
        await self.until(lambda: kept(connection))
        backend.finish()
        self.assertEqual(await client.read_to_end(), b"")
        arrived = await read_checksum(backend)
        self.assertEqual(arrived, await sending)
        await self.over("backend closed")

    async def test_backend_is_slow(self) -> None:
        """
        What the client says before its backend is connected is kept; when the client has sent its end, too, the
        backend gets both.
        """
        self.route = slow = Slow(self.route)
        client = await self.client()
        await client.send(b"hello\n")
        client.finish()
        await self.until(lambda: slow.opened)
        slow.go_on()
        backend = await self.accepted()
        self.assertEqual(await backend.read_to_end(), b"hello\n")
        await backend.send(b"HELLO\n")
        backend.close()
        self.assertEqual(await client.read_to_end(), b"HELLO\n")
        await self.over("client closed")

    async def test_much_before_the_backend(self) -> None:
        """
        A client that says much before its backend is connected is not read from for ever.
        """
        self.route = slow = Slow(self.route)
        client = await self.client()
        sending = send_chunks(client, 5, 30 << 20)
        await self.until(lambda: slow.opened)
        (connection,) = self.factory.connections.values()
        if isinstance(connection.carrier, Halves):
            await self.until(lambda: sum(map(len, connection.carrier._held)) >= halves.MOST_HELD)
            self.assertLessEqual(sum(map(len, connection.carrier._held)), MOST_KEPT)
        slow.go_on()
        arrived = await read_checksum(await self.accepted())
        self.assertEqual(arrived, await sending)

    async def test_client_gone(self) -> None:
        """
        A client that is reset before its backend is connected ends the attempt.
        """
        self.route = slow = Slow(self.route)
        client = await self.client()
        await self.until(lambda: slow.opened)
        self.assertEqual(self.backend.active, 1)
        client.reset()
        await self.over("client reset")
        self.assertEqual(slow.cancelled, 1)

    async def test_silent_client_gone(self) -> None:
        """
        ... and so does one that has closed, and said nothing, after a moment in which it may only want to listen.
        """
        self.patch(halves, "SILENT_END", 0.01)
        self.patch(sockets, "SILENT_END", 0.01)
        self.route = slow = Slow(self.route)
        client = await self.client()
        await self.until(lambda: slow.opened)
        client.close()
        await self.over("client closed")
        self.assertEqual(slow.cancelled, 1)

    async def test_silent_client_listens(self) -> None:
        """
        One that has sent its end and nothing else hears what the server says.
        """
        self.route = slow = Slow(self.route)
        client = await self.client()
        client.finish()
        await self.until(lambda: slow.opened)
        slow.go_on()
        backend = await self.accepted()
        await backend.send(b"welcome\n")
        self.assertEqual(await backend.read_to_end(), b"")
        backend.close()
        self.assertEqual(await client.read_to_end(), b"welcome\n")
        await self.over("client closed")

    async def test_refused(self) -> None:
        """
        A client for whom there is no backend is reset, and the log tells why.
        """
        self.server.close()
        client = await self.client()
        self.assertTrue(await client.is_reset())
        await self.over("a: connection refused; of the others, no backend is up")

    async def test_kick(self) -> None:
        """
        An operator closes a connection at once, on both sides.
        """
        client, backend = await self.pair()
        await client.send(b"hello")
        await backend.read(5)
        (connection,) = self.factory.at(self.backend)
        self.assertEqual((connection.number, connection.backend), (1, self.backend))
        self.assertTrue(connection.kick())
        self.assertEqual([await client.is_reset(), await backend.is_reset()], [True, True])
        await self.over("killed")
        self.assertFalse(connection.kick())

    async def test_idle(self) -> None:
        """
        With an idle limit a connection on which nothing comes is closed, and one on which something comes is not. It
        holds for those that are there when it is set.
        """
        talking, backend = await self.pair()
        silent, _ = await self.pair()
        clock = Clock()
        self.factory.idle = Deadlines(clock, 0, Connection.look_whether_idle)
        self.factory.apply(replace(self.settings, idle=8.0))
        for _ in range(5):
            await talking.send(b"x")
            self.assertEqual(await backend.read(1), b"x")
            clock.advance(2)
        self.assertTrue(await silent.is_reset())
        await self.until(lambda: len(self.factory.connections) == 1)
        self.assertEqual(dict(self.factory.causes), {"idle": 1})
        self.assertEqual(list(self.factory.connections), [1])

    async def test_closed_at_once(self) -> None:
        """
        A backend that closes at once and says nothing is reported.
        """
        client, backend = await self.pair()
        backend.close()
        self.assertEqual(await client.read_to_end(), b"")
        client.close()
        await self.over("backend closed")
        self.assertEqual(self.reports.told, [("a", "closed at once")])

    async def test_closed_at_once_and_the_client_stays(self) -> None:
        """
        ... when it closes, however long the client takes to close as well, and once.
        """
        client, backend = await self.pair()
        backend.close()
        await self.until(lambda: self.reports.told)
        self.assertEqual(self.reports.told, [("a", "closed at once")])
        self.assertEqual(len(self.factory.connections), 1)
        client.close()
        await self.over("backend closed")
        self.assertEqual(self.reports.told, [("a", "closed at once")])

    async def test_client_gone_during_a_later_attempt(self) -> None:
        """
        A client that is reset when one attempt has failed, after a while, ends the one that goes on.
        """
        await self.leave_during_a_later_attempt(Refusing(at_once=False))

    async def test_client_gone_after_a_refusal(self) -> None:
        """
        ... and when it had failed at once.
        """
        await self.leave_during_a_later_attempt(Refusing(at_once=True))

    async def leave_during_a_later_attempt(self, refusing: Refusing) -> None:
        """
        Go while the second of two backends is connected to.
        """
        first, second = Backend("b", "tcp:127.0.0.1:1"), Backend("c", "tcp:127.0.0.1:1")
        self.pool.add(first)
        self.pool.add(second)
        self.pool.set_mode(self.backend, Mode.DOWN, 0.0)
        slow = Slow(self.route)
        # Nothing but the client's going may end the attempt.
        self.dispatch.connect_timeout = 0

        def route_of(backend: Backend) -> Any:
            return refusing if backend is first else slow

        self.patch(self.dispatch, "_route_of", route_of)
        client = await self.client()
        await self.until(lambda: refusing.opened)
        refusing.refuse()
        await self.until(lambda: slow.opened)
        self.assertEqual((first.active, second.active), (0, 1))
        client.reset()
        await self.until(lambda: not self.factory.connections)
        self.assertEqual((slow.cancelled, second.active), (1, 0))

    async def test_another_after_one_that_closed_at_once(self) -> None:
        """
        A client that has said nothing yet does not notice a backend that closes at once, or resets, beside a good one.
        """
        other = self.listen()
        good = Backend("b", f"tcp:127.0.0.1:{other.getsockname()[1]}")
        routes = {self.backend: self.route, good: RelayRoute(self.reactor, good, None)}
        self.dispatch._route_of = routes.__getitem__
        for leave in (Peer.close, Peer.reset):
            self.reports.told.clear()
            client, backend = await self.pair()
            if good not in self.pool:
                self.pool.add(good)
            leave(backend)
            accepted, _ = await deferToThread(other.accept)
            backend = Peer(accepted)
            self.addCleanup(backend.close)
            self.assertEqual((self.backend.active, good.active), (0, 1))
            await client.send(b"hello")
            self.assertEqual(await backend.read(5), b"hello")
            await backend.send(b"HELLO")
            backend.close()
            self.assertEqual(await client.read_to_end(), b"HELLO")
            client.close()
            await self.until(lambda: not self.factory.connections)
            self.assertEqual(self.reports.told, [("a", "closed at once"), ("b", "served")])
            self.pool.remove(good)
        self.assertEqual((good.active, dict(self.factory.causes)), (0, {"backend closed": 2}))

    async def test_proxy_header(self) -> None:
        """
        On request the backend is told first where the client is.
        """
        for version in ("v1", "v2"):
            self.route = RelayRoute(self.reactor, self.backend, version)
            client, backend = await self.pair()
            await client.send(b"hello")
            client.finish()
            (host, port), (_, own) = client.socket.getsockname(), client.socket.getpeername()
            came = await backend.read_to_end()
            if version == "v1":
                self.assertEqual(came, b"PROXY TCP4 %s %s %d %d\r\nhello" % (host.encode(), b"127.0.0.1", port, own))
            else:
                ends = socket.inet_aton(host) + socket.inet_aton("127.0.0.1") + port.to_bytes(2) + own.to_bytes(2)
                self.assertEqual(came, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + ends + b"hello")
            backend.close()

    async def full(self, client: Peer) -> Any:
        """
        Send, without waiting, until the balancer keeps something.
        """
        (connection,) = self.factory.connections.values()

        def is_full() -> int:
            with contextlib.suppress(BlockingIOError):
                client.socket.send(b"x" * 65_536)
            return kept(connection)

        await self.until(is_full)
        return connection


class SocketTests(OverSockets, Guarantees, TestCase):
    """
    Two plain sockets.
    """

    async def test_other_families(self) -> None:
        """
        A backend may be on a UNIX socket, and a client come over IPv6.
        """
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(listening.close)
        listening.bind(f"{folder}/s")
        listening.listen()
        self.server = listening
        self.route = RelayRoute(self.reactor, Backend("a", f"unix:{folder}/s"), "v2")
        try:
            self._port = self.reactor.listenTCP(0, self.factory, interface="::1")
        except CannotListenError:
            raise SkipTest("this machine has no IPv6") from None
        client, backend = await self.pair()
        header = await backend.read(16 + 36)
        self.assertEqual(header[13:32], b"\x21\0\x24" + socket.inet_pton(socket.AF_INET6, "::1"))
        sending = send_chunks(client, 6, 10 << 20)
        self.assertEqual(await read_checksum(backend), await sending)
        backend.reset()
        self.assertEqual(await client.read_to_end(), b"")
        await self.over("client closed")

    async def test_socket_that_another_process_has(self) -> None:
        """
        A client whose socket a worker that does not answer may still have is closed all the same, and hears of it; and
        the kernel tells nothing of it any more.
        """
        self.route = slow = Slow(self.route)
        client = await self.client()
        await self.until(lambda: slow.opened)
        (connection,) = self.factory.connections.values()
        with socket.socket(fileno=os.dup(connection.carrier.lend().fileno())):
            connection.carrier.take_back()
            connection.close("killed")
            self.assertEqual(await client.read_to_end(), b"")
            client.close()
            await self.over("killed")
            self.assertEqual(self.reactor._dispatcher._epoll.poll(0), [])


class ProtocolTests(OverPlain, Guarantees, TestCase):
    """
    Two Twisted protocols.
    """


class TlsTests(OverSockets, Balanced, TestCase):
    """
    TLS on one side only.
    """

    async def test_client(self) -> None:
        """
        A client's TLS ends here: the backend hears plain text, and each side's end reaches the other.
        """
        folder = Folder(self)
        certificate, key = folder.write_pair("server", server())
        endpoint = server_endpoint(self.reactor, f"tls:0:interface=127.0.0.1:cert={certificate}:key={key}")
        self._port = await endpoint.listen(self.factory)
        trust = folder.write("ca.pem", authority().pem)
        for first in (0, 1):
            self.factory.causes.clear()
            client = await self.tls_client(trust)
            await client.send(b"hello\n")
            backend = await self.accepted()
            self.assertEqual(await backend.read(6), b"hello\n")
            await backend.send(b"HELLO\n")
            self.assertEqual(await client.read(6), b"HELLO\n")
            if first:
                backend.close()
                self.assertEqual(await client.read_to_end(), b"")
                client.close()
            else:
                leaving = deferToThread(client.socket.unwrap)
                self.assertEqual(await backend.read_to_end(), b"")
                backend.close()
                await leaving
                client.close()
            await self.over(("client closed", "backend closed")[first])

    async def tls_client(self, trust: str) -> Peer:
        context = ssl.create_default_context(cafile=trust)
        plain = await self.client()
        wrapped = await deferToThread(context.wrap_socket, plain.socket, server_hostname="127.0.0.1")
        self.addCleanup(wrapped.close)
        return Peer(wrapped)


def kept(connection: Any) -> int:
    """
    What the balancer itself keeps of what one side has sent.
    """
    carrier = connection.carrier
    if not isinstance(carrier, Halves):
        return sum(len(end.waiting) for end in (carrier._client, carrier._server) if end is not None)
    transports = [half.transport for half in (carrier._client, carrier._server) if half is not None]
    return sum(len(each.dataBuffer) + each._tempDataLen - each.offset for each in transports)
