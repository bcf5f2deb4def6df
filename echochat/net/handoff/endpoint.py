"""
Listening for connections that a balancer on this machine has accepted: ``handoff:run/w1.sock``.
"""

from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IReactorFDSet, IStreamServerEndpoint
from zope.interface import implementer

from echochat.net.handoff.port import HandoffPort


@implementer(IStreamServerEndpoint)
class HandoffServerEndpoint:
    """
    Listens on a socket that only this user may open, for sockets.

    :param reactor: an ``IReactorFDSet``; a lean one is faster.
    """

    def __init__(self, reactor: Any, path: str) -> None:
        self._reactor = reactor
        self._path = path

    # Called by Twisted

    def listen(self, protocolFactory: IProtocolFactory) -> "Deferred[IListeningPort]":
        """
        Fires with a :class:`HandoffPort`.
        """
        listening: Deferred[IListeningPort] = execute(self._listen, protocolFactory)
        return listening

    # Ours

    def _listen(self, factory: IProtocolFactory) -> HandoffPort:
        port = HandoffPort(self._path, self._reactor, factory)
        port.startListening()
        return port


def parse_server(reactor: Any, *arguments: str, **options: str) -> HandoffServerEndpoint:
    """
    Read what follows ``handoff:``, as Twisted has taken it apart.

    :raises ValueError: it makes no sense; the text says why.
    """
    if len(arguments) != 1 or not arguments[0] or options:
        raise ValueError("handoff: needs the path of a socket and nothing else, as in handoff:run/w1.sock")
    if not IReactorFDSet.providedBy(reactor):
        raise ValueError("handoff: needs a reactor that watches descriptors")
    return HandoffServerEndpoint(reactor, arguments[0])
