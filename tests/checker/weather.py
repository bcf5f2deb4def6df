"""
A network that is bad: a relay between clients and the server that drops and freezes connections.
"""

from random import Random
from typing import Any

from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol


class _End(Protocol):
    """
    One end of a relayed connection.
    """

    transport: Any
    peer: "_End | None" = None

    def __init__(self, weather: "Weather") -> None:
        self.weather = weather
        self.frozen = False
        self.waiting: list[bytes] = []

    def connectionMade(self) -> None:
        if self.peer is None:
            self._reach_server()
            return
        self.weather.pairs.append((self.peer, self))
        self.transport.registerProducer(self.peer.transport, True)
        self.peer.transport.registerProducer(self.transport, True)
        for data in self.peer.waiting:
            self.transport.write(data)

    def _reach_server(self) -> None:
        server = _End(self.weather)
        server.peer = self
        reached = connectProtocol(self.weather.server, server)
        reached.addCallbacks(self._reached, lambda _: self.transport.abortConnection())

    def _reached(self, server: "_End") -> None:
        self.peer = server
        if self.transport.disconnected:
            server.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if self.frozen:
            return
        if self.peer is None:
            self.waiting.append(data)
        else:
            self.peer.transport.write(data)

    def connectionLost(self, reason: object = None) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.unregisterProducer()
            self.peer.transport.abortConnection()
        self.weather.pairs = [pair for pair in self.weather.pairs if self not in pair]


class Weather(Factory):
    """
    Relays to a server's port.

    :param reactor: a real one.
    :param port: the server's.
    :param host: where that is.
    """

    noisy = False

    def __init__(self, reactor: Any, port: int, host: str = "127.0.0.1") -> None:
        self.server = TCP4ClientEndpoint(reactor, host, port)
        self.pairs: list[tuple[_End, _End]] = []

    def buildProtocol(self, addr: object) -> _End:
        return _End(self)

    def drop(self, random: Random) -> None:
        """
        Reset one connection, if there is any.
        """
        if self.pairs:
            client, server = random.choice(self.pairs)
            client.transport.abortConnection()
            server.transport.abortConnection()

    def half_open(self, random: Random) -> None:
        """
        Cut one connection between the relay and the server, and swallow what was on the way to either end; the client
        learns of it a little later.
        """
        if self.pairs:
            client, server = random.choice(self.pairs)
            client.frozen = server.frozen = True
            client.transport.reactor.callLater(0.2, client.transport.abortConnection)
