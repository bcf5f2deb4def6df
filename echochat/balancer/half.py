"""
One side of a connection, as a Twisted protocol.
"""

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableDescriptor, IHalfCloseableProtocol, IPushProducer, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from echochat.balancer.halves import Halves


@implementer(IHalfCloseableProtocol, IPushProducer)
class Half(Protocol):
    """
    One side of a connection.

    :ivar name: what to call its peer in the log.
    :ivar received: bytes.
    :ivar has_ended: its peer sends nothing more.
    :ivar is_gone: its connection is lost.
    """

    transport: Any

    pair: "Halves"

    def __init__(self, name: str) -> None:
        self.name = name
        self.received = 0
        self.has_ended = False
        self.is_gone = False
        self.other: Half | None = None

    # Called by Twisted

    def dataReceived(self, data: bytes) -> None:
        other = self.other
        if other is None:
            self.pair.hold(data)
        elif not other.is_gone:
            if not self.received:
                self.pair.hear_first(self, data)
            self.received += len(data)
            other.transport.write(data)

    def readConnectionLost(self) -> None:
        if not self.has_ended:
            self.has_ended = True
            self.pair.ended(self)
        else:
            self.pair.factory.closer.finish(self.transport)

    def writeConnectionLost(self) -> None:
        """
        Our half is closed, as we asked.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_gone = True
        self.pair.lost(self, reason)

    # Called by the other side's transport

    def pauseProducing(self) -> None:
        if not self.is_gone:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        # Reading where the end has been read would find the end again.
        if not self.is_gone and not self.has_ended:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """
        The other side is lost: :meth:`Halves.lost` knows how, and closes this one accordingly.
        """

    # Called by the halves

    def finish_writing(self) -> None:
        """
        Send what is buffered, and then the end.
        """
        transport: Any = self.transport
        is_tls, half_closes = ISSLTransport.providedBy(transport), IHalfCloseableDescriptor.providedBy(transport)
        if is_tls:
            # It sends close_notify, which ends this direction only (RFC 8446, section 6.1), and goes on receiving until
            # the peer's comes: that may be long after, as with plain TCP, and there is no deadline for it either.
            transport.unregisterProducer()
            transport.loseConnection()
        elif half_closes:
            transport.unregisterProducer()
            transport.loseWriteConnection()
        else:
            self.pair.factory.closer.close(transport, False)

    def close(self) -> None:
        """
        Send what is buffered, and close.
        """
        self.pair.factory.closer.close(self.transport, self.has_ended)
