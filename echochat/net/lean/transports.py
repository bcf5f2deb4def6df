"""
Twisted's own TCP connections with a few methods changed.

``write`` sends at once when nothing is waiting, and buffers only what the kernel did not take: Twisted's buffers,
arms epoll, and sends in the next turn, which are three system calls for one and a turn more until the answer is out.
``doRead`` of a connection is the same as Twisted's, less two calls; ``answer_in_passing`` answers what would be read,
where the protocol can, while others are sent to (see :mod:`.interlude`). Everything else, closing, half-closing,
producers, TLS, is Twisted's and unchanged.

An error of an eager send is not acted upon in ``write``, where the caller does not expect its connection to vanish:
the bytes are buffered, and the reactor meets the same error when it reads or writes next, and closes as it always does.

Connections on UNIX sockets are Twisted's altogether. File descriptors travel with bytes there, and ``write`` before
``sendFileDescriptor`` must leave a byte for the descriptor to travel with (``IUNIXTransport``).
"""

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from twisted.internet import tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv6Address
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST

if TYPE_CHECKING:
    _Connection = tcp.Connection
else:
    # At run time a mixin, so that it may stand before Server and Client, which both derive from Connection.
    _Connection = object

READ_SIZE: Final = 65_536

PEEK_SIZE: Final = 4_096
"""
The most bytes of a connection that are answered in passing at once: 10 to 40 µs.
"""


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


class LeanConnector(tcp.Connector):
    """
    Makes one TCP connection, and again when it is asked.
    """

    def _makeTransport(self) -> LeanClient:
        return LeanClient(self.host, self.port, self.bindAddress, self, self.reactor)
