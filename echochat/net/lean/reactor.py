"""
A reactor in front of another: sockets are watched by the :class:`Dispatcher`, and all else is passed on.
"""

import select
import socket
from typing import Any, cast

from twisted.internet import unix
from twisted.internet.error import UnsupportedAddressFamily
from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import directlyProvides, providedBy

from echochat.net.lean.dispatcher import Dispatcher
from echochat.net.lean.ports import SUPPORTED_FAMILIES, LeanPort, LeanUnixPort
from echochat.net.lean.transports import LeanConnector, LeanServer

BACKLOG = 4_096
"""
The least queue of connections that are not accepted yet: Twisted's 50 drops SYNs when a few hundred clients reconnect
at once. The kernel's own limit (``net.core.somaxconn``) still holds.
"""


def lean(reactor: Any) -> Any:
    """
    The fastest reactor that this machine has over the given one: a :class:`LeanReactor`, or, where there is no epoll
    or the reactor can not watch descriptors, the given one itself.
    """
    if not hasattr(select, "epoll") or not IReactorFDSet.providedBy(reactor):
        return reactor
    return LeanReactor(reactor)


class LeanReactor:
    """
    Provides whatever the outer reactor provides, so that it can be given to ``serverFromString`` and
    ``clientFromString``. Stream connections that are made or accepted through it are watched by its dispatcher, and
    over TCP write at once. Call :meth:`close` when none is left.

    :param outer: the reactor that runs; an :class:`IReactorFDSet`.
    """

    def __init__(self, outer: Any) -> None:
        self._outer = outer
        self._dispatcher = Dispatcher(outer)
        directlyProvides(self, providedBy(outer))
        if IReactorTime.providedBy(outer):
            self.seconds = outer.seconds
        # Called by interludes.
        self.answer_in_passing = self._dispatcher.answer_in_passing
        # Called by ends, for each connection: no call more than it takes.
        self.watch = self._dispatcher.watch
        self.change = self._dispatcher.change
        self.forget = self._dispatcher.forget
        self.bury = self._dispatcher.bury
        self.bury_one = self._dispatcher.bury_one

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outer, name)

    def close(self) -> None:
        """
        Give back the epoll descriptor. Nothing may be watched any more.
        """
        self._dispatcher.close()

    # Called by Twisted: IReactorFDSet

    def addReader(self, reader: Any) -> None:
        self._dispatcher.add(self._dispatcher.readers, reader)

    def addWriter(self, writer: Any) -> None:
        self._dispatcher.add(self._dispatcher.writers, writer)

    def removeReader(self, reader: Any) -> None:
        self._dispatcher.remove(self._dispatcher.readers, reader)

    def removeWriter(self, writer: Any) -> None:
        self._dispatcher.remove(self._dispatcher.writers, writer)

    def removeAll(self) -> list[Any]:
        return self._dispatcher.remove_all()

    def getReaders(self) -> list[Any]:
        return list(self._dispatcher.readers.values())

    def getWriters(self) -> list[Any]:
        return list(self._dispatcher.writers.values())

    # Called by Twisted: IReactorTCP, IReactorSSL

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        listening = LeanPort(port, factory, max(backlog, BACKLOG), interface, self)
        listening.startListening()
        return listening

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30.0, bindAddress: Any = None
    ) -> LeanConnector:
        connector = LeanConnector(host, port, factory, timeout, bindAddress, self)
        connector.connect()
        return connector

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = "") -> Any:
        wrapped = TLSMemoryBIOFactory(contextFactory, False, factory)
        return self.listenTCP(port, wrapped, backlog, interface)

    def connectSSL(
        self,
        host: str,
        port: int,
        factory: Any,
        contextFactory: Any,
        timeout: float = 30.0,
        bindAddress: Any = None,
    ) -> LeanConnector:
        wrapped = TLSMemoryBIOFactory(contextFactory, True, factory)
        return self.connectTCP(host, port, wrapped, timeout, bindAddress)

    # Called by Twisted: IReactorUNIX

    def listenUNIX(self, address: Any, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: int = 0) -> Any:
        listening = LeanUnixPort(address, factory, max(backlog, BACKLOG), mode, self, wantPID)
        listening.startListening()
        return listening

    def connectUNIX(self, address: Any, factory: Any, timeout: float = 30, checkPID: bool | int = 0) -> Any:
        connector = unix.Connector(address, factory, timeout, self, checkPID)
        connector.connect()
        return connector

    # Called by Twisted: IReactorSocket

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        _check_family(addressFamily)
        if addressFamily == socket.AF_UNIX:
            listening: Any = LeanUnixPort._fromListeningDescriptor(self, fileDescriptor, factory)
        else:
            listening = LeanPort._fromListeningDescriptor(self, fileDescriptor, addressFamily, factory)
        listening.startListening()
        return listening

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        _check_family(addressFamily)
        if addressFamily == socket.AF_UNIX:
            return unix.Server._fromConnectedSocket(fileDescriptor, factory, self)
        return LeanServer._fromConnectedSocket(fileDescriptor, addressFamily, factory, self)


def _check_family(family: int) -> None:
    if family not in cast(tuple[int, ...], SUPPORTED_FAMILIES):
        raise UnsupportedAddressFamily(family)
