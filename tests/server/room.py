"""
A server and its clients in memory: every byte arrives, every turn passes and every client reads when a test says so.
"""

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableDescriptor, ITransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from echochat.chat.people import People
from echochat.chat.person import Commons
from echochat.history.interface import IHistory
from echochat.history.memory import MemoryHistory
from echochat.server.exchange import Exchange
from echochat.server.factory import EchoChatFactory
from echochat.server.settings import ServerSettings
from echochat.wire.answers import Answer, parse_answer

HIGH_WATER = 65_536
"""
What a transport of Twisted's buffers before it tells its producer to pause.
"""


class _Unsent(FileDescriptor):
    """
    What a transport of Twisted's has for its buffer: so can be asked how much waits for a client.
    """

    _tempDataLen = 0

    def __init__(self, client: "Client") -> None:
        self._client = client

    @property
    def dataBuffer(self) -> bytes:  # type: ignore[override]  # Twisted's is an attribute
        return self._client.held

    def fileno(self) -> int:
        return -1


@implementer(ITransport, IHalfCloseableDescriptor)
class Client:
    """
    A client, and the transport of the server's connection to it. What the server writes is taken at once while the
    client reads; else it is buffered, and the producer paused, as a TCP transport of Twisted's does it.

    :ivar received: all that the client has taken.
    :ivar on_received: is called when it takes what was just written.
    :ivar held: what it has not.
    :ivar most_held: the most bytes that were ever buffered.
    :ivar ended: whether the server has closed the connection, at least its own half.
    """

    def __init__(self, clock: Any, host: str) -> None:
        self.received = b""
        self.held = b""
        self.most_held = 0
        self.writes = 0
        self.ended = False
        self.gone = False
        self.protocol: Any = None
        self.transport = _Unsent(self)
        self.on_received: Callable[[], object] = lambda: None
        self._host = host
        self._clock = clock
        self._reads = True
        self._producer: Any = None
        self._producer_paused = False
        self._paused = False
        self._inbound: list[bytes] = []
        self._half_closed = False
        self._end_told = False
        self._seen = 0
        self._borrower: Any = None
        self._room = 0
        self._kernel = b""

    # What a test does

    def say(self, data: bytes) -> None:
        """
        Send a segment. It arrives at once if the server reads, else when it reads again.
        """
        self._inbound.append(data)
        self._pump()

    def half_close(self) -> None:
        """
        Send nothing more.
        """
        self._half_closed = True
        self._pump()

    def stop_reading(self, room: int = 0) -> None:
        """
        Take nothing any more.

        :param room: so many bytes the kernel still takes.
        """
        self._reads = False
        self._room = room

    def be_full(self) -> None:
        """
        Have the transport say that it takes no more for now.
        """
        self._reads = False
        self._pause_producer()

    def read(self, size: int | None = None) -> None:
        """
        Take so many bytes of what is buffered; or all of it, and whatever comes.
        """
        if size is None:
            self._reads = True
            size = len(self.held)
        self.received += self._kernel
        self._kernel = b""
        self.received += self.held[:size]
        self.held = self.held[size:]
        if not self.held and self._producer_paused:
            self._producer_paused = False
            if self._producer is not None:
                self._producer.resumeProducing()
        self._finish()

    def vanish(self) -> None:
        """
        Be gone without a word.
        """
        self._lose(ConnectionLost())

    def news(self) -> list[str]:
        """
        The lines that came since the last time, without their ends.
        """
        end = self.received.rfind(b"\n") + 1
        start, self._seen = self._seen, max(end, self._seen)
        return self.received[start:end].decode().split("\r\n")[:-1]

    def answers(self) -> list[Answer]:
        """
        The same, read as a program does.
        """
        return [parse_answer(line) for line in self.news()]

    @property
    def full(self) -> bool:
        """
        Whether the server was told to write no more.
        """
        return self._producer_paused

    @property
    def is_read_from(self) -> bool:
        """
        Whether the server takes what this client says.
        """
        return not self._paused

    # Called by the protocol

    def write(self, data: bytes) -> None:
        assert not self.ended, data
        self.writes += 1
        taken = 0 if self.held else self._take(data)
        if taken == len(data):
            self.on_received()
            return
        self.held += data[taken:]
        self.most_held = max(self.most_held, len(self.held))
        if len(self.held) > HIGH_WATER:
            self._pause_producer()
        self._call_back()

    def lend(self, borrower: Any) -> Callable[[bytes], int] | None:
        if self.held or self.ended:
            return None
        self._borrower = borrower
        return self.send

    def send(self, data: bytes) -> int:
        """
        What is lent.
        """
        assert self._borrower is not None, "it was called back"
        taken = self._take(data)
        if not taken:
            raise BlockingIOError
        return taken

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        if self._paused:
            self._paused = False
            self._clock.callLater(0, self._pump)

    def loseConnection(self) -> None:
        self._call_back()
        self.ended = self._half_closed = True
        self._finish()

    def loseWriteConnection(self) -> None:
        self._call_back()
        self.ended = True
        self._finish()

    def abortConnection(self) -> None:
        self._lose(ConnectionAborted())

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", self._host, 12345)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", self._host, 7007)

    # Called by a reactor, which is not here

    def readConnectionLost(self, reason: Failure) -> None:
        raise NotImplementedError

    def writeConnectionLost(self, reason: Failure) -> None:
        raise NotImplementedError

    # Ours

    def _take(self, data: bytes) -> int:
        if self._reads:
            self.received += data
            return len(data)
        taken = data[: self._room]
        self._room -= len(taken)
        self._kernel += taken
        return len(taken)

    def _call_back(self) -> None:
        borrower, self._borrower = self._borrower, None
        if borrower is not None:
            borrower.called_back()

    def _pause_producer(self) -> None:
        if self._producer is not None and not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()

    def _pump(self) -> None:
        while self._inbound and not self._paused and not self.gone:
            self.protocol.dataReceived(self._inbound.pop(0))
        if self._half_closed and not self._inbound and not self._paused and not self.gone:
            if not self._end_told:
                self._end_told = True
                self.protocol.readConnectionLost()
            self._finish()

    def _finish(self) -> None:
        """
        Both have closed, and all was taken.
        """
        if self.ended and self._half_closed and not self.held and not self._kernel:
            self._lose(ConnectionDone())

    def _lose(self, why: Exception) -> None:
        if not self.gone:
            self.gone = self.ended = True
            self._producer = None
            self.protocol.connectionLost(Failure(why))


