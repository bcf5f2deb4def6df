"""
Backends that do one thing each.

A balancer's health checks connect to them, too. So what is counted is who has spoken, which a check never does.
"""

import socket
from typing import Any

from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure

from echochat.wire.proxy import ProxyHeaderReader
from tests.balancer.scenarios.ends import Changing, End, reactor
from tests.ports import free_port


class Standing(End):
    """
    Answers each line with the backend's name and the line, and closes when its client does.
    """

    stand: "Stand"

    def connectionMade(self) -> None:
        super().connectionMade()
        self.stand.connections.append(self)
        self.stand.changed()

    def dataReceived(self, data: bytes) -> None:
        self.stand.sessions[self] = None
        super().dataReceived(data)
        *lines, self.received = self.received.split(b"\n")
        for line in lines:
            self.send(self.answer(line.strip()) + b"\n")
        self.stand.changed()

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.stand.connections.remove(self)
        self.stand.sessions.pop(self, None)
        self.stand.changed()

    # Ours

    def answer(self, line: bytes) -> bytes:
        return f"{self.stand.name} ".encode() + line


class Raw(Standing):
    """
    Does what the test says.
    """

    def dataReceived(self, data: bytes) -> None:
        self.stand.sessions[self] = None
        End.dataReceived(self, data)

    def readConnectionLost(self) -> None:
        End.readConnectionLost(self)


class Closing(Standing):
    """
    Closes at once.
    """

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.loseConnection()


class Greeting(Standing):
    """
    Speaks first.
    """

    def connectionMade(self) -> None:
        super().connectionMade()
        self.send(f"{self.stand.name} greets you\n".encode())


class Informed(Standing):
    """
    Wants a PROXY header, and answers each line with the address in it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._reader = ProxyHeaderReader()
        self._origin = b""

    def dataReceived(self, data: bytes) -> None:
        if not self._origin:
            header = self._reader.feed(data)
            if header is None:
                return
            source: Any = header.source
            self._origin = b"local" if source is None else f"{source.host} {source.port}".encode()
            data = self._reader.rest
        if data:
            super().dataReceived(data)

    def answer(self, line: bytes) -> bytes:
        return self._origin


class Stand(Changing, Factory):
    """
    A backend.

    :ivar connections: that there are, the oldest first.
    :ivar sessions: those of them that have sent something, likewise.
    :ivar accepted: how many connections there have ever been.
    """

    noisy = False

    def __init__(self, name: str, kind: type[Standing]) -> None:
        super().__init__()
        self.name = name
        self.port = free_port()
        self.connections: list[Standing] = []
        self.sessions: dict[Standing, None] = {}
        self.accepted = 0
        self._kind = kind
        self._listening: Any = None

    # Called by Twisted

    def buildProtocol(self, addr: object) -> Standing:
        standing = self._kind()
        standing.stand = self
        self.accepted += 1
        return standing

    # Ours

    def open(self) -> None:
        """
        Listen, always on the same port.
        """
        self._listening = reactor.listenTCP(self.port, self, backlog=1024, interface="127.0.0.1")

    async def close(self) -> None:
        """
        Listen no more; connections stay.
        """
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.stopListening()

    async def fall(self) -> None:
        """
        Listen no more, and reset all connections, as when its process is killed.
        """
        await self.close()
        for each in [*self.connections]:
            each.transport.abortConnection()
        await self.until(lambda: not self.connections)


class BlackHole:
    """
    A backend that does not even refuse: its queue is full and nobody accepts, so the kernel drops every SYN.
    """

    def __init__(self) -> None:
        self._listening = socket.socket()
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen(0)
        self.port: int = self._listening.getsockname()[1]
        self._filling = [socket.socket() for _ in range(4)]
        for each in self._filling:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", self.port))

    def close(self) -> None:
        """
        Refuse from now on.
        """
        for each in (*self._filling, self._listening):
            each.close()
