"""
Twisted's own stream transports with a few methods changed.

``write`` sends at once when nothing is waiting, and buffers only what the kernel did not take: Twisted's buffers,
arms epoll, and sends in the next turn, which are three system calls for one and a turn more until the answer is out.
``doRead`` of a connection is the same as Twisted's, less two calls; ``answer_in_passing`` answers what would be read,
where the protocol can, while others are sent to (see :mod:`.interlude`). ``doRead`` of a listening port looks after
each connection whether it may accept another; Twisted's decides beforehand on a hundred. Everything else, closing,
half-closing, producers, TLS, is Twisted's and unchanged.

An error of an eager send is not acted upon in ``write``, where the caller does not expect its connection to vanish:
the bytes are buffered, and the reactor meets the same error when it reads or writes next, and closes as it always does.

Connections on UNIX sockets are Twisted's altogether. File descriptors travel with bytes there, and ``write`` before
``sendFileDescriptor`` must leave a byte for the descriptor to travel with (``IUNIXTransport``).
"""

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from twisted.internet import tcp, unix
from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv6Address
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from txaio.tx import make_logger

if TYPE_CHECKING:
    _Connection = tcp.Connection
    _Port = tcp.Port
else:
    # At run time mixins, so that they may stand before Server and Client, which both derive from Connection, and
    # before the ports of both kinds.
    _Connection = _Port = object

READ_SIZE: Final = 65_536

PEEK_SIZE: Final = 4_096
"""
The most bytes of a connection that are answered in passing at once: 10 to 40 µs.
"""

ACCEPTS: Final = 100
"""
How many connections a port accepts in one turn: the others' turn comes then.
"""

REST: Final = 1.0
"""
Seconds that a port waits when the system has no descriptor or no memory for another connection. The connections that
wait in the kernel's queue keep the port readable: without a rest the loop would spin, and Twisted's way out is to
accept them and close them.
"""

_INET6: Final = int(socket.AF_INET6)

_EXHAUSTED: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class _Eager(_Connection):
    # Whether a send failed for good. The kernel tells an error once: to write() then, and the end looks clean after it.
    _failed = False
    # Who sends past write().
    _borrower: Any = None

    def lend(self, borrower: Any) -> Any:
        """
        Lend the socket's ``send`` until :meth:`called_back` of the borrower is called: see :mod:`.volley`.

        :return: None: not while something waits, or it is closing.
        """
        if (
            self.dataBuffer
            or self._tempDataBuffer
            or not self.connected
            or self._writeDisconnected
            or self._writeDisconnecting
            or self.disconnecting
            or self._aborting
            or self.TLS
        ):
            return None
        self._borrower = borrower
        return self.socket.send

    def startWriting(self) -> None:
        # Something waits, or it is closing once nothing does: whatever Twisted's own methods do, they come here.
        self._call_back()
        super().startWriting()

    def abortConnection(self) -> None:
        self._call_back()
        super().abortConnection()

    def _call_back(self) -> None:
        borrower = self._borrower
        if borrower is not None:
            self._borrower = None
            borrower.called_back()

    def write(self, data: bytes) -> None:
        if (
            self.dataBuffer
            or self._tempDataBuffer
            or not self.connected
            or self._writeDisconnected
            or self.TLS
            or not data
        ):
            super().write(data)
            return
        try:
            sent = self.socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._failed = True
            sent = 0
        if sent < len(data):
            FileDescriptor.write(self, data[sent:] if sent else data)
        elif self.producer is not None and not self.streamingProducer:
            # A pull producer is asked for more in doWrite.
            self.startWriting()

    def answer_in_passing(self) -> bool:
        """
        Offer the protocol what has come, if it has a method ``answer_in_passing(data)``: that answers the beginning of
        it, and nothing else, and returns how many bytes that was; 0 when it has done nothing. See :mod:`.interlude`.
        """
        answer = getattr(type(self.protocol), "answer_in_passing", None)
        if answer is None:
            return False
        try:
            # The kernel keeps it until it is known that it was answered.
            data = self.socket.recv(PEEK_SIZE, socket.MSG_PEEK)
        except OSError:
            return False
        # An end, like an error, is met in a turn of its own.
        answered = answer(self.protocol, data) if data else 0
        if answered:
            with suppress(OSError):
                self.socket.recv(answered)
        return bool(answered)

    def doRead(self) -> Any:
        try:
            data = self.socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_LOST if self._failed else CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None


class LeanServer(_Eager, tcp.Server):
    """
    An accepted TCP connection.
    """

    logstr = "echochat"

    def __init__(self, sock: Any, protocol: Any, client: Any, server: Any, sessionno: int, reactor: Any) -> None:
        # What tcp.Server does, less two texts that only somebody with a debugger reads: 250 bytes a connection.
        tcp.Connection.__init__(self, sock, protocol, reactor)
        if len(client) != 2:
            self._addressType = IPv6Address
        self.server = server
        self.client = client
        self.sessionno = sessionno
        self.hostname = client[0]
        self.startReading()
        self.connected = 1

    def __repr__(self) -> str:
        return f"<connection #{self.sessionno} from {self.client}>"


