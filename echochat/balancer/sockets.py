"""
Connections between two plain sockets in the lean reactor.

A client's socket is kept as it was accepted, with nothing read from it, until its backend is known. Then a pair of
:class:`echochat.net.lean.ends.End` s carries the bytes; or Twisted protocols do, when the backend is reached in another
way than by a socket alone, as over TLS; or another process is handed the socket.
"""

import array
import fcntl
import socket
import termios
from typing import Any

from twisted.internet.interfaces import IAddress

from echochat.balancer.connection import Connection
from echochat.balancer.half import Half
from echochat.balancer.halves import SILENT_END, Halves
from echochat.daemon.ports import KEEPALIVE_IDLE
from echochat.net.lean.endings import Ending
from echochat.net.lean.ends import End


class Sockets:
    """
    Carries a connection's bytes between two sockets.

    :param accepted: the client's, from which nothing was read.
    :param address: as it was accepted with it.
    :param port: which accepted it.
    """

    __slots__ = ("_address", "_client", "_connection", "_last", "_port", "_server", "_silent", "_unsent", "factory")

    def __init__(self, connection: Connection, accepted: socket.socket, address: Any, port: Any) -> None:
        self.factory = connection.factory
        self._connection = connection
        self._address = address
        self._port = port
        self._client = End(port.reactor, accepted, self)
        self._server: End | None = None
        # That of a backend which went at once.
        self._last: End | None = None
        self._silent: Any = None
        # What both sides have still to take, when nothing else is expected.
        self._unsent: int | None = None

    # Called by the route

    @property
    def host(self) -> IAddress:
        host: IAddress = self._port.address_of(self._client.socket.getsockname())
        return host

    def join(self, connected: socket.socket, first: bytes) -> None:
        """
        The backend has it.

        :param connected: the socket to the backend.
        :param first: what the backend is sent before anything of the client's.
        """
        if self._silent is not None:
            self._wait_no_more()
        self._server = server = End(self._port.reactor, connected, self)
        self._client.join(server, first)
        if server.number >= 0:
            self._client.look_once(self._connection.hear)
            self.factory.young.set(self)

    def join_protocol(self, server: Half, first: bytes) -> None:
        """
        The backend has it, and is reached through a Twisted protocol: so is the client from now on.
        """
        self._wait_no_more()
        client = Half("client")
        self._connection.carrier = halves = Halves(self._connection, client)
        self._port.connect(self._client.release(), self._address, client)
        halves.join_protocol(server, first)

    def lend(self) -> socket.socket:
        """
        The client's socket, from which nothing was read, to be passed to another process. It is still watched here.
        """
        lent: socket.socket = self._client.socket
        return lent

    def take_back(self) -> None:
        """
        The socket was lent in vain. Who had it may not have looked at it yet, and then still has it.
        """
        self._client.share()
        self.wait()

    def give_up(self) -> None:
        """
        Another process has the socket: close the descriptor that is here. The connection needs another carrier now.
        """
        self._wait_no_more()
        self._client.release().close()
        # Each refers to the other: the collector would have to look for them.
        del self._client

    # Called by the ends

    def peer_ended(self, end: Ending) -> None:
        if end is not self._client:
            if not self._begin_anew():
                self._connection.blame("backend closed")
            return
        self._connection.blame("client closed")
        if self._server is None and not _readable(end.socket):
            self._silent = self.factory.clock.callLater(SILENT_END, self._leave)

    def peer_reset(self, end: Ending) -> None:
        if end is self._client:
            self._connection.blame("client reset")
        elif not self._begin_anew():
            self._connection.blame("backend reset")

    def lingers(self, end: Ending) -> None:
        self._unsent = self._waiting
        self.factory.lingering.set(self)

    def closed(self) -> None:
        factory = self.factory
        if self._unsent is not None:
            factory.lingering.clear(self)
        factory.young.clear(self)
        if self._silent is not None:
            self._wait_no_more()
        self._connection.end()
        # Each refers to the others: the collector would have to look for them.
        for end in (self._client, self._server, self._last):
            if end is not None:
                end.is_over()
        del self._connection

    # Called by the factory

    def has_aged(self) -> None:
        """
        This may become a long connection. The client's socket has what the listening one has; the backend's would have
        cost each connection two system calls.
        """
        if self._server is not None:
            self._server.keep_alive(KEEPALIVE_IDLE)

    def is_late(self) -> None:
        """
        Nothing more was expected but that one side takes what it was sent, and closes.
        """
        waiting = self._waiting
        assert self._unsent is not None
        if waiting < self._unsent:
            self._unsent = waiting
            self.factory.lingering.set(self)
        else:
            self.abort()

    # Called by the connection

    def wait(self) -> None:
        self._client.watch_for_the_end()

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
        assert self._last is not None
        self._client.outlive(self._last)

    def abort(self) -> None:
        self._client.abort()
        if self._server is not None:
            self._server.abort()
        self.closed()

    # Ours

    def _begin_anew(self) -> bool:
        """
        The backend has gone: wait for another one, if the client need not know.
        """
        server = self._server
        if server is None or self._client.has_ended or not self._connection.try_another():
            return False
        self._server, self._last = None, server
        server.close()
        self.factory.young.clear(self)
        self._client.part()
        self._connection.place_again()
        return True

    @property
    def _waiting(self) -> int:
        """
        What both sides have not taken yet, our buffers and the kernel's.
        """
        return sum(end.unsent for end in (self._client, self._server) if end is not None and end.is_open)

    def _leave(self) -> None:
        self._silent = None
        self._connection.close("client closed")

    def _wait_no_more(self) -> None:
        if self._silent is not None:
            self._silent.cancel()
            self._silent = None


def _readable(connected: socket.socket) -> int:
    """
    How many bytes have come, and were not read.
    """
    count = array.array("i", [0])
    fcntl.ioctl(connected, termios.FIONREAD, count)
    return count[0]
