"""
A client of OpenSSL's and a server of ours, joined in memory: what a client can do wrong, byte by byte and on a clock.
"""

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from echochat.net.tls.handshakes import Handshakes
from echochat.net.tls.ports import ServerCreator, ServerFiles
from tests.net.authority import Folder, Pair, authority, server
from tests.net.recorders import Recorder

CLIENT = IPv4Address("TCP", "192.0.2.1", 4711)

TLS_1_2 = SSL.TLS1_2_VERSION
TLS_1_3 = SSL.TLS1_3_VERSION


class Greeter(Recorder):
    """
    Speaks first, as a server may.
    """

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(b"welcome\n")


class Greeters(Factory):
    """
    Makes greeters.

    :ivar made: those that were asked for.
    :ivar addresses: for whom.
    :ivar make: what to make instead.
    """

    noisy = False

    def __init__(self) -> None:
        self.made: list[Recorder] = []
        self.addresses: list[object] = []
        self.make: Callable[[], Recorder | None] = Greeter

    def buildProtocol(self, addr: object) -> Recorder | None:
        self.addresses.append(addr)
        made = self.make()
        if made is not None:
            self.made.append(made)
        return made


class Socket(StringTransport):
    """
    The server's socket: its end is told in the next turn, as a real one's.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(peerAddress=CLIENT)
        self._clock = clock
        self.protocol: Any = None
        self.aborted = False
        self.lost = False

    def loseConnection(self) -> None:
        self._end(ConnectionDone())

    def abortConnection(self) -> None:
        self.aborted = True
        self._end(ConnectionAborted())

    def _end(self, reason: Exception) -> None:
        if not self.disconnecting:
            self.disconnecting = True
            self._clock.callLater(0, self.lose, reason)

    def lose(self, reason: Exception) -> None:
        """
        The connection is lost.
        """
        if not self.lost:
            self.lost = True
            self.disconnecting = True
            self.protocol.connectionLost(Failure(reason))


class Client:
    """
    OpenSSL's end. It sends a line as soon as it may, which in TLS 1.3 is before the server has seen its certificate.

    :ivar received: what came, decrypted.
    :ivar error: what OpenSSL said when it ended.
    """

    def __init__(
        self, factory: IProtocolFactory, clock: Clock, context: SSL.Context, session: SSL.Session | None = None
    ) -> None:
        self._clock = clock
        self._line = b"hello\n"
        self.received = b""
        self.error: SSL.Error | None = None
        self.connection = SSL.Connection(context)
        self.connection.set_connect_state()
        if session is not None:
            self.connection.set_session(session)
        self.socket = Socket(clock)
        protocol: Any = factory.buildProtocol(CLIENT)
        self.protocol = self.socket.protocol = protocol
        protocol.makeConnection(self.socket)

    def speak(self) -> bytes:
        """
        What this end sends next, from what it has got so far.
        """
        try:
            self.connection.do_handshake()
            if self._line:
                self.connection.send(self._line)
                self._line = b""
            while True:
                self.received += self.connection.recv(65_536)
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self.error = self.error or error
        try:
            return self.connection.bio_read(1 << 20)
        except SSL.WantReadError:
            return b""

    def exchange(self) -> "Client":
        """
        Go on until neither end has anything to say.
        """
        while True:
            spoken = self.speak()
            if spoken and not self.socket.lost:
                self.protocol.dataReceived(spoken)
            self._clock.advance(0)
            answered = self.socket.value()
            self.socket.clear()
            if answered:
                self.connection.bio_write(answered)
            elif not spoken:
                return self


class Service:
    """
    A port of ours, without a socket.

    :ivar greeters: makes the protocols.
    :ivar handshakes: makes TLS of what the port accepts.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        clients: Pair | None = None,
        revoked: bytes | None = None,
        required: bool = True,
        seconds: float = 5,
        shown: Pair | None = None,
    ) -> None:
        self.clock = Clock()
        self.greeters = Greeters()
        certificate, key = folder.write_pair("server", shown or server())
        client_ca = None if clients is None else folder.write("clients.pem", clients.pem)
        crl = None if revoked is None else folder.write("crl.pem", revoked)
        self.creator = ServerCreator(ServerFiles(certificate, key, client_ca, crl, required=required))
        self.handshakes = Handshakes(self.creator, self.greeters, self.clock, seconds)
        self.handshakes.doStart()

    def connect(self, shown: Pair | None = None, version: int = TLS_1_3) -> Client:
        """
        Connect a client, which has not said anything yet.

        :param shown: its certificate.
        """
        return Client(self.handshakes, self.clock, client_context(shown, version))


def client_context(shown: Pair | None = None, version: int = TLS_1_3, trusted: Pair | None = None) -> SSL.Context:
    """
    OpenSSL's as a program uses it that leaves everything as it is.
    """
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(version)
    store = context.get_cert_store()
    assert store is not None
    store.add_cert(X509.from_cryptography((trusted or authority()).certificate))
    context.set_verify(SSL.VERIFY_PEER, None)
    if shown is not None:
        context.use_certificate(shown.certificate)
        context.use_privatekey(shown.key)
    return context