class LeanClient(_Eager, tcp.Client):
    """
    A TCP connection that was made here.
    """


class _Exact(_Port):
    """
    Accepts while it is wanted to: ``stopReading`` holds at once, also when it is called while a connection is made.

    A factory with a method ``take_socket(socket, address, port)`` is offered each socket before
    anything is made of it, and may return True to keep it: to pass it on to another process, or to give it to
    :meth:`connect` later. Nothing is read from it, and whoever has it has to close it.
    """

    log = make_logger()

    _wanted = False
    _rest: IDelayedCall | None = None

    def startReading(self) -> None:
        self._wanted = True
        super().startReading()

    def stopReading(self) -> None:
        self._wanted = False
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        super().stopReading()

    def doRead(self) -> None:
        take = getattr(self.factory, "take_socket", None)
        if take is not None:
            self._accept_for(take)
            return
        for _ in range(ACCEPTS):
            if not self._wanted:
                return
            try:
                accepted, address = self.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._not_accepted(error)
                continue
            self._make_connection(accepted, address)

    # Called by a factory that takes sockets

    def address_of(self, address: Any) -> IAddress:
        """
        An address that was given with a socket, as Twisted has it.
        """
        twisted: IAddress = self._buildAddr(address)
        return twisted

    def connect(self, accepted: socket.socket, address: Any, protocol: Any) -> None:
        """
        Make a connection of a socket that was taken, as if it were accepted now.

        :param address: as it was given with the socket.
        """
        transport: Any = None
        try:
            number, self.sessionno = self.sessionno, self.sessionno + 1
            transport = self.transport(accepted, protocol, address, self, number, self.reactor)
            protocol.makeConnection(transport)
        except Exception:
            self.log.failure("a connection failed when it was made and is closed")
            if transport is None:
                accepted.close()
            else:
                transport.abortConnection()

    # Ours

    def _accept_for(self, take: Callable[[Any, Any, Any], bool]) -> None:
        """
        Accept, for a factory that takes sockets, what socket.socket is made of, which is all that is needed: 4 µs less.
        """
        listening: Any = self.socket
        accept, make = listening._accept, socket.SocketType
        family, kind = int(self.addressFamily), int(self.socketType)
        reactor: Any = self.reactor
        for _ in range(ACCEPTS):
            if not self._wanted:
                return
            try:
                number, address = accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._not_accepted(error)
                continue
            accepted: Any = make(family, kind, 0, number)
            try:
                if family == _INET6:
                    address = _with_interface(address)
                taken = take(accepted, address, self)
            except Exception:
                self.log.failure("a connection failed before it was made and is closed")
                accepted.close()
                continue
            if not taken:
                self._make_connection(accepted, address)
            else:
                reactor.bury_one()

    def _make_connection(self, accepted: Any, address: Any) -> None:
        try:
            if self.addressFamily == _INET6:
                address = _with_interface(address)
            factory: Any = self.factory
            protocol = factory.buildProtocol(self._buildAddr(address))
        except Exception:
            self.log.failure("a connection failed before it was made and is closed")
            accepted.close()
            return
        if protocol is None:
            accepted.close()
            return
        self.connect(accepted, address, protocol)

    def _not_accepted(self, error: OSError) -> None:
        """
        One that had gone before it was accepted, or that a firewall does not want, is not the last one.
        """
        if error.errno in _EXHAUSTED:
            self._take_a_rest(error)

    def _take_a_rest(self, error: OSError) -> None:
        self.log.warn("no more connections for {seconds:g} s: {reason}", seconds=REST, reason=error.strerror)
        self.stopReading()
        reactor: Any = self.reactor
        self._rest = reactor.callLater(REST, self._go_on)

    def _go_on(self) -> None:
        self._rest = None
        self.startReading()


class LeanPort(_Exact, tcp.Port):
    """
    A listening TCP port.
    """

    transport = LeanServer


class LeanUnixPort(_Exact, unix.Port):
    """
    A listening UNIX socket.
    """


class LeanConnector(tcp.Connector):
    """
    Makes one TCP connection, and again when it is asked.
    """

    def _makeTransport(self) -> LeanClient:
        return LeanClient(self.host, self.port, self.bindAddress, self, self.reactor)


def _with_interface(address: Any) -> Any:
    """
    An IPv6 address as it is written: a link-local one with its interface.
    """
    if not address[3]:
        return address
    host, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
    return (host, *address[1:])


SUPPORTED_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
