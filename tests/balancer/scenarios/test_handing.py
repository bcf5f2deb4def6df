"""
Connections that are given to a process on the same machine.
"""

from tests.balancer.scenarios.case import Proxy, ScenarioCase, scenario
from tests.balancer.scenarios.ends import End
from tests.balancer.scenarios.servers import EchoServer


class HandingTests(ScenarioCase):
    """
    Whatever happens to a worker, a client that it has not taken yet is somebody else's, with all that it has sent.
    """

    async def workers(self, names: str) -> list[EchoServer]:
        """
        Servers that run, and take what is handed over.
        """
        folder = self.folder()
        workers = [EchoServer(self, name, folder, handoff=True) for name in names]
        for worker in workers:
            await worker.start()
        return workers

    async def speak(self, proxy: Proxy) -> End:
        """
        A client that has sent a line, and has not waited for anything.
        """
        client = await self.call(proxy)
        client.send(b"hello\n")
        return client

    @scenario(17, "Handed over with bytes that nobody has read: they are read")
    async def test_unread(self) -> None:
        """
        What had come before a worker had the connection is there for it.
        """
        (worker,) = await self.workers("a")
        proxy = await self.front(worker.member)
        self.assertEqual(await (await self.speak(proxy)).line(), b"HELLO")
        worker.freeze()
        client = await self.speak(proxy)
        worker.thaw()
        self.assertEqual(await client.line(), b"HELLO")
        self.assertEqual(await proxy.counts(), {"a": 2})
        await client.hang_up()
        await self.until_counts(proxy, {"a": 1}.__eq__)

    @scenario(17, "A worker is killed before it has taken what it was handed: another one gets it")
    async def test_killed(self) -> None:
        """
        No client notices that its first worker has died.
        """
        dying, other = await self.workers("ab")
        proxy = await self.front(dying.member, other.member)
        first = [await self.speak(proxy) for _ in range(2)]
        self.assertEqual([await client.line() for client in first], [b"HELLO"] * 2)
        dying.freeze()
        clients = [await self.speak(proxy) for _ in range(6)]
        await dying.kill()
        self.assertEqual([await client.line() for client in clients], [b"HELLO"] * 6)
        await self.until_counts(proxy, {"a": 0, "b": 7}.__eq__)
