"""
Trying the table of :mod:`tests.server.conformance` over whatever connects, and a client on a socket to try it with.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.processes import DEADLINE
from tests.server.conformance import Case, End

reactor: Any = _reactor

STILL_HERE = b"/ping#still-here\r\n"
YES = b"/ok#still-here ping\r\n"
"""
Asked and answered behind a case that leaves the connection open: what came before is all that the case was answered.
"""


class Client(Protocol):
    """
    The other end of a connection to the server.

    :ivar received: all that came.
    """

    received: bytes

    def send(self, data: bytes) -> Awaitable[None]:
        """
        Send a segment.
        """

    def half_close(self) -> None:
        """
        Send nothing more.
        """

    def until(self, ending: bytes) -> "Deferred[None]":
        """
        Wait until what came ends so.
        """

    def told(self, text: bytes) -> "Deferred[None]":
        """
        Wait until this is anywhere in what came.
        """

    def end(self) -> "Deferred[bool]":
        """
        Wait for the server's end.

        :return: whether it was a clean one: nothing that was sent can have been lost.
        """


Connect = Callable[[], Awaitable[Client]]


def cut(data: bytes, size: int) -> Iterator[bytes]:
    """
    Data in segments of a size; at most a few thousand of them.
    """
    size = max(size, len(data) // 4096)
    return (data[start : start + size] for start in range(0, len(data), size))


async def complaint(case: Case, connect: Connect, size: int) -> str:
    """
    Try a case in segments of a size.

    :return: what is wrong; nothing, if nothing is.
    """
    neighbour = None
    if case.neighbour:
        neighbour = await connect()
        await neighbour.send(case.neighbour + STILL_HERE)
        await neighbour.until(YES)
    client = await connect()
    for segment in cut(case.sent, size):
        await client.send(segment)
    if case.end is End.STAYS:
        await client.send(STILL_HERE)
        await client.until(YES)
        await client.told(case.told)
        answer = client.received.partition(YES)[0]
        client.half_close()
    else:
        if case.half_close:
            client.half_close()
        answer = b""
    clean = await client.end()
    # What comes after the last answer is too much as well.
    answer = client.received if case.end is End.CLOSES else answer + client.received.partition(YES)[2]
    if neighbour is not None:
        neighbour.half_close()
        await neighbour.end()
    if not clean:
        return f"{case.name}: the connection was reset"
    if not re.fullmatch(case.answer, answer):
        return f"{case.name}: {case.sent[:80]!r} was answered {answer[:200]!r}, not {case.answer[:200]!r}"
    return ""


@implementer(IHalfCloseableProtocol)
class SocketClient(TwistedProtocol):
    """
    A client on a socket. When the server closes its half, it finishes what it has to say before it closes its own; a
    server that is not there any more answers that with a reset.
    """

    transport: Any

    def __init__(self) -> None:
        self.received = b""
        self._lost: Failure | None = None
        self._is_there: Callable[[], bool] = lambda: False
        self._waiting: Deferred[None] | None = None
        self._ended: Deferred[bool] = Deferred()

    # Called by Twisted

    def connectionMade(self) -> None:
        if hasattr(self.transport, "setTcpNoDelay"):
            self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self._look()

    def readConnectionLost(self) -> None:
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """
        Our half is closed, as we asked.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = reason
        self._look()
        self._ended.callback(reason.check(ConnectionDone) is not None)

    # Called by the test

    async def send(self, data: bytes) -> None:
        self.transport.write(data)
        # A turn for each segment: in one, Twisted would send them as one.
        await deferLater(reactor, 0)

    def half_close(self) -> None:
        self.transport.loseWriteConnection()

    def until(self, ending: bytes) -> "Deferred[None]":
        return self._wait(lambda: self.received.endswith(ending))

    def told(self, text: bytes) -> "Deferred[None]":
        return self._wait(lambda: text in self.received)

    def _wait(self, is_there: Callable[[], bool]) -> "Deferred[None]":
        self._is_there = is_there
        waiting: Deferred[None] = Deferred()
        self._waiting = waiting
        waiting.addTimeout(DEADLINE, reactor)
        self._look()
        return waiting

    def end(self) -> "Deferred[bool]":
        return self._ended.addTimeout(DEADLINE, reactor)

    # Ours

    def _look(self) -> None:
        found = self._is_there()
        if (found or self._lost is not None) and self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            if found:
                waiting.callback(None)
            else:
                waiting.errback(AssertionError(f"the server closed: {self.received[-200:]!r}"))
