"""
The transport that a protocol has over TLS, and what stands in the protocol's place until the handshake is over.
"""

from contextlib import suppress
from typing import Any, Final
from typing import Protocol as Structure

from OpenSSL.SSL import Error, WantReadError, ZeroReturnError
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IHandshakeListener, ISSLTransport
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from echochat.net.tls.names import certificate_name
from echochat.net.tls.reasons import TlsFailed, cause_in_words
from echochat.wire.hello import as_name

_RECORDS: Final = 1 << 15
"""
Bytes that are decrypted at a time: two records.
"""

# An end without a farewell may be an attacker's, who cuts off what follows. Made once: a Failure is dear.
_CUT_OFF: Final = Failure(CONNECTION_LOST)


@implementer(ISSLTransport)
class TlsTransport(TLSMemoryBIOProtocol):
    """
    One end of a connection with TLS.

    It is Twisted's without the part that gathers small writes until the next turn: the protocols here write once in a
    turn, and a timer for each echo would cost more than the echo.

    :cvar other_end: what to call the other end in a message.
    :ivar refusal: why the other end's certificate was refused, in words; empty: it was not.
    """

    other_end = "the other end"
    refusal = ""
    transport: Any

    # Called by Twisted

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._lostTLSConnection:
            # All that came has been read. (Twisted asks OpenSSL again, for the sake of an error and its traceback.)
            self._lostTLSConnection = True
            if reason.check(ConnectionDone):
                reason = _CUT_OFF
        error = self._reason or reason
        if error.check(Error):
            # OpenSSL's own words are for programmers.
            self._reason = Failure(TlsFailed(self.cause(error)))
        super().connectionLost(reason)

    def _flushReceiveBIO(self) -> None:
        # As Twisted's, but that a farewell is answered with everything that waits, at once.
        while not self._lostTLSConnection:
            try:
                data = self._tlsConnection.recv(_RECORDS)
            except WantReadError:
                break
            except ZeroReturnError:
                self._lostTLSConnection = True
                with suppress(Error):
                    self._tlsConnection.shutdown()
                self._flushSendBIO()
                self.transport.loseConnection()
                return
            except Error:
                self._tlsShutdownFinished(Failure())
            else:
                if not self._aborted:
                    self.wrappedProtocol.dataReceived(data)
        if self._tlsConnection is not None:
            # It is None when the connection was lost with the last of these.
            self._flushSendBIO()

    # Called by Python

    def __getattr__(self, name: str) -> Any:
        # Twisted's asks the transport below for whatever this one has not. That must not be what zope.interface keeps
        # of classes: once it had looked at a TCP connection, it took that one's interfaces for this one's, and TLS
        # for none, from then on.
        if name.startswith("__"):
            raise AttributeError(name)
        return super().__getattr__(name)

    # Called by the protocol

    @property
    def verified_name(self) -> str | None:
        """
        The name in the other end's certificate: see :func:`echochat.net.tls.names.peer_name`.
        """
        if self._tlsConnection is None or not self._handshakeDone:
            return None
        certificate = self._tlsConnection.get_peer_certificate(as_cryptography=True)
        return None if certificate is None else certificate_name(certificate)

    @property
    def server_name(self) -> str:
        """
        The name that the client asked for in the handshake, in small letters; empty: none that could be one.
        """
        asked = self._tlsConnection.get_servername() if self._tlsConnection is not None else None
        return as_name(asked or b"")

    # Called by the handshake

    def cause(self, reason: Failure) -> str:
        """
        Why the connection has ended, in words.
        """
        if isinstance(reason.value, TlsFailed):
            return str(reason.value)
        return cause_in_words(reason, self.refusal, self.other_end)

    def hand_over(self, protocol: Any) -> None:
        """
        The handshake is over: from now on the connection is this protocol's.
        """
        self.wrappedProtocol = protocol
        protocol.makeConnection(self)
        if IHandshakeListener.providedBy(protocol):
            protocol.handshakeCompleted()


class HandshakeOwner(Structure):
    """
    Whoever began a handshake.
    """

    def begun(self, handshake: "Handshake") -> None:
        """
        The connection is there.
        """

    def accepted(self, handshake: "Handshake") -> None:
        """
        Both ends have accepted each other, as far as this one knows: the client of TLS 1.3 is the first to know.
        """

    def failed(self, handshake: "Handshake", reason: Failure) -> None:
        """
        The connection has ended before that, or without anybody to hand it to.
        """


@implementer(IHandshakeListener)
class Handshake(Protocol):
    """
    Stands where the protocol will be, until the other end was accepted.

    Twisted tells a protocol of a connection before its handshake, and of one that is refused in it as well; and with
    TLS 1.3 a client is done, and may send, before the server has seen its certificate. So the protocol proper is not
    made before the handshake is over, and there is nobody whom a byte could reach.

    :ivar address: the other end's.
    """

    transport: TlsTransport

    def __init__(self, owner: HandshakeOwner, address: IAddress | None) -> None:
        self._owner = owner
        self.address = address

    # Called by Twisted

    def connectionMade(self) -> None:
        self._owner.begun(self)

    def handshakeCompleted(self) -> None:
        self._owner.accepted(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._owner.failed(self, reason)
