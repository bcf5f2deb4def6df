"""
The handshakes of a listening port: how long they may take, how many there may be, and what became of them.
"""

from dataclasses import dataclass
from typing import Any, Final

from OpenSSL.SSL import Error, WantReadError
from twisted.internet.interfaces import IAddress, IProtocolFactory, IReactorTime
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.net.deadlines import Deadlines
from echochat.net.ration import Ration
from echochat.net.tls.transport import Handshake, TlsTransport

MOST_UNFINISHED: Final = 512
"""
How many handshakes a port has under way. The oldest makes room for a new one: a client needs one or two round trips,
and whoever says nothing is the oldest soon. To refuse the new ones instead would let 512 silent connections shut
everybody out.
"""


@dataclass
class HandshakeCounts:
    """
    What became of the handshakes of a port.
    """

    accepted: int = 0
    refused: int = 0
    late: int = 0
    crowded_out: int = 0


class ServerTransport(TlsTransport):
    """
    The server's end of a connection. Until the handshake is over, what comes is subject to a ration.
    """

    other_end = "the client"
    factory: "Handshakes"
    wrappedProtocol: Any

    def __init__(self, factory: "Handshakes", handshake: Handshake) -> None:
        super().__init__(factory, handshake)
        self._early = b""
        self._held = False

    # Called by Twisted

    def makeConnection(self, transport: Any) -> None:
        # Twisted's would try a handshake before anything has come, and declare the interfaces of the transport below,
        # which are not those of this one: together a quarter of what Python does for a handshake.
        self._tlsConnection = self.factory.creator.serverConnectionForTLS(self)
        self._tlsConnection.set_accept_state()
        self._appSendBuffer: list[bytes] = []
        self.connected = 1
        self.transport = transport
        self.wrappedProtocol.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        if self._handshakeDone:
            super().dataReceived(data)
            return
        self._early += data
        if not self._held and not self.factory.ration.do(self._go_on):
            # Its end shall not be seen before what it said.
            self._held = True
            self.transport.pauseProducing()

    # Ours

    def _go_on(self) -> None:
        if not self.connected or self._aborted:
            return
        if self._held:
            self._held = False
            self.transport.resumeProducing()
        early, self._early = self._early, b""
        try:
            self._shake_hands(early)
        except Exception:
            self.abortConnection()
            raise

    def _shake_hands(self, early: bytes) -> None:
        self._tlsConnection.bio_write(early)
        try:
            self._tlsConnection.do_handshake()
        except WantReadError:
            self._flushSendBIO()
        except Error:
            self._tlsShutdownFinished(Failure())
        else:
            self._handshakeDone = True
            self.wrappedProtocol.handshakeCompleted()
            self._flushReceiveBIO()


class Handshakes(TLSMemoryBIOFactory):
    """
    Makes TLS of a port's connections, and asks the wrapped factory for a protocol when a client was accepted.

    :param creator: makes OpenSSL's end of each connection.
    :param seconds: in which a handshake has to be over, from the first byte of it that could have come.
    """

    log = make_logger()

    def __init__(self, creator: Any, factory: IProtocolFactory, clock: IReactorTime, seconds: float) -> None:
        super().__init__(creator, False, factory, clock)
        self.creator = creator
        self.counts = HandshakeCounts()
        self.ration = Ration(clock)
        self._deadlines: Deadlines[Handshake] = Deadlines(clock, seconds, self._is_late)
        self._unfinished: dict[Handshake, None] = {}

    # Called by Twisted

    def buildProtocol(self, addr: IAddress | None) -> ServerTransport:
        return ServerTransport(self, Handshake(self, addr))

    def registerProtocol(self, p: Any) -> None:
        """
        Twisted's table of connections, which nobody here asks for.
        """

    def unregisterProtocol(self, p: Any) -> None:
        """
        As above.
        """

    def stopFactory(self) -> None:
        # The port is closed, and nobody new is wanted.
        for handshake in list(self._unfinished):
            self._break_off(handshake, "the server stopped listening")
        self._deadlines.stop()

    # Called by the handshakes

    def begun(self, handshake: Handshake) -> None:
        if len(self._unfinished) >= MOST_UNFINISHED:
            self.counts.crowded_out += 1
            self._break_off(next(iter(self._unfinished)), "it was the oldest of too many that are not over")
        self._unfinished[handshake] = None
        self._deadlines.set(handshake)

    def accepted(self, handshake: Handshake) -> None:
        self._forget(handshake)
        self.counts.accepted += 1
        protocol = self.wrappedFactory.buildProtocol(handshake.address)
        if protocol is None:
            # A polite end would wait for the client's, for ever.
            handshake.transport.abortConnection()
        else:
            handshake.transport.hand_over(protocol)

    def failed(self, handshake: Handshake, reason: Failure) -> None:
        if handshake in self._unfinished:
            self._end(handshake, handshake.transport.cause(reason))

    # Ours

    def _is_late(self, handshake: Handshake) -> None:
        self.counts.late += 1
        self._break_off(handshake, f"it was not over within {self._deadlines.seconds:g} s")

    def _break_off(self, handshake: Handshake, cause: str) -> None:
        self._end(handshake, cause)
        handshake.transport.abortConnection()

    def _end(self, handshake: Handshake, cause: str) -> None:
        self._forget(handshake)
        self.counts.refused += 1
        self.log.info("TLS handshake with {peer} failed: {cause}", peer=_in_words(handshake.address), cause=cause)

    def _forget(self, handshake: Handshake) -> None:
        del self._unfinished[handshake]
        self._deadlines.clear(handshake)


def _in_words(address: IAddress | None) -> str:
    host = getattr(address, "host", None)
    return "a UNIX socket" if host is None else f"{host}:{getattr(address, 'port', 0)}"
