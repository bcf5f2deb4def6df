"""
Listening behind a proxy: ``proxied:from=10.0.0.0/8,127.0.0.1:tcp:7007``.

Each connection begins with a PROXY header, and what counts from then on is the address in it. So a header is believed
from listed sources only, and from those one is required: a port on which it were optional would let anybody choose an
address (HAProxy, *The PROXY protocol*, section 2).
"""

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import quoteStringArgument
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from txaio.tx import make_logger
from zope.interface import alsoProvides, directlyProvides, implementer, providedBy

from echochat.net.deadlines import Deadlines
from echochat.net.endpoints import server_endpoint, to_seconds
from echochat.net.layers import listen_over
from echochat.net.sources import Sources, parse_sources
from echochat.wire.proxy import Address, ProxyHeader, ProxyHeaderError, ProxyHeaderReader, SocketAddress

if TYPE_CHECKING:
    _WrappingFactory = WrappingFactory["ProxiedTransport"]
else:
    # Generic since Twisted 26 only.
    _WrappingFactory = WrappingFactory

WITHIN: Final = 3.0
"""
Seconds in which a header has to come: enough for one lost segment (section 2 of the same).
"""

_OPTIONS: Final = ("from", "within")


class ProxiedTransport(ProtocolWrapper):
    """
    A connection from a proxy: reads the header, then is the transport of the protocol proper, with the addresses that
    the header gave.
    """

    factory: "ProxiedFactory"
    transport: Any

    def __init__(self, factory: "ProxiedFactory") -> None:
        super().__init__(factory, None)  # type: ignore[arg-type]  # the protocol is made when it is known for whom
        self._reader: ProxyHeaderReader | None = ProxyHeaderReader()
        self._peer: IAddress | None = None
        self._host: IAddress | None = None

    # Called by Twisted

    def makeConnection(self, transport: Any) -> None:
        directlyProvides(self, providedBy(transport))
        Protocol.makeConnection(self, transport)
        self.factory.registerProtocol(self)
        self.factory.waiting.set(self)

    def dataReceived(self, data: bytes) -> None:
        if self._reader is not None:
            self._read(self._reader, data)
        elif self.wrappedProtocol is not None:
            self.wrappedProtocol.dataReceived(data)

    def readConnectionLost(self) -> None:
        IHalfCloseableProtocol(self.wrappedProtocol).readConnectionLost()

    def writeConnectionLost(self) -> None:
        IHalfCloseableProtocol(self.wrappedProtocol).writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._reader is not None:
            self._refuse("it ended before its header did")
        if self.wrappedProtocol is None:
            self.factory.unregisterProtocol(self)
        else:
            super().connectionLost(reason)

    # Called by the protocol

    def getPeer(self) -> IAddress:
        address: IAddress = self._peer or self.transport.getPeer()
        return address

    def getHost(self) -> IAddress:
        address: IAddress = self._host or self.transport.getHost()
        return address

    # Called by the factory

    def is_late(self) -> None:
        """
        The header has not come.
        """
        self._refuse(f"its PROXY header did not come within {self.factory.waiting.seconds:g} s")

    # Ours

    def _read(self, reader: ProxyHeaderReader, data: bytes) -> None:
        try:
            header = reader.feed(data)
        except ProxyHeaderError as error:
            self._refuse(str(error))
            return
        if header is not None:
            self._reader = None
            self.factory.waiting.clear(self)
            self._begin(header, reader.rest)

    def _begin(self, header: ProxyHeader, rest: bytes) -> None:
        self._peer, self._host = _to_twisted(header.source), _to_twisted(header.destination)
        protocol = self.factory.wrappedFactory.buildProtocol(self.getPeer())
        if protocol is None:
            self.transport.abortConnection()
            return
        self.wrappedProtocol = protocol
        if IHalfCloseableProtocol.providedBy(protocol):
            alsoProvides(self, IHalfCloseableProtocol)
        protocol.makeConnection(self)
        if rest:
            protocol.dataReceived(rest)

    def _refuse(self, cause: str) -> None:
        self._reader = None
        self.factory.refused(self.transport.getPeer(), cause)
        self.factory.waiting.clear(self)
        self.transport.abortConnection()


