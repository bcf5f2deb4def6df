"""
Protocols that keep what they are told, for tests of transports.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IFileDescriptorReceiver, IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.net.peers import DEADLINE

reactor: Any = _reactor


class Witness:
    """
    Lets tests wait until something is true of what happened so far.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[], object], Deferred[None]]] = []

    def until(self, true: Callable[[], object]) -> "Deferred[None]":
        """
        Wait until it is.
        """
        waiting: Deferred[None] = Deferred()
        self._waiting.append((true, waiting))
        self.changed()
        return waiting.addTimeout(DEADLINE, reactor)

    def changed(self) -> None:
        """
        Something has happened.
        """
        for each in list(self._waiting):
            true, waiting = each
            if true():
                self._waiting.remove(each)
                if not waiting.called:
                    waiting.callback(None)


class Recorder(Protocol):
    """
    Keeps what came, and how it ended.

    :ivar told: what was called, in order, by the names of the interfaces.
    :ivar on_data: what a test wants to happen with data.
    :ivar on_lost: what a test wants to happen at the end.
    """

    transport: Any

    def __init__(self) -> None:
        self.witness = Witness()
        self.received = bytearray()
        self.told: list[str] = []
        self.reason: Failure | None = None
        self.on_data: Callable[[bytes], object] = lambda data: None
        self.on_lost: Callable[[], object] = lambda: None

    @property
    def times_lost(self) -> int:
        """
        How often it was told that the connection is lost.
        """
        return self.told.count("connectionLost")

    def until_received(self, count: int) -> "Deferred[None]":
        """
        Wait until so many bytes have come.
        """
        return self.witness.until(lambda: len(self.received) >= count)

    def until_told(self, what: str) -> "Deferred[None]":
        """
        Wait until this was called.
        """
        return self.witness.until(lambda: what in self.told)

    def until_lost(self) -> "Deferred[None]":
        """
        Wait until the connection is lost.
        """
        return self.until_told("connectionLost")

    # Called by Twisted

    def connectionMade(self) -> None:
        self._tell("connectionMade")

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        try:
            self.on_data(data)
        finally:
            self._tell("dataReceived")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason
        try:
            self.on_lost()
        finally:
            self._tell("connectionLost")

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self.witness.changed()


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Recorder):
    """
    A recorder that goes on when one direction has ended.
    """

    def readConnectionLost(self) -> None:
        self._tell("readConnectionLost")

    def writeConnectionLost(self) -> None:
        self._tell("writeConnectionLost")


@implementer(IFileDescriptorReceiver)
class DescriptorReceiver(Recorder):
    """
    A recorder that takes file descriptors.

    :ivar descriptors: each, with how many bytes had been received before it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.descriptors: list[tuple[int, int]] = []

    def fileDescriptorReceived(self, descriptor: int) -> None:
        self.descriptors.append((descriptor, len(self.received)))
        self._tell("fileDescriptorReceived")


class Recording(ClientFactory):
    """
    Makes recorders, for listening and for connecting.

    :param make: makes one.
    """

    noisy = False

    def __init__(self, make: Callable[[], Recorder] = Recorder) -> None:
        self.witness = Witness()
        self.made: list[Recorder] = []
        self.failed: list[Failure] = []
        self._make = make

    def until_made(self, count: int) -> "Deferred[None]":
        """
        Wait until so many connections have been made.
        """
        return self.witness.until(lambda: len(self.made) >= count)

    # Called by Twisted

    def buildProtocol(self, addr: object) -> Recorder:
        recorder = self._make()
        recorder.factory = self
        self.made.append(recorder)
        # When the protocol has its transport.
        reactor.callLater(0, self.witness.changed)
        return recorder

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self.failed.append(reason)
        self.witness.changed()
