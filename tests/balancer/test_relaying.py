"""
Tests for :mod:`echochat.balancer.relaying`: what is said of endpoints.
"""

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.balancer.backends import Backend
from echochat.balancer.relaying import RelayRoute
from echochat.net.tls.files import TlsFileError
from tests.balancer.relayed import Balanced, OverSockets

reactor: Any = _reactor


class EndpointTests(SynchronousTestCase):
    """
    What is wrong with an endpoint shows when the backend is made.
    """

    def test_file(self) -> None:
        """
        ... a file that is missing, too, and not at the first client or check.
        """
        with self.assertRaisesRegex(TlsFileError, "/nowhere"):
            RelayRoute(reactor, Backend("a", "tls:localhost:1:ca=/nowhere"), None)


class NameTests(OverSockets, Balanced, TestCase):
    """
    A backend that is known by its name.
    """

    async def test_looked_up_each_time(self) -> None:
        """
        The name is looked up for each connection, so that the backend may move.
        """
        self.names: list[str] = []
        self.behind = reactor.nameResolver
        self.addCleanup(reactor.installNameResolver, reactor.installNameResolver(self))
        for times in (1, 2):
            client, backend = await self.pair()
            await client.send(b"hello")
            self.assertEqual(await backend.read(5), b"hello")
            self.assertEqual(self.names, ["localhost"] * times)

    def endpoint(self) -> str:
        return super().endpoint().replace("127.0.0.1", "localhost")

    def resolveHostName(self, receiver: Any, name: str, *arguments: Any, **options: Any) -> Any:
        """
        Twisted's, and count.
        """
        self.names.append(name)
        return self.behind.resolveHostName(receiver, name, *arguments, **options)
