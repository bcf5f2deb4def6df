"""
Tests for :mod:`echochat.balancer.handoff`: a balancer and workers in this process, over real sockets; and as processes.
"""

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.balancer.backends import Backend, Lease
from echochat.balancer.connection import Connection
from echochat.balancer.dispatch import Dispatch
from echochat.balancer.handoff import HandoffRoute, look_at_listening
from echochat.balancer.pool import Pool
from echochat.balancer.proxy import ProxyFactory
from echochat.balancer.settings import BalancerSettings
from echochat.daemon.asking import ask
from echochat.net.gate import Gate
from echochat.net.handoff import channel as channel_module
from echochat.net.handoff.passengers import NotTaken, Unwilling
from echochat.net.lean import LeanReactor
from tests.balancer.doubles import FakeReports
from tests.balancer.operated import backends_of
from tests.net.peers import DEADLINE, Peer, connect
from tests.net.recorders import Recorder, Recording
from tests.processes import Server, start_server

plain: Any = _reactor


class Echo(Recorder):
    """
    Sends back what comes.
    """

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.transport.write(data)


class Worker:
    """
    A worker in this process.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.recorders = Recording(Echo)
        self.port: Any = None

    async def listen(self, reactor: Any) -> None:
        """
        Take connections.
        """
        self.port = await serverFromString(reactor, f"handoff:{self.path}").listen(self.recorders)


class RouteTests(TestCase):
    """
    What a client and an operator see of connections that are handed over.
    """

    def setUp(self) -> None:
        self.patch(channel_module, "FIRST", 0.001)
        self.patch(channel_module, "LONGEST", 0.01)
        self.reactor: Any = LeanReactor(plain)
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.pool = Pool(0)
        self.reports = FakeReports()
        self.routes: dict[Backend, HandoffRoute] = {}
        self.dispatch = Dispatch(plain, self.pool, self.routes.__getitem__, self.reports, connect_timeout=3_600)
        self.pool.freed = self.dispatch.freed
        self.gate = Gate(0)
        self.factory = ProxyFactory(plain, BalancerSettings(), self.dispatch.place, self.reports, self.gate)
        self.journal: list[str] = []
        self.patch(self.factory.journal, "add", lambda ended: self.journal.append(str(ended)))
        self.front: Any = self.reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        self.workers: list[Worker] = []
        self.addCleanup(self._end)

    async def _end(self) -> None:
        await self.front.stopListening()
        for worker in self.workers:
            for recorder in worker.recorders.made:
                if not recorder.times_lost:
                    recorder.transport.abortConnection()
        await self.until(lambda: not self.factory.connections)
        self.assertEqual([backend.active for backend in self.pool], [0] * len(self.pool))
        for route in self.routes.values():
            route.close()
        for worker in self.workers:
            await worker.port.stopListening()
        await self.until(lambda: not self.reactor.getReaders())
        self.factory.stop_timers()
        self.dispatch.stop()
        self.reactor.close()

    async def until(self, true: Callable[[], object]) -> None:
        """
        Let the reactor run until something is so.
        """
        end = plain.seconds() + DEADLINE
        while not true():
            self.assertLess(plain.seconds(), end, "it did not become so")
            await deferLater(plain, 0)

    def backend(self, name: str) -> Backend:
        """
        Have a backend, with or without a worker.
        """
        made = Backend(name, f"handoff:{self.folder}/{name}.sock")
        self.routes[made] = HandoffRoute(self.reactor, made, Random(1), lambda: self.pool.count(made, 0.0))
        self.pool.add(made)
        return made

    async def worker(self, name: str) -> tuple[Worker, Backend]:
        """
        Have a backend with a worker that is ready.
        """
        worker = Worker(f"{self.folder}/{name}.sock")
        await worker.listen(self.reactor)
        self.workers.append(worker)
        backend = self.backend(name)
        self.assertEqual(await self.ready(backend), "answered")
        return worker, backend

    async def ready(self, backend: Backend) -> str:
        """
        Wait until its check is good.
        """
        while True:
            try:
                return await self.routes[backend].check(backend)
            except NotTaken:
                await deferLater(plain, 0)

    def client(self) -> Peer:
        """
        Connect as a client.
        """
        peer = connect(self.front.getHost())
        self.addCleanup(peer.close)
        return peer

    async def test_unread_bytes_and_counts(self) -> None:
        """
        What a client sent before is there for the worker; it counts at its backend until it ends there, with its bytes
        and its cause in the journal, and needs no descriptor and no place at the balancer.
        """
        worker, backend = await self.worker("a")
        client = self.client()
        await client.send(b"waiting")
        await worker.recorders.until_made(1)
        self.assertEqual(await client.read(7), b"waiting")
        self.assertEqual((backend.active, self.gate.inside, len(self.factory.connections)), (1, 0, 1))
        client.close()
        await self.until(lambda: not self.factory.connections)
        self.assertEqual((backend.active, self.gate.inside), (0, 0))
        self.assertEqual((backend.traffic.bytes_in, backend.traffic.bytes_out), (7, 7))
        self.assertRegex(
            self.journal[0], "^connection 1 from .* to a ended .*: client closed; 7 bytes in, 7 bytes out$"
        )
        self.assertEqual(self.reports.told, [("a", "served")])

    async def test_worker_closes(self) -> None:
        """
        A worker that closes at once, and has sent nothing, is reported.
        """
        worker, _ = await self.worker("a")
        client = self.client()
        await worker.recorders.until_made(1)
        worker.recorders.made[0].transport.loseConnection()
        self.assertEqual(await client.read_to_end(), b"")
        await self.until(lambda: self.journal)
        self.assertIn(": backend closed;", self.journal[0])
        self.assertEqual(self.reports.told, [("a", "closed at once")])

    async def test_a_thousand(self) -> None:
        """
        After many connections, several at a time, all counts are zero, each was at one worker, and both had as many.
        """
        first, one = await self.worker("a")
        second, other = await self.worker("b")

        def visit() -> int:
            served = 0
            for _ in range(20):
                peers = [connect(self.front.getHost()) for _ in range(10)]
                for number, peer in enumerate(peers):
                    peer.socket.sendall(b"x" * number + b"\n")
                for number, peer in enumerate(peers):
                    served += peer._take(number + 1) == b"x" * number + b"\n"
                    peer.close()
            return served

        self.assertEqual(sum([await each for each in [deferToThread(visit) for _ in range(5)]]), 1_000)
        await self.until(lambda: not self.factory.connections)
        self.assertEqual((one.active, other.active, self.gate.inside), (0, 0, 0))
        made = len(first.recorders.made), len(second.recorders.made)
        self.assertEqual((sum(made), made), (1_000, (one.traffic.connections, other.traffic.connections)))
        self.assertEqual(one.traffic.bytes_in + other.traffic.bytes_in, 100 * sum(range(1, 11)))

    async def test_full(self) -> None:
        """
        A worker that is full is passed over, and counts neither as failed nor as well; when every one is, the client is
        refused.
        """
        full, backend = await self.worker("a")
        gate = Gate(0)
        gate.guard(full.port)
        gate.hold()
        await self.until(lambda: _is_unwilling(self.routes[backend]))
        with self.assertRaises(Unwilling):
            await self.routes[backend].check(backend)
        client = self.client()
        self.assertTrue(await client.is_reset())
        self.assertIn("it has as many connections as it may have", self.journal[0])
        other, _ = await self.worker("b")
        client = self.client()
        await client.send(b"hello")
        self.assertEqual(await client.read(5), b"hello")
        self.assertEqual((len(full.recorders.made), len(other.recorders.made)), (0, 1))
        self.assertEqual(self.reports.told, [])

    async def test_nobody_there(self) -> None:
        """
        A backend without a worker counts as failed, and another gets the client.
        """
        self.backend("a")
        worker, _ = await self.worker("b")
        client = self.client()
        await client.send(b"hello")
        self.assertEqual(await client.read(5), b"hello")
        await worker.recorders.until_made(1)
        self.assertEqual(self.reports.told, [("a", "No such file or directory")])

    async def test_kicked(self) -> None:
        """
        An operator can close a connection that a worker has.
        """
        worker, _ = await self.worker("a")
        client = self.client()
        await worker.recorders.until_made(1)
        await self.until(lambda: self.connection.joined is not None)
        self.assertTrue(self.connection.kick())
        self.assertTrue(await client.is_reset())
        await self.until(lambda: self.journal)
        self.assertIn(": killed;", self.journal[0])

    async def test_kicked_while_the_channel_is_broken(self) -> None:
        """
        ... also while its worker cannot be told, which the log says: then it is closed when the channel is there again.
        """
        worker, backend = await self.worker("a")
        client = self.client()
        await worker.recorders.until_made(1)
        await self.until(lambda: self.connection.joined is not None)
        logged: list[str] = []
        channel = self.routes[backend]._channel
        self.patch(channel.log, "warn", lambda text, **fields: logged.append(text.format(**fields)))
        # Nobody is asked again before the kick.
        self.patch(channel, "_connect", lambda: None)
        link = channel._link
        assert link is not None
        link.close("the test breaks it")
        self.assertTrue(self.connection.kick())
        self.assertEqual(
            logged[1:],
            [
                "a connection at worker a is closed when its channel is there again: "
                "its channel was closed: the test breaks it"
            ],
        )
        self.assertFalse(worker.recorders.made[0].times_lost)
        del channel._connect
        channel._connect()
        self.assertTrue(await client.is_reset())
        await self.until(lambda: self.journal)
        self.assertIn(": killed;", self.journal[0])
        self.assertEqual(backend.active, 0)

    @property
    def connection(self) -> Connection:
        """
        The only one.
        """
        (connection,) = self.factory.connections.values()
        return connection

    async def test_worker_does_not_answer(self) -> None:
        """
        A client that a worker does not take in time is another's, with all that it has sent; when the first one goes on
        it does not touch it.
        """
        door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        door.bind(f"{self.folder}/a.sock")
        door.listen()
        self.addCleanup(door.close)
        slow = self.backend("a")
        await self.until(lambda: self.routes[slow]._channel._link is not None)
        worker, _ = await self.worker("b")
        client = self.client()
        await client.send(b"hello")
        await self.until(lambda: self.factory.connections)
        self.assertEqual((slow.active, worker.recorders.made), (1, []))
        self.dispatch.connect_timeout = 0.001
        self.assertEqual(await client.read(5), b"hello")
        self.assertEqual(slow.active, 0)
        self.assertEqual(self.reports.told, [("a", "no connection in time")])

    async def test_left_with_its_worker(self) -> None:
        """
        A balancer that is stopped lets the connections go that workers have, and they go on.
        """
        worker, backend = await self.worker("a")
        client = self.client()
        await worker.recorders.until_made(1)
        await self.until(lambda: self.connection.joined is not None)
        self.connection.carrier.let_go()
        self.assertEqual((self.factory.connections, backend.active), ({}, 0))
        self.assertIn(": left with its backend;", self.journal[0])
        self.routes[backend].close()
        await self.until(lambda: not worker.port._channels)
        await client.send(b"still here")
        self.assertEqual(await client.read(10), b"still here")

    async def test_strangers(self) -> None:
        """
        What a balancer that is gone has handed over counts at the one that comes after it, until it ends; it is not
        chosen for new clients meanwhile when another has fewer, and ``remove`` waits for it.
        """
        worker, first = await self.worker("a")
        clients = [self.client() for _ in range(3)]
        await worker.recorders.until_made(3)
        await self.until(lambda: all(each.joined is not None for each in self.factory.connections.values()))
        for connection in [*self.factory.connections.values()]:
            connection.carrier.let_go()
        self.pool.remove(first)
        self.routes.pop(first).close()
        await self.until(lambda: not worker.port._channels)
        again = self.backend("a")
        await self.ready(again)
        await self.until(lambda: again.active == 3)
        self.assertEqual((again.traffic.connections, len(self.factory.connections)), (0, 0))
        other, _ = await self.worker("b")
        more = self.client()
        await other.recorders.until_made(1)
        clients[0].close()
        await self.until(lambda: again.active == 2)
        route = self.routes[again]
        route.close()
        self.assertTrue(route._channel._link)
        for client in (*clients[1:], more):
            client.close()
        await self.until(lambda: again.active == 0)
        await self.until(lambda: not worker.port._channels)

    async def test_asked_to_move(self) -> None:
        """
        A worker's sessions are asked to move over the channel.
        """
        worker, backend = await self.worker("a")
        asked: list[Any] = []
        recorders: Any = worker.recorders

        def move(count: int | None, seconds: float) -> int:
            asked.append((count, seconds))
            return 7

        recorders.move = move
        self.assertEqual(await self.routes[backend].move(None, 1.5), 7)
        self.assertEqual(asked, [(None, 1.5)])


class RefusalTests(SynchronousTestCase):
    """
    What cannot be handed over.
    """

    def test_listening(self) -> None:
        """
        What a port with TLS or PROXY headers accepts is refused in one sentence that names it.
        """
        look_at_listening(["tcp:7000", "unix:/run/lb"])
        for endpoint in ("tls:7443:cert=a", "proxied:from=10.0.0.1:tcp:7000"):
            with self.assertRaisesRegex(ValueError, f"--listen {endpoint.partition(':')[0]}: cannot be handed over"):
                look_at_listening(["tcp:7000", endpoint])

    def test_endpoint(self) -> None:
        """
        So is an endpoint that makes no sense, and a reactor that reads before anybody can ask.
        """
        for endpoint in ("handoff:", "handoff:a:b"):
            with self.assertRaisesRegex(ValueError, "needs the path of a socket and nothing else"):
                HandoffRoute(plain, Backend("a", endpoint), Random(1), _nobody)
        with self.assertRaisesRegex(ValueError, "needs a system with epoll"):
            HandoffRoute(plain, Backend("a", "handoff:a"), Random(1), _nobody)


class ProcessTests(TestCase):
    """
    ``twistd echochat-lb`` in front of two ``twistd echochat``.
    """

    timeout = 120

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    async def worker(self, name: str) -> Server:
        """
        Start a worker.
        """
        socket_path = f"{self.folder}/{name}.sock"
        server = start_server(self, "--listen", f"handoff:{socket_path}", "--history", "memory:")
        await server.until(rb"listening on handoff:")
        return server

    async def front(self, *names: str) -> tuple[Server, int]:
        """
        Start a balancer, and wait until it has its workers.
        """
        backends = [word for name in names for word in ("--backend", f"{name}=handoff:{self.folder}/{name}.sock")]
        control = ("--control", f"unix:{self.folder}/control")
        balancer = start_server(self, *backends, *control, "--slow-start", "0", service="echochat-lb")
        port = await balancer.port()
        for name in names:
            await balancer.until(rb"worker %s is connected" % name.encode())
        return balancer, port

    def client(self, port: int) -> Peer:
        """
        Connect as a client.
        """
        peer = Peer(socket.create_connection(("127.0.0.1", port)))
        self.addCleanup(peer.close)
        return peer

    async def say(self, client: Peer, text: bytes) -> bytes:
        """
        Say a line, and wait for its answer.
        """
        await client.send(text + b"\n")
        return await client.read(len(text) + 1)

    async def test_workers_come_and_go(self) -> None:
        """
        A worker that is killed costs its own clients and nobody else; the clients that come after it are the other's;
        when it is started again it gets some. A worker that is stopped gets no more, and tells its clients to move.
        """
        first, second = await self.worker("w1"), await self.worker("w2")
        balancer, port = await self.front("w1", "w2")
        clients = [self.client(port) for _ in range(4)]
        self.assertEqual([await self.say(each, b"hello") for each in clients], [b"HELLO\n"] * 4)
        await first.stop(signal.SIGKILL)
        ended = [await each.read_to_end() for each in clients[::2]]
        self.assertEqual((ended, await self.say(clients[1], b"on")), ([b"", b""], b"ON\n"))
        await balancer.until(rb"to w1 ended .*: the backend died", 2)
        more = [self.client(port) for _ in range(4)]
        self.assertEqual([await self.say(each, b"hello") for each in more], [b"HELLO\n"] * 4)
        await self.worker("w1")
        await balancer.until(rb"worker w1 is connected", 2)
        await balancer.until(rb"backend w1 is up")
        late = [self.client(port) for _ in range(2)]
        self.assertEqual([await self.say(each, b"hello") for each in late], [b"HELLO\n"] * 2)
        stopped: Deferred[int] = second.stop()
        self.assertRegex(await more[0].read_some(), rb"^/drain ")
        await balancer.until(rb"worker w2 is stopping")
        last = self.client(port)
        self.assertEqual(await self.say(last, b"hello"), b"HELLO\n")
        for each in (*clients, *more):
            each.close()
        self.assertEqual(await stopped, 0)
        self.assertEqual([await self.say(each, b"on") for each in (*late, last)], [b"ON\n"] * 3)

    async def test_balancer_is_restarted(self) -> None:
        """
        A balancer that is stopped, and one that is killed, costs no session, and waits for none.
        """
        await self.worker("w1")
        balancer, port = await self.front("w1")
        client = self.client(port)
        self.assertEqual(await self.say(client, b"one"), b"ONE\n")
        self.assertEqual(await balancer.stop(), 0)
        self.assertNotIn(b"draining", balancer.output)
        self.assertEqual(await self.say(client, b"two"), b"TWO\n")
        balancer, port = await self.front("w1")
        other = self.client(port)
        self.assertEqual(await self.say(other, b"one"), b"ONE\n")
        await balancer.stop(signal.SIGKILL)
        self.assertEqual([await self.say(each, b"three") for each in (client, other)], [b"THREE\n"] * 2)

    async def test_counts_after_a_kill(self) -> None:
        """
        A balancer that comes after one that was killed counts the sessions that it left with their workers: who comes
        then gets to where there are fewer, a drain asks them to move, and each that ends counts no more.
        """
        await self.worker("w1")
        await self.worker("w2")
        balancer, port = await self.front("w1")
        clients = [self.client(port) for _ in range(3)]
        self.assertEqual([await self.say(each, b"hello") for each in clients], [b"HELLO\n"] * 3)
        await balancer.stop(signal.SIGKILL)
        self.assertEqual([await self.say(each, b"on") for each in clients], [b"ON\n"] * 3)
        balancer, port = await self.front("w1", "w2")
        await self.until_active(w1=3, w2=0)
        more = [self.client(port) for _ in range(3)]
        self.assertEqual([await self.say(each, b"hello") for each in more], [b"HELLO\n"] * 3)
        await self.until_active(w1=3, w2=3)
        clients[0].close()
        await self.until_active(w1=2, w2=3)
        await self.operate("/drain w1 0")
        for each in clients[1:]:
            self.assertRegex(await each.read_some(), rb"^/drain ")
            each.close()
        await self.until_active(w1=0, w2=3)
        self.assertEqual([await self.say(each, b"on") for each in more], [b"ON\n"] * 3)

    async def operate(self, line: str) -> list[str]:
        """
        Tell the balancer something, as an operator.
        """
        items, _ = await ask(plain, plain, f"unix:{self.folder}/control", line)
        return items

    async def until_active(self, **expected: int) -> None:
        """
        Wait until the backends have so many connections.
        """
        end = plain.seconds() + DEADLINE
        while True:
            items = await self.operate("/status")
            backends = backends_of([f"/info {item}" for item in items])
            active = {name: each["active"] for name, each in backends.items()}
            if active == expected:
                return
            self.assertLess(plain.seconds(), end, f"there are {active}, and not {expected}")
            await deferLater(plain, 0)

    async def test_what_cannot_be_handed_over(self) -> None:
        """
        A port whose connections cannot be handed over is refused at the start, in one line.
        """
        balancer = start_server(
            self,
            *("--listen", "proxied:from=127.0.0.1:tcp:0", "--backend", "w1=handoff:w1.sock"),
            service="echochat-lb",
        )
        self.assertEqual(await balancer.end(), 1)
        self.assertEqual(balancer.output.count(b"\n"), 1)
        self.assertRegex(balancer.output, rb"backend w1: connections of --listen proxied: cannot be handed over")

    async def test_killed_before_it_answers(self) -> None:
        """
        A worker that dies with clients that it was handed, and has not taken, loses none of them, nor what they sent.
        """
        first = await self.worker("w1")
        await self.worker("w2")
        balancer, port = await self.front("w1", "w2")
        os.kill(first.pid, signal.SIGSTOP)
        clients = [self.client(port) for _ in range(6)]
        for each in clients:
            await each.send(b"hello\n")
        # Of six, each gets three; those of the other are served meanwhile.
        self.assertEqual([await each.read(6) for each in clients[1::2]], [b"HELLO\n"] * 3)
        await first.stop(signal.SIGKILL)
        self.assertEqual([await each.read(6) for each in clients[::2]], [b"HELLO\n"] * 3)
        await balancer.stop(signal.SIGKILL)


def _nobody() -> Lease:
    raise AssertionError("there is nobody to be counted")


def _is_unwilling(route: HandoffRoute) -> bool:
    link = route._channel._link
    return link is not None and bool(link.willing)
