"""
Connections whose two sides are Twisted protocols: over TLS, behind a PROXY header, on any reactor.

It has the shape of ``twisted.protocols.portforward``, each side being the producer of the other's transport, and none
of its faults: there is always somebody to take what comes, before the backend is connected and after one side has gone;
a producer is taken away before a side is closed; and every close has a deadline.
"""

from typing import Any, Final

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure

from echochat.balancer.connection import Connection
from echochat.balancer.half import Half

MOST_HELD: Final = 65_536
"""
Bytes that a client may send before its backend is connected; it is not read from then.
"""

SILENT_END: Final = 1.0
"""
Seconds that the attempt to connect goes on for a client that has closed and sent nothing. That may be one that only
wants to hear what the server says first; one that has left looks the same.
"""


class ClientHalf(Half):
    """
    The client's side, where the connection begins with it.
    """

    def __init__(self, factory: Any) -> None:
        super().__init__("client")
        self._factory = factory

    def connectionMade(self) -> None:
        connection = Connection(self._factory, self._factory.next_number(), self.transport.getPeer())
        connection.carrier = Halves(connection, self)
        # The handshake is over: there is no connection here before that.
        connection.server_name = getattr(self.transport, "server_name", "")
        connection.begin()


class Halves:
    """
    Carries a connection's bytes between two :class:`Half` s.

    :param client: the client's side, connected.
    """

    def __init__(self, connection: Connection, client: Half) -> None:
        client.pair = self
        self.factory = connection.factory
        self._connection = connection
        self._client = client
        self._server: Half | None = None
        # That of a backend which went at once.
        self._last: Half | None = None
        self._held: list[bytes] = []
        self._bytes_held = 0
        self._silent: Any = None

    # Called by the client's side

    def hold(self, data: bytes) -> None:
        """
        Keep what the client sends before there is anybody to take it.
        """
        self._held.append(data)
        self._bytes_held += len(data)
        if self._bytes_held >= MOST_HELD:
            self._client.transport.pauseProducing()

    # Called by both sides

    def hear_first(self, half: Half, data: bytes) -> None:
        """
        The first bytes that are passed on.
        """
        if half is self._client and not self._connection.server_name:
            self._connection.hear(data)

    # Called by the route

    @property
    def host(self) -> IAddress:
        host: IAddress = self._client.transport.getHost()
        return host

    def join_protocol(self, server: Half, first: bytes) -> None:
        """
        The backend has it.

        :param server: its side, connected.
        :param first: what it is sent before anything of the client's.
        """
        client = self._client
        server.pair = self
        self._server, client.other, server.other = server, server, client
        self._wait_no_more()
        client.transport.registerProducer(server, True)
        server.transport.registerProducer(client, True)
        if first:
            server.transport.write(first)
        held, self._held, self._bytes_held = self._held, [], 0
        for data in held:
            client.dataReceived(data)
        if client.has_ended:
            server.finish_writing()
        else:
            client.resumeProducing()

    # Called by both sides

    def ended(self, half: Half) -> None:
        """
        The peer of this side sends nothing more.
        """
        if half is not self._client and half is not self._server:
            self.factory.closer.finish(half.transport)
            return
        if half is self._server and self._begin_anew(half):
            return
        self._connection.blame(f"{half.name} closed")
        other = half.other
        if other is None:
            if not self._held:
                self._silent = self.factory.clock.callLater(SILENT_END, self._leave)
        elif other.is_gone or other.has_ended:
            for each in (half, other):
                if not each.is_gone:
                    each.close()
        else:
            other.finish_writing()

    def lost(self, half: Half, reason: Failure) -> None:
        """
        This side is closed, or was reset.
        """
        self.factory.closer.gone(half.transport)
        is_of_before = half is not self._client and half is not self._server
        if is_of_before or (half is self._server and self._begin_anew(half)):
            return
        # TLS that ends without saying so is a loss, too: somebody may have cut it off (RFC 8446, section 6.1).
        is_clean = half.has_ended or reason.check(ConnectionLost) is None
        self._connection.blame(f"{half.name} {'closed' if is_clean else 'reset'}")
        other = half.other
        if other is None or other.is_gone:
            self._end()
        elif is_clean:
            other.close()
        else:
            other.transport.abortConnection()

    # Called by the connection

    def wait(self) -> None:
        """
        The client is read from until it has sent too much.
        """

    @property
    def bytes_in(self) -> int:
        return self._client.received

    @property
    def bytes_out(self) -> int:
        return self._server.received if self._server is not None else 0

    is_here = True

    def let_go(self) -> None:
        """
        It cannot go on without this process.
        """

    def part(self) -> None:
        client, server = self._client, self._last
        assert server is not None
        self._server, client.other, server.other = server, server, client
        client.close()

    def abort(self) -> None:
        for half in (self._client, self._server):
            if half is not None and not half.is_gone:
                half.transport.abortConnection()

    # Ours

    def _begin_anew(self, server: Half) -> bool:
        """
        The backend has gone: wait for another one, if the client need not know.
        """
        client = self._client
        if client.is_gone or client.has_ended or not self._connection.try_another():
            return False
        self._last = server
        self._server = client.other = server.other = None
        client.transport.unregisterProducer()
        if not server.is_gone:
            server.close()
        self._connection.place_again()
        return True

    def _leave(self) -> None:
        self._silent = None
        self._connection.close("client closed")

    def _wait_no_more(self) -> None:
        if self._silent is not None:
            self._silent.cancel()
            self._silent = None

    def _end(self) -> None:
        self._wait_no_more()
        self._connection.end()
