"""
A balancer in this process with one backend, whose two ends are blocking sockets of the test's.
"""

import hashlib
import random
import socket
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from echochat.balancer.backends import Backend
from echochat.balancer.connection import Connection
from echochat.balancer.dispatch import Dispatch
from echochat.balancer.pool import Pool
from echochat.balancer.proxy import ProxyFactory
from echochat.balancer.relaying import RelayRoute
from echochat.balancer.settings import BalancerSettings
from echochat.net.lean import LeanReactor
from tests.balancer.doubles import FakeReports
from tests.net.peers import DEADLINE, Peer, connect

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase

    _Base = TestCase
else:
    _Base = object

plain: Any = _reactor


class Slow:
    """
    A route that goes on when it is told to.
    """

    def __init__(self, behind: Any) -> None:
        self._behind = behind
        self._start: Deferred[None] = Deferred()
        self.cancelled = 0
        self.opened = 0

    def open(self, client: Any) -> "Deferred[None]":
        self.opened += 1
        self._start = Deferred(self._cancel)
        return self._start.addCallback(lambda _: self._behind.open(client))

    def close(self) -> None:
        """
        Nothing is open.
        """

    def go_on(self) -> None:
        self._start.callback(None)

    def _cancel(self, _: object) -> None:
        self.cancelled += 1


class Refusing:
    """
    A route to a backend that refuses: at once, or when it is told to.
    """

    def __init__(self, at_once: bool) -> None:
        self._refusal: Deferred[None] = Deferred()
        self._at_once = at_once
        self.opened = 0

    def open(self, client: Any) -> "Deferred[None]":
        self.opened += 1
        if self._at_once:
            self._refusal.errback(ConnectionRefusedError())
        return self._refusal

    def close(self) -> None:
        """
        Nothing is open.
        """

    def refuse(self) -> None:
        if not self._at_once:
            self._refusal.errback(ConnectionRefusedError())


class CountingFactory(ProxyFactory):
    """
    Knows why connections have ended.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.causes: Counter[str] = Counter()

    def ended(self, connection: Connection, cause: str, bytes_in: int, bytes_out: int) -> None:
        self.causes[cause] += 1
        super().ended(connection, cause, bytes_in, bytes_out)


class Balanced(_Base):
    """
    Mix into a TestCase, after one of the classes below that tell over what.
    """

    reactor: Any

    def make_reactor(self) -> Any:
        raise NotImplementedError

    def setUp(self) -> None:
        self.reactor = self.make_reactor()
        self.settings = BalancerSettings()
        self.server = self.listen()
        self.pool = Pool()
        self.reports = FakeReports()
        self.backend = Backend("a", self.endpoint())
        self.pool.add(self.backend)
        self.route: Any = RelayRoute(self.reactor, self.backend, None)
        self.dispatch = Dispatch(self.reactor, self.pool, lambda _: self.route, self.reports)
        self.pool.freed = self.dispatch.freed
        self.factory = CountingFactory(self.reactor, self.settings, self.dispatch.place, self.reports)
        self.addCleanup(self._end)
        self._port: Any = None

    def listen(self) -> socket.socket:
        """
        Make the socket on which the backend listens.
        """
        listening = socket.create_server(("127.0.0.1", 0))
        listening.settimeout(DEADLINE)
        self.addCleanup(listening.close)
        return listening

    def endpoint(self) -> str:
        """
        Where that is.
        """
        return f"tcp:127.0.0.1:{self.server.getsockname()[1]}"

    async def port(self) -> Any:
        """
        Where the balancer listens.
        """
        if self._port is None:
            self._port = self.reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        return self._port

    async def client(self) -> Peer:
        """
        Connect as a client.
        """
        peer = connect((await self.port()).getHost())
        self.addCleanup(peer.close)
        return peer

    async def accepted(self) -> Peer:
        """
        Wait for a connection to the backend.
        """
        accepted, _ = await deferToThread(self.server.accept)
        peer = Peer(accepted)
        self.addCleanup(peer.close)
        return peer

    async def pair(self) -> tuple[Peer, Peer]:
        """
        A client, and its connection at the backend.
        """
        client = await self.client()
        return client, await self.accepted()

    async def until(self, true: Callable[[], object]) -> None:
        """
        Let the reactor run until something is so.
        """
        end = plain.seconds() + DEADLINE
        while not true():
            if plain.seconds() > end:
                self.fail("it did not become so")
            await deferLater(plain, 0, lambda: None)

    async def over(self, cause: str) -> None:
        """
        Wait for the end of the only connection: it was counted, its lease is given back, and the cause is right.
        """
        await self.until(lambda: not self.factory.connections)
        self.assertEqual((dict(self.factory.causes), self.backend.active), ({cause: 1}, 0))

    async def _end(self) -> None:
        if self._port is not None:
            await self._port.stopListening()
        for connection in list(self.factory.connections.values()):
            connection.close("the test is over")
        await self.until(lambda: not self.factory.connections)
        self.assertEqual(self.backend.active, 0)
        self.factory.stop_timers()
        self.dispatch.stop()
        if isinstance(self.reactor, LeanReactor):
            self.reactor.close()


class OverSockets:
    """
    Plain sockets in the lean reactor.
    """

    def make_reactor(self) -> Any:
        return LeanReactor(plain)


class OverPlain:
    """
    Twisted's own transports, on the reactor that runs the tests.
    """

    def make_reactor(self) -> Any:
        return plain


def send_chunks(peer: Peer, seed: int, size: int) -> "Deferred[str]":
    """
    Send so many random bytes in chunks of random sizes, and then the end.

    :return: their checksum.
    """

    def send() -> str:
        chosen = random.Random(seed)
        block = chosen.randbytes(1 << 18)
        checksum, left = hashlib.sha256(), size
        while left:
            chunk = block[: min(left, chosen.choice((1, 40, 1_000, 16_384, 70_000, 1 << 18)))]
            checksum.update(chunk)
            peer.socket.sendall(chunk)
            left -= len(chunk)
        peer.finish()
        return checksum.hexdigest()

    return deferToThread(send)


def read_checksum(peer: Peer) -> "Deferred[str]":
    """
    Read up to the end.

    :return: the checksum of what came.
    """

    def read() -> str:
        checksum = hashlib.sha256()
        while data := peer.socket.recv(1 << 18):
            checksum.update(data)
        return checksum.hexdigest()

    return deferToThread(read)
