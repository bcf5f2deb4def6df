"""
Endpoints that add something to what another endpoint gives, and what can be put in between.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from twisted.internet.interfaces import IProtocolFactory, IStreamServerEndpoint

Layer: TypeAlias = Callable[[IProtocolFactory], IProtocolFactory]
"""
Makes of a factory one whose protocols stand between a transport and that factory's protocols.
"""


class ILayeredEndpoint(IStreamServerEndpoint):
    """
    An endpoint that has a layer of its own between the socket and the factory's protocols, such as TLS.
    """

    def listen_over(layer: Layer, factory: IProtocolFactory) -> Any:  # noqa: N805 (an interface's method)
        """
        Listen as ``listen`` does, with one more layer between the socket and the endpoint's own: a PROXY header comes
        before TLS.
        """


def listen_over(endpoint: Any, layer: Layer, factory: IProtocolFactory) -> Any:
    """
    Listen on an endpoint with a layer next to the socket.
    """
    if ILayeredEndpoint.providedBy(endpoint):
        return endpoint.listen_over(layer, factory)
    return endpoint.listen(layer(factory))