class Room:
    """
    A server on a clock that stands still unless it is told.

    :param clock: the history's, if that has one: another :class:`Clock`, or a reactor, which runs by itself.
    :ivar history: where it keeps events; in memory, if not another one.
    :ivar opened: fires when the history is open.
    """

    def __init__(
        self,
        history: IHistory | None = None,
        settings: ServerSettings | None = None,
        clock: Any = None,
    ) -> None:
        self.clock: Any = clock if clock is not None else Clock()
        self.history = history if history is not None else MemoryHistory(self.clock, monotonic=self.clock.seconds)
        self.exchange = Exchange(self.clock, self.history)
        self.factory = EchoChatFactory(self.clock, settings or ServerSettings(first_line=0), self.exchange)
        numbers = count(1)
        self.factory.commons = Commons(
            People(lambda: str(next(numbers))), lambda: int(self.clock.seconds() * 1000), self.clock.seconds
        )
        self.opened = self.exchange.open()
        self.clients: list[Client] = []

    def connect(self, host: str = "127.0.0.1") -> Client:
        """
        Let a client come.
        """
        client = Client(self.clock, host)
        client.protocol = self.factory.buildProtocol(IPv4Address("TCP", host, 12345))
        client.protocol.makeConnection(client)
        self.clients.append(client)
        return client

    def turns(self, number: int = 8) -> None:
        """
        Let turns of the reactor pass, and no time.
        """
        for _ in range(number):
            self.clock.advance(0)

    def ask(self, client: Client, line: str) -> list[str]:
        """
        Say a line, and let turns pass.

        :return: what comes because of it, and what had come before and was not looked at.
        """
        client.say(line.encode() + b"\n")
        self.turns()
        return client.news()

    def empty(self) -> None:
        """
        Let everybody go, and stop the timers.
        """
        for client in self.clients:
            client.vanish()
        if isinstance(self.clock, Clock):
            self.turns()
        self.factory.stop_timers()
