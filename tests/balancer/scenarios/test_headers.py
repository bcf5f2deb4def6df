"""
PROXY headers: in from whoever is trusted, and out to backends.
"""

from twisted.internet.error import ConnectError
from twisted.internet.task import deferLater

from echochat.wire.proxy import SocketAddress, encode_v1, encode_v2
from tests.balancer.scenarios.case import ScenarioCase, scenario
from tests.balancer.scenarios.ends import End, reactor
from tests.balancer.scenarios.stands import Informed

_FOUR = SocketAddress("192.0.2.1", 1111), SocketAddress("192.0.2.2", 2222)
_SIX = SocketAddress("2001:db8::1", 1111), SocketAddress("2001:db8::2", 2222)


async def _one_by_one(end: End, data: bytes) -> None:
    for at in range(len(data)):
        end.send(data[at : at + 1])
        # Each byte has left before the next one is written.
        await deferLater(reactor, 0)


class HeaderTests(ScenarioCase):
    """
    Backends learn where a client is, however many balancers are in between.
    """

    async def origin(self, header: bytes, version: str = "v1", trusted: str = "127.0.0.1") -> bytes:
        """
        What a backend takes for the client's address; nothing, when the client is let go.
        """
        proxy = await self.front(self.stand("a", Informed), trusted=trusted, send_proxy=version)
        try:
            client = await self.call(proxy)
        except ConnectError:
            return b""
        client.send(header)
        return await client.ask()

    async def origin_in_pieces(self, header: bytes) -> bytes:
        """
        Likewise, and the header comes one byte at a time.
        """
        proxy = await self.front(self.stand("a", Informed), trusted="127.0.0.1", send_proxy="v1")
        client = await self.call(proxy)
        await _one_by_one(client, header)
        return await client.ask()

    @scenario(13, "The client's address is sent as PROXY v1")
    async def test_sends_v1(self) -> None:
        """
        The backend is told in version 1.
        """
        await self.check_sent("v1")

    @scenario(13, "The client's address is sent as PROXY v2")
    async def test_sends_v2(self) -> None:
        """
        The backend is told in version 2.
        """
        await self.check_sent("v2")

    @scenario(13, "PROXY v1 and v2, IPv4 and IPv6, come in and go on to the backend")
    async def test_passes_on(self) -> None:
        """
        What a header says is what the backend is told.
        """
        for header in (encode_v1(*_FOUR), encode_v2(*_FOUR)):
            self.assertEqual(await self.origin(header), b"192.0.2.1 1111")
        for header in (encode_v1(*_SIX), encode_v2(*_SIX)):
            self.assertEqual(await self.origin(header), b"2001:db8::1 1111")

    @scenario(13, "PROXY v1 is understood one byte at a time")
    async def test_v1_in_pieces(self) -> None:
        """
        A header is understood however it is cut.
        """
        self.assertEqual(await self.origin_in_pieces(encode_v1(*_FOUR)), b"192.0.2.1 1111")

    @scenario(13, "PROXY v2 is understood one byte at a time")
    async def test_v2_in_pieces(self) -> None:
        """
        In version 2, too.
        """
        self.assertEqual(await self.origin_in_pieces(encode_v2(*_SIX)), b"2001:db8::1 1111")

    @scenario(13, "What is no header is refused")
    async def test_malformed(self) -> None:
        """
        Who sends something else than a header is let go, and no backend hears of it.
        """
        self.assertEqual(await self.origin(b"PROXY TCP5 192.0.2.1 192.0.2.2 1111 2222\r\n"), b"")

    @scenario(13, "A header with half an address in it is refused")
    async def test_strict(self) -> None:
        """
        What has to be an address is one.
        """
        self.assertEqual(await self.origin(b"PROXY TCP4 192.0.2.1 192.0.2 1111 2222\r\n"), b"")

    @scenario(13, "A header from an unlisted source is not believed")
    async def test_unlisted(self) -> None:
        """
        An address is not believed because somebody says it.
        """
        self.assertNotEqual(await self.origin(encode_v1(*_FOUR), "v1", "127.0.0.77"), b"192.0.2.1 1111")

    async def check_sent(self, version: str) -> None:
        proxy = await self.front(self.stand("a", Informed), send_proxy=version)
        client = await self.call(proxy)
        host = client.transport.getHost()
        self.assertEqual(await client.ask(), f"{host.host} {host.port}".encode())
