"""
Leaving politely, and by force when the peer does not let us.

The problem. A server that closes while bytes which it has not read lie in the kernel sends RST, and RST makes the
peer's kernel throw away replies that had arrived but were not read yet: whoever pipelines lines behind
``CLOSE SOCKET`` would lose the answers before it. And ``loseConnection`` waits for the peer, for ever: plain TCP until
the buffer has been read, TLS until close_notify.

So a plain connection is closed in two steps, as web servers do it (RFC 9112, section 9.6): the write side first, then
what still comes is read and thrown away until the peer closes too. TLS has no half-close in Twisted (a
``loseWriteConnection`` goes to the raw socket), but its close_notify tells the end in the stream itself. Either way
there is a deadline, and then an abort.
"""

from typing import Any

from twisted.internet.interfaces import IHalfCloseableDescriptor, IReactorTime, ISSLTransport

from echochat.net.deadlines import Deadlines
from echochat.net.progress import unsent


class Closer:
    """
    Closes connections, each within a deadline: a peer that takes what it was sent has all the time that it needs for
    that, and one that takes nothing more, or has everything and does not close, has ``grace``.

    :param grace: seconds.
    """

    def __init__(self, clock: IReactorTime, grace: float) -> None:
        self._deadlines: Deadlines[Any] = Deadlines(clock, grace, self._late)
        self._unsent: dict[Any, int] = {}

    def close(self, transport: Any, peer_has_closed: bool) -> None:
        """
        Send what is buffered, and close. Call :meth:`finish` when the peer's end comes, and :meth:`gone` when the
        connection is lost; throw away what is received in between.

        :param peer_has_closed: the peer's end has come already.
        """
        self._unsent[transport] = unsent(transport)
        self._deadlines.set(transport)
        # A producer that is still registered keeps TLS, and a paused one plain TCP, from ever closing.
        transport.unregisterProducer()
        # One that is paused would notice neither the peer's end nor its close_notify.
        transport.resumeProducing()
        if peer_has_closed or not _can_half_close(transport):
            transport.loseConnection()
        else:
            transport.loseWriteConnection()

    def finish(self, transport: Any) -> None:
        """
        The peer has closed as well.
        """
        transport.loseConnection()

    def gone(self, transport: Any) -> None:
        """
        The connection is lost: nothing is left to do.
        """
        self._deadlines.clear(transport)
        self._unsent.pop(transport, None)

    def stop(self) -> None:
        """
        There are no connections any more.
        """
        self._deadlines.stop()

    def _late(self, transport: Any) -> None:
        waiting = unsent(transport)
        if waiting < self._unsent[transport]:
            self._unsent[transport] = waiting
            self._deadlines.set(transport)
        else:
            transport.abortConnection()


def _can_half_close(transport: Any) -> bool:
    return IHalfCloseableDescriptor.providedBy(transport) and not ISSLTransport.providedBy(transport)
