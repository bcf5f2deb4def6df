"""
Twisted's own stream transports with two methods changed.

``write`` sends at once when nothing is waiting, and buffers only what the kernel did not take: Twisted's buffers,
arms epoll, and sends in the next turn, which are three system calls for one and a turn more until the answer is out.
``doRead`` is the same as Twisted's, less two calls. Everything else, closing, half-closing, producers, TLS, is
Twisted's and unchanged.

An error of an eager send is not acted upon in ``write``, where the caller does not expect its connection to vanish:
the bytes are buffered, and the reactor meets the same error in ``doWrite`` and closes as it always does.
"""

import socket
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp, unix
from twisted.internet.abstract import FileDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST

if TYPE_CHECKING:
    _Connection = tcp.Connection
else:
    # At run time a mixin, so that it may stand before Server and Client, which both derive from Connection.
    _Connection = object

READ_SIZE = 65_536


class _Eager(_Connection):
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
        except OSError:
            sent = 0
        if sent < len(data):
            FileDescriptor.write(self, data[sent:] if sent else data)

    def doRead(self) -> Any:
        try:
            data = self.socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None


class LeanServer(_Eager, tcp.Server):
    """
    An accepted TCP connection.
    """


class LeanClient(_Eager, tcp.Client):
    """
    A TCP connection that was made here.
    """


class _UnixEager(_Eager):
    """
    Over UNIX sockets file descriptors travel in order with the bytes, and are received in ``doRead``.
    """

    _sendmsgQueue: list[int]

    def write(self, data: bytes) -> None:
        if self._sendmsgQueue:
            FileDescriptor.write(self, data)
        else:
            super().write(data)

    def doRead(self) -> Any:
        # object: past _Eager's, to Twisted's, which takes file descriptors.
        return super(_Eager, self).doRead()


class LeanUnixServer(_UnixEager, unix.Server):
    """
    An accepted connection on a UNIX socket.
    """


class LeanUnixClient(_UnixEager, unix.Client):
    """
    A connection to a UNIX socket that was made here.
    """


class LeanPort(tcp.Port):
    """
    A listening TCP port.
    """

    transport = LeanServer


class LeanUnixPort(unix.Port):
    """
    A listening UNIX socket.
    """

    transport = LeanUnixServer


class LeanConnector(tcp.Connector):
    """
    Makes one TCP connection, and again when it is asked.
    """

    def _makeTransport(self) -> LeanClient:
        return LeanClient(self.host, self.port, self.bindAddress, self, self.reactor)


class LeanUnixConnector(unix.Connector):
    """
    Makes one connection to a UNIX socket, and again when it is asked.
    """

    def _makeTransport(self) -> Any:
        return LeanUnixClient(self.address, self, self.reactor, self.checkPID)


SUPPORTED_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
