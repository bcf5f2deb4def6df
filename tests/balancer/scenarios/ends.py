"""
The ends of connections through a balancer: clients, and what stands behind it. They run in the process of the tests, on
real sockets of loopback, and every wait has a deadline.
"""

import hashlib
from collections.abc import Callable
from random import Random
from typing import Any, Final

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IHalfCloseableProtocol, IPullProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

reactor: Any = _reactor

PATIENCE: Final = 15.0
"""
Seconds after which what is waited for is not coming any more: much for a busy machine, and little for all that do not
pass a scenario.
"""

_PIECE: Final = Random(0).randbytes(1 << 16)
_KEPT: Final = 1 << 16
_STILL: Final = 10
"""
As often as this has to be seen that nothing moves until it counts as stuck.
"""


class Changing:
    """
    Something whose state tests wait for.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def changed(self) -> None:
        """
        Look again at what is waited for.
        """
        for waiting in [each for each in self._waiting if each[0]()]:
            self._waiting.remove(waiting)
            waiting[1].callback(None)

    async def until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """
        Wait until the condition holds.

        :raises TimeoutError: it does not, after so long.
        """
        if condition():
            return
        waiting: tuple[Callable[[], bool], Deferred[None]] = condition, Deferred()
        self._waiting.append(waiting)
        waiting[1].addTimeout(seconds, reactor)
        try:
            await waiting[1]
        finally:
            self._waiting = [each for each in self._waiting if each is not waiting]


@implementer(IHalfCloseableProtocol, IPullProducer)
class End(Changing, Protocol):
    """
    One end of a connection, which sends and takes bytes as it is told to.

    :ivar received: what came and was not asked for yet, at most the last 64 KiB of it.
    :ivar taken: how many bytes came.
    :ivar given: how many bytes were written, which is more than was taken by anybody.
    :ivar has_finished: the other side will send nothing more.
    :ivar why: the connection is gone for this reason.
    """

    transport: Any

    def __init__(self) -> None:
        super().__init__()
        self.received = b""
        self.taken = self.given = 0
        self.digest, self.sent_digest = hashlib.sha256(), hashlib.sha256()
        self.has_finished = False
        self.why: Failure | None = None
        self._random = Random(0)
        self._left = 0
        self._given_before = -1
        self._still = 0

    # Called by Twisted

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self.taken += len(data)
        self.digest.update(data)
        self.received = (self.received + data)[-_KEPT:]
        self.changed()

    def readConnectionLost(self) -> None:
        self.has_finished = True
        self.changed()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.has_finished, self.why = True, reason
        self.changed()

    def resumeProducing(self) -> None:
        # Sizes differ by three orders of magnitude, so that chunks are cut everywhere.
        piece = _PIECE[: min(self._left, self._random.choice((17, 1_000, 30_000, 65_536)))]
        self._left -= len(piece)
        self.send(piece)
        if not self._left:
            self.transport.unregisterProducer()
        self.changed()

    def stopProducing(self) -> None:
        self._left = 0

    # Ours

    def is_stuck(self) -> bool:
        """
        Whether nothing more has been taken for a while; to be asked again and again.
        """
        given, before = self.given, self._given_before
        self._given_before = given
        self._still = self._still + 1 if given == before else 0
        return self._still > _STILL

    @property
    def is_gone(self) -> bool:
        """
        Whether there is no connection any more.
        """
        return self.why is not None

    @property
    def has_poured(self) -> bool:
        """
        Whether all that was to be poured has been written.
        """
        return not self._left

    def send(self, data: bytes) -> None:
        """
        Send this.
        """
        self.given += len(data)
        self.sent_digest.update(data)
        self.transport.write(data)

    def pour(self, size: int, seed: int) -> None:
        """
        Send so many bytes, in pieces of random sizes, as fast as they are taken.
        """
        self._random, self._left = Random(seed), size
        self.transport.registerProducer(self, False)

    async def line(self) -> bytes:
        """
        The next line; what there is, when the other side has finished.
        """
        await self.until(lambda: b"\n" in self.received or self.has_finished)
        line, _, self.received = self.received.partition(b"\n")
        return line

    async def ask(self, question: bytes = b"who") -> bytes:
        """
        Send a line, and return the one that comes back; nothing, when none does.
        """
        self.send(question + b"\n")
        return await self.line()

    async def hang_up(self) -> None:
        """
        Say that nothing more will come, and wait until the other side has nothing more to say, either: a balancer is
        done with the connection then.
        """
        self.transport.loseWriteConnection()
        await self.until(lambda: self.has_finished)
        self.transport.loseConnection()
        await self.until(lambda: self.is_gone)


async def call(port: int) -> End:
    """
    Connect there.
    """
    connecting = connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port, timeout=PATIENCE), End())
    end: End = await connecting
    return end
