"""
Tests for :mod:`echochat.server.service`: a server's life, on real sockets, with time that the test passes.
"""

import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import formatEvent
from twisted.trial.unittest import TestCase

from echochat.daemon import ports as ports_module
from echochat.daemon.ports import KEEPALIVE_IDLE, CannotStart
from echochat.history.errors import HistoryRefused
from echochat.net.gate import Gate
from echochat.server.factory import GRACE
from echochat.server.service import EchoChatService
from tests.net.lean.runs import MEGABYTE, SMALL, OverLean, OverPlain
from tests.net.peers import Peer, connect
from tests.server.serving import Serving, make_factory

TCP = "tcp:0:interface=127.0.0.1"

TAKEN = "end what listens there, or name another port with --listen"


class ServiceGuarantees(Serving):
    """
    Start, serve, drain, stop.
    """

    def make(self, *endpoints: str, **settings: Any) -> EchoChatService:
        self.gate = Gate(0)
        self.factory = make_factory(self.clock, self.gate, **settings)
        self.told: list[str] = []
        return EchoChatService(self.reactor, self.factory, self.gate, endpoints or (TCP,), self.told.append)

    async def start(self, *endpoints: str, **settings: Any) -> EchoChatService:
        service = self.make(*endpoints, **settings)
        service.privilegedStartService()
        service.startService()
        for port in service.ports._open:
            self.listening(port)
        # The history in memory opens at once.
        await self.a_turn()
        return service

    async def stop(self, service: EchoChatService) -> None:
        """
        Stop it without waiting for anybody.
        """
        stopped = service.stopService()
        for _ in range(3):
            service.hurry()
            self.clock.advance(GRACE + 1)
            await self.a_turn()
        await stopped

    def invitations(self) -> list[str]:
        """
        What was said of where it listens.
        """
        said = [formatEvent(event) or "" for event in self.events]
        return [line for line in said if line.startswith("listening on ")]

    async def connected(self, service: EchoChatService, number: int) -> list[Peer]:
        return [await self.client(service.ports.addresses[0]) for _ in range(number)]

    async def test_serves_on_all_endpoints(self) -> None:
        """
        It listens everywhere it was told to, and says where and how to try it.
        """
        service = await self.start(TCP, f"unix:{self.folder()}/socket", TCP)
        for address in service.ports.addresses:
            self.assertEqual(await self.ask(await self.client(address), b"hello\n"), b"HELLO\n")
        log = [formatEvent(event) for event in self.events]
        port = service.ports.addresses[0].port
        told = (
            f"listening on 127.0.0.1 port {port}: try it with: nc 127.0.0.1 {port}, or: echochat chat 127.0.0.1:{port}"
        )
        self.assertIn(told, log)
        self.assertEqual(sum("listening on unix:" in str(line) for line in log), 1)
        await self.stop(service)

    async def test_all_interfaces(self) -> None:
        """
        How to try a server that listens on all interfaces is told with a name that works.
        """
        service = await self.start("tcp:0")
        port = service.ports.addresses[0].port
        told = [formatEvent(event) for event in self.events]
        self.assertTrue(any(f"nc localhost {port}" in str(line) for line in told))
        await self.stop(service)

    def test_cannot_listen(self) -> None:
        """
        An endpoint that cannot be had ends the start with one sentence that names it and the reason, and for a port
        that another process has also what to do.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            number = taken.getsockname()[1]
            for endpoint, reason in (
                (f"tcp:{number}:interface=127.0.0.1", f"Address already in use: {TAKEN}"),
                ("unix:/nowhere/at/all", "No such file or directory"),
                ("tcp:7007:interface=192.0.2.1", "Cannot assign requested address"),
                ("nonsense:1", "Unknown endpoint type: 'nonsense'"),
                ("tcp:many", "tcp: needs a port from 0 to 65535, as in tcp:7443"),
                ("tcp:port=70080:interface=::1", "tcp: needs a port from 0 to 65535, as in tcp:7443"),
            ):
                for start in ("privilegedStartService", "startService"):
                    service = self.make(endpoint)
                    error = self.assertRaises(CannotStart, getattr(service, start))
                    self.assertEqual(str(error), f"cannot listen on {endpoint}: {reason}")
                    self.factory.exchange.close()
        self.assertEqual(self.told, [])

    def test_path_in_use(self) -> None:
        """
        Nobody is told to take another port where a path is in use, by what is no socket.
        """
        endpoint = f"unix:{self.folder()}"
        error = self.assertRaises(CannotStart, self.make(endpoint).privilegedStartService)
        self.assertEqual(str(error), f"cannot listen on {endpoint}: Address already in use")
        self.factory.exchange.close()

    async def test_another_listens(self) -> None:
        """
        A UNIX socket on which another process listens is told as that, and not as a lock.
        """
        endpoint = f"unix:{self.folder()}/socket"
        first = await self.start(endpoint)
        second = EchoChatService(self.reactor, self.factory, self.gate, (endpoint,), self.told.append)
        error = self.assertRaises(CannotStart, second.privilegedStartService)
        self.assertEqual(str(error), f"cannot listen on {endpoint}: another process does")
        await self.stop(first)

    async def test_cannot_listen_later(self) -> None:
        """
        An endpoint that fails after some time is told of, too: a server is never deaf without a word.
        """
        listening: Deferred[Any] = Deferred()

        class Slow:
            def listen(self, factory: object) -> Deferred[Any]:
                return listening

        self.patch(ports_module, "server_endpoint", lambda reactor, endpoint: Slow())
        service = await self.start("slow:1")
        self.assertEqual(self.told, [])
        listening.errback(OSError(5, "Input/output error"))
        self.assertEqual(self.told, ["cannot listen on slow:1: Input/output error"])
        await self.stop(service)

    async def test_waits_for_the_history(self) -> None:
        """
        Whoever comes before the history is open waits, and is served when it is: only then is it said where one comes.
        """
        service = self.make()
        opening: Deferred[None] = Deferred()
        self.patch(self.factory.exchange.history, "open", lambda receiver: opening)
        service.privilegedStartService()
        service.startService()
        [port] = service.ports._open
        peer = self.owned(connect(self.listening(port).getHost()))
        await peer.send(b"hello\n")
        await self.round_trip()
        self.assertEqual((len(self.factory.connections), self.invitations()), (0, []))
        opening.callback(None)
        self.assertEqual(len(self.invitations()), 1)
        self.assertEqual(await peer.read(6), b"HELLO\n")
        await self.stop(service)

    async def test_a_history_that_cannot_be_had(self) -> None:
        """
        A server that ends because of its history has not said that it listens, nor does it when that is stopped.
        """
        service = self.make()
        opening: Deferred[None] = Deferred()
        self.patch(self.factory.exchange.history, "open", lambda receiver: opening)
        service.privilegedStartService()
        service.startService()
        opening.errback(HistoryRefused("it is another program's"))
        self.assertEqual((self.told, self.invitations()), (["it is another program's"], []))
        await self.stop(service)

    async def test_stopped_before_it_is_open(self) -> None:
        """
        A history that is open when the server is about to end invites nobody any more.
        """
        service = self.make()
        opening: Deferred[None] = Deferred()
        self.patch(self.factory.exchange.history, "open", lambda receiver: opening)
        service.privilegedStartService()
        service.startService()
        await self.stop(service)
        opening.callback(None)
        self.assertEqual((self.told, self.invitations()), ([], []))

    async def test_a_history_that_fails_otherwise(self) -> None:
        """
        A server that cannot be opened because of a bug says so and gives up, and is not deaf without a word.
        """
        service = self.make()
        opening: Deferred[None] = Deferred()
        self.patch(self.factory.exchange.history, "open", lambda receiver: opening)
        service.privilegedStartService()
        service.startService()
        opening.errback(ValueError("a bug"))
        self.assertEqual(self.told, ["the server could not be opened: a bug"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        await self.stop(service)

    async def test_sockets(self) -> None:
        """
        Connections send at once, and find out in the end that a machine has vanished.
        """
        service = await self.start()
        await self.connected(service, 1)
        [connection] = self.factory.connections
        accepted = connection.transport.socket
        for level, option in (
            (socket.IPPROTO_TCP, socket.TCP_NODELAY),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        ):
            self.assertTrue(accepted.getsockopt(level, option))
        self.assertEqual(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), KEEPALIVE_IDLE)
        await self.stop(service)

    async def test_drain(self) -> None:
        """
        A server that is stopped accepts nobody, asks everybody to leave, serves them meanwhile, says goodbye to those
        who stay, and has stopped when they have gone.
        """
        service = await self.start(drain=20)
        address = service.ports.addresses[0]
        leaves, stays, rude = await self.connected(service, 3)
        await rude.send(b"x\n")
        stopped = service.stopService()
        for peer in (leaves, stays):
            self.assertEqual(await self.ask(peer, b""), b"/drain 20\r\n")
        await self.until(lambda: not self.reactor.getReaders() or self.refuses(address))
        self.assertEqual(await self.ask(stays, b"still there?\n"), b"STILL THERE?\n")
        leaves.close()
        await self.until(lambda: len(self.factory.connections) == 2)
        self.clock.advance(19)
        await self.round_trip()
        self.assertEqual(len(self.factory.connections), 2)
        self.clock.advance(1)
        goodbye = b"/bye draining the server is going away: reconnect\r\n"
        self.assertEqual(await stays.read_to_end(), goodbye)
        stays.close()
        await self.until(lambda: len(self.factory.connections) == 1)
        self.assertNoResult(stopped)
        # This one does not close: it is aborted.
        self.clock.pump([GRACE, GRACE])
        await stopped
        self.assertEqual(self.clock.getDelayedCalls(), [])
        await self.all_gone()
        self.assertEqual(
            sorted(end["cause"] for end in self.ends),
            [
                "the client closed",
                "the server is draining",
                "the server is draining, and the client did not let go in time",
            ],
        )

    def refuses(self, address: Any) -> bool:
        try:
            connect(address).close()
        except ConnectionRefusedError:
            return True
        return False

    async def test_drain_ends_with_the_last_client(self) -> None:
        """
        Nobody waits for the time to pass when everybody has left.
        """
        service = await self.start(drain=1_000)
        peers = await self.connected(service, 3)
        stopped = service.stopService()
        for peer in peers:
            self.assertEqual(await self.ask(peer, b""), b"/drain 1000\r\n")
            peer.close()
        await stopped

    async def test_nobody_there(self) -> None:
        """
        Nor when there was nobody.
        """
        service = await self.start(drain=1_000)
        await service.stopService()

    async def test_no_drain(self) -> None:
        """
        With 0 seconds everybody is sent away at once, and is told so.
        """
        service = await self.start(drain=0)
        [peer] = await self.connected(service, 1)
        stopped = service.stopService()
        self.assertEqual(await peer.read_to_end(), b"/bye draining the server is going away: reconnect\r\n")
        peer.close()
        await stopped

    async def test_hurry(self) -> None:
        """
        Whoever is in a hurry need not wait: once for the drain, and once for the goodbyes.
        """
        service = await self.start(drain=1_000)
        [peer] = await self.connected(service, 1)
        stopped = service.stopService()
        self.assertEqual(await self.ask(peer, b""), b"/drain 1000\r\n")
        service.hurry()
        self.assertEqual(await peer.read_to_end(), b"/bye draining the server is going away: reconnect\r\n")
        self.assertNoResult(stopped)
        service.hurry()
        await stopped
        await self.all_gone()

    async def test_hurry_that_comes_early(self) -> None:
        """
        A hurry that comes before there is anything to wait for is not forgotten.
        """
        service = await self.start(drain=1_000)
        [peer] = await self.connected(service, 1)
        service.hurry()
        stopped = service.stopService()
        answer = await peer.read_to_end()
        self.assertTrue(answer.endswith(b"/bye draining the server is going away: reconnect\r\n"), answer)
        peer.close()
        await stopped

    async def test_client_that_never_reads(self) -> None:
        """
        A client that never reads does not keep the server from stopping.
        """
        service = await self.start(drain=10)
        peer = await self.client(service.ports.addresses[0], receive_buffer=SMALL)
        sending = peer.send(b"x\n" * (5 * MEGABYTE))
        await self.until_stuck()
        stopped = service.stopService()
        await self.round_trip()
        self.clock.advance(10)
        await self.round_trip()
        self.clock.advance(GRACE + 1)
        await stopped
        await self.all_gone()
        await sending.addErrback(lambda failure: failure.trap(OSError))


class LeanServiceTests(OverLean, ServiceGuarantees, TestCase):
    """
    Over the lean reactor.
    """


class PlainServiceTests(OverPlain, ServiceGuarantees, TestCase):
    """
    Over the plain reactor.
    """
