"""
What passes through a connection.
"""

from typing import ClassVar

from twisted.internet.error import ConnectionLost

from tests.balancer.scenarios.case import Proxy, ScenarioCase, scenario
from tests.balancer.scenarios.ends import End
from tests.balancer.scenarios.stands import Greeting, Raw

_MIB = 1 << 20


class PathTests(ScenarioCase):
    """
    Everything arrives, in both directions, and no more is held than has to be.
    """

    bulk: ClassVar[int] = 50 * _MIB

    async def pair(self) -> tuple[Proxy, End, End]:
        """
        A balancer, and both ends of a connection through it.
        """
        stand = self.stand("a", Raw)
        proxy = await self.front(stand, checks=False)
        client = await self.call(proxy)
        await stand.until(lambda: bool(stand.connections))
        return proxy, client, stand.connections[0]

    @scenario(8, "A backend that speaks first is heard")
    async def test_speaks_first(self) -> None:
        """
        A client need not say anything to be spoken to.
        """
        proxy = await self.front(self.stand("a", Greeting))
        client = await self.call(proxy)
        self.assertEqual(await client.line(), b"a greets you")

    @scenario(9, "50 MiB to a client that has stopped reading, then the end: all arrives, in bounded memory")
    async def test_to_a_stopped_client(self) -> None:
        """
        A client that does not read costs a few hundred KiB, and has everything when it reads on.
        """
        proxy, client, server = await self.pair()
        await self.check_stopped(proxy, server, client)

    @scenario(9, "50 MiB to a backend that has stopped reading, then the end: likewise")
    async def test_to_a_stopped_backend(self) -> None:
        """
        Nor does a backend that does not read.
        """
        proxy, client, server = await self.pair()
        await self.check_stopped(proxy, client, server)

    @scenario(10, "Random chunks both ways at once: the same bytes arrive")
    async def test_random_chunks(self) -> None:
        """
        However it is cut, and whatever comes the other way, all bytes arrive in order.
        """
        _, client, server = await self.pair()
        client.pour(8 * _MIB, 1)
        server.pour(8 * _MIB, 2)
        await client.until(lambda: client.taken == 8 * _MIB)
        await server.until(lambda: server.taken == 8 * _MIB)
        self.assertEqual(client.digest.digest(), server.sent_digest.digest())
        self.assertEqual(server.digest.digest(), client.sent_digest.digest())

    @scenario(11, "A client that has finished sending still gets everything")
    async def test_client_half_closes(self) -> None:
        """
        The end of what the client sends is passed on, and closes nothing else.
        """
        _, client, server = await self.pair()
        await self.check_half_close(client, server)

    @scenario(11, "A backend that has finished sending still gets everything")
    async def test_backend_half_closes(self) -> None:
        """
        Nor does the end of what the backend sends.
        """
        _, client, server = await self.pair()
        await self.check_half_close(server, client)

    @scenario(11, "A reset arrives as a reset")
    async def test_reset(self) -> None:
        """
        Who breaks a connection off is not taken for somebody who has finished.
        """
        _, client, server = await self.pair()
        client.send(b"one\n")
        await server.until(lambda: server.taken == 4)
        server.transport.abortConnection()
        await client.until(lambda: client.has_finished)
        assert client.why is not None, "it arrived as an ordinary end"
        self.assertIs(client.why.type, ConnectionLost)

    async def check_half_close(self, first: End, second: End) -> None:
        first.send(b"all that I have to say\n")
        first.transport.loseWriteConnection()
        await second.until(lambda: second.has_finished)
        self.assertEqual(await second.line(), b"all that I have to say")
        second.pour(2 * _MIB, 3)
        await second.until(lambda: second.has_poured)
        second.transport.loseWriteConnection()
        await first.until(lambda: first.has_finished)
        self.assertEqual(first.digest.digest(), second.sent_digest.digest())
        first.transport.loseConnection()

    async def check_stopped(self, proxy: Proxy, sender: End, reader: End) -> None:
        before = proxy.memory()
        reader.transport.pauseProducing()
        sender.pour(self.bulk, 4)
        # The kernel holds some MiB at each of the four sockets. When they are full nothing moves any more.
        await self.until(sender.is_stuck)
        self.assertLess(sender.given, self.bulk)
        self.assertLess(proxy.memory() - before, 2 * _MIB)
        reader.transport.resumeProducing()
        await sender.until(lambda: sender.has_poured)
        sender.transport.loseWriteConnection()
        await reader.until(lambda: reader.has_finished)
        self.assertEqual((reader.taken, reader.digest.digest()), (self.bulk, sender.sent_digest.digest()))
