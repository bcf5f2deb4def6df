"""
A server whose time the test passes, and its clients: real sockets, since doubles know neither half-closes nor what a
kernel does with bytes.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from echochat.history.memory import MemoryHistory
from echochat.net.gate import Gate
from echochat.net.progress import unsent
from echochat.server.exchange import Exchange
from echochat.server.factory import EchoChatFactory
from echochat.server.settings import ServerSettings
from tests.net.lean.runs import Run
from tests.net.peers import Peer


def make_factory(clock: Clock, gate: Gate | None = None, **settings: Any) -> EchoChatFactory:
    """
    :return: a factory with these settings, and events in memory.
    """
    exchange = Exchange(clock, MemoryHistory(clock))
    exchange.open()
    return EchoChatFactory(clock, ServerSettings(**settings), exchange, gate)


class Serving(Run):
    """
    Mix into a TestCase, after one of the classes of :mod:`tests.net.lean.runs` that tell over what.

    :ivar clock: the server's time.
    :ivar factory: the server's, when :meth:`serve` was called.
    :ivar events: what was logged.
    """

    clock: Clock
    factory: EchoChatFactory

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.events: list[LogEvent] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        # Before Run's own, which closes the sockets and looks for what was left.
        self.addCleanup(self._end_serving)

    @property
    def ends(self) -> list[LogEvent]:
        """
        What was logged of each connection's end.
        """
        return [event for event in self.events if "cause" in event]

    async def serve(self, gate: Gate | None = None, **settings: Any) -> Any:
        """
        :return: the address where a server listens until the test ends.
        """
        self.factory = make_factory(self.clock, gate, **settings)
        return await self.listen(self.factory)

    async def client(self, address: Any, receive_buffer: int = 0) -> Peer:
        """
        :return: a client that is connected there, as the server sees it too.
        """
        before = len(self.factory.connections)
        peer = self.peer(address, receive_buffer)
        await self.until(lambda: len(self.factory.connections) > before)
        return peer

    async def ask(self, peer: Peer, text: bytes) -> bytes:
        """
        Send something, and wait for one line of an answer.
        """
        await peer.send(text)
        answer = b""
        while not answer.endswith(b"\n"):
            answer += await peer.read(1)
        return answer

    async def until_stuck(self) -> None:
        """
        Wait until the server's only client is not read from any more, because all buffers on the way to it are full.
        """
        [connection] = self.factory.connections
        before: object = None
        same = 0
        while same < 5:
            await self.round_trip()
            now = unsent(connection.transport)
            same = same + 1 if connection.full and now == before else 0
            before = now

    def all_gone(self) -> "Deferred[None]":
        """
        Wait until the server has no connections.
        """
        return Deferred.fromCoroutine(self.until(lambda: not self.factory.connections))

    async def _end_serving(self) -> None:
        for peer in self._peers:
            peer.close()
        for port in self._ports:
            if port.connected:
                await port.stopListening()
        for connection in list(self.factory.connections):
            connection.transport.abortConnection()
        await self.all_gone()
        self.assertEqual((self.factory.refusals, self.factory.closer._unsent), (0, {}))
        self.factory.stop_timers()
        await self.factory.exchange.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
