"""
Twisted's own listening ports, which accept while they are wanted to.

``doRead`` looks after each connection whether it may accept another; Twisted's decides beforehand on a hundred. What a
port accepts may be given to another process instead of a protocol.
"""

import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IAddress, IDelayedCall
from txaio.tx import make_logger

from echochat.net.lean.transports import LeanServer

if TYPE_CHECKING:
    _Port = tcp.Port
else:
    # At run time a mixin, so that it may stand before the ports of both kinds.
    _Port = object

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

SUPPORTED_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


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


def _with_interface(address: Any) -> Any:
    """
    An IPv6 address as it is written: a link-local one with its interface.
    """
    if not address[3]:
        return address
    host, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
    return (host, *address[1:])
