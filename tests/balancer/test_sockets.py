"""
Tests for what :mod:`echochat.balancer.sockets` and :mod:`echochat.net.lean.ends` do so that connections cost little:
the guarantees of all connections are in :mod:`tests.balancer.test_proxy`.
"""

import gc

from twisted.trial.unittest import TestCase

from echochat.net.lean.ends import FEW, SMALL, End
from tests.balancer.relayed import Balanced, OverSockets, Refusing


class CostTests(OverSockets, Balanced, TestCase):
    """
    Many small lines, and many short connections.
    """

    async def test_sizes(self) -> None:
        """
        Chunks of every size around those that are read at once pass both ways, one after another.
        """
        client, backend = await self.pair()
        sizes = [size + more for size in (1, FEW, SMALL, 2 * SMALL, FEW, 2) for more in (-1, 0, 1) if size + more]
        for size in sizes:
            chunk = bytes([size % 251]) * size
            for sender, reader in ((client, backend), (backend, client)):
                await sender.send(chunk)
                self.assertEqual(await reader.read(size), chunk)
        client.close()
        backend.close()
        await self.until(lambda: not self.factory.connections)
        traffic = self.backend.traffic
        self.assertEqual((traffic.bytes_in, traffic.bytes_out), (sum(sizes), sum(sizes)))

    async def test_nothing_is_left(self) -> None:
        """
        A connection that is over is freed at once, however it ended: the collector would have to look for what refers
        in a circle, and took a tenth of the time of short connections.
        """
        for end in (self._closed, self._reset, self._refused, self._killed):
            gc.collect()
            gc.disable()
            try:
                await end()
                await self.until(lambda: not self.factory.connections)
                left = [each for each in gc.get_objects() if isinstance(each, End)]
            finally:
                gc.enable()
            self.assertEqual(left, [], end)

    async def _closed(self) -> None:
        client, backend = await self.pair()
        client.finish()
        self.assertEqual(await backend.read_to_end(), b"")
        backend.close()
        self.assertEqual(await client.read_to_end(), b"")

    async def _reset(self) -> None:
        client, backend = await self.pair()
        await client.send(b"hello")
        self.assertEqual(await backend.read(5), b"hello")
        client.reset()
        self.assertTrue(await backend.is_reset())

    async def _refused(self) -> None:
        route, self.route = self.route, Refusing(at_once=True)
        client = await self.client()
        self.assertTrue(await client.is_reset())
        self.route = route

    async def _killed(self) -> None:
        client, _ = await self.pair()
        await self.until(lambda: self.factory.connections)
        for connection in list(self.factory.connections.values()):
            connection.kick()
        self.assertTrue(await client.is_reset())