class ProxiedFactory(_WrappingFactory):
    """
    Asks the wrapped factory for a protocol when a connection's header was read.

    :param sources: whose connections are accepted.
    :param seconds: in which the header has to come.
    """

    noisy = False
    log = make_logger()

    def __init__(self, factory: IProtocolFactory, clock: IReactorTime, sources: Sources, seconds: float) -> None:
        super().__init__(factory)
        self._sources = sources
        self.waiting: Deadlines[ProxiedTransport] = Deadlines(clock, seconds, ProxiedTransport.is_late)

    # Called by Twisted

    def buildProtocol(self, addr: IAddress | None) -> ProxiedTransport | None:  # type: ignore[override]  # as the interface has it
        if not self._sources.has(addr):
            self.refused(addr, "it is not one of the proxies that are expected here (from=)")
            return None
        return ProxiedTransport(self)

    def stopFactory(self) -> None:
        # The port is closed, and nobody new is wanted.
        for each in list(self.protocols):
            if each in self.waiting:
                each.transport.abortConnection()
        self.waiting.stop()

    # Called by the connections

    def refused(self, address: IAddress | None, cause: str) -> None:
        """
        A connection is closed before it was anybody's.
        """
        host = getattr(address, "host", None)
        peer = "a UNIX socket" if host is None else f"{host}:{getattr(address, 'port', 0)}"
        self.log.info("connection from {peer} refused: {cause}", peer=peer, cause=cause)


@implementer(IStreamServerEndpoint)
class ProxiedServerEndpoint:
    """
    Listens on another endpoint, where every connection begins with a PROXY header: before TLS, if there is any.
    """

    def __init__(self, clock: IReactorTime, below: IStreamServerEndpoint, sources: Sources, seconds: float) -> None:
        self._clock = clock
        self._below = below
        self._sources = sources
        self._seconds = seconds

    # Called by Twisted

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Fires with the other endpoint's port.
        """
        listening: Deferred[IListeningPort] = listen_over(self._below, self._wrap, protocolFactory)
        return listening

    # Ours

    def _wrap(self, factory: IProtocolFactory) -> IProtocolFactory:
        wrapped: IProtocolFactory = ProxiedFactory(factory, self._clock, self._sources, self._seconds)
        return wrapped


def parse_server(reactor: Any, *arguments: str, **options: str) -> ProxiedServerEndpoint:
    """
    Read what follows ``proxied:``, as Twisted has taken it apart. What is not ours belongs to the endpoint behind.

    :raises ValueError: it makes no sense; the text says why.
    """
    own = {name: options.pop(name) for name in _OPTIONS if name in options}
    if not arguments:
        raise ValueError("proxied: needs an endpoint to listen on, as in proxied:from=127.0.0.1:tcp:7007")
    sources = parse_sources(own.get("from", ""))
    seconds = to_seconds("proxied", "within", own.get("within", f"{WITHIN:g}"))
    # An equals sign in an argument is quoted like a colon: what stands before one would be an option's name.
    behind = [quoteStringArgument(each).replace("=", "\\=") for each in arguments]
    behind += [f"{name}={quoteStringArgument(value)}" for name, value in options.items()]
    return ProxiedServerEndpoint(reactor, server_endpoint(reactor, ":".join(behind)), sources, seconds)


def _to_twisted(address: Address | None) -> IAddress | None:
    if address is None:
        return None
    if not isinstance(address, SocketAddress):
        return UNIXAddress(address.path or None)
    if ":" in address.host:
        return IPv6Address("TCP", address.host, address.port)
    return IPv4Address("TCP", address.host, address.port)
