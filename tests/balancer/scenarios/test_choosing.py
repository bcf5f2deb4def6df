"""
Which backend a connection goes to.
"""

from collections import Counter

from tests.balancer.scenarios.case import Member, ScenarioCase, scenario
from tests.balancer.scenarios.ends import reactor


class ChoosingTests(ScenarioCase):
    """
    Fewest connections, by weight; of equals each in its turn.
    """

    @scenario(1, "Ten one after another over two backends: five each")
    async def test_one_after_another(self) -> None:
        """
        Connections that are over do not count, and of two equals each gets its turn.
        """
        proxy = await self.front(self.stand("a"), self.stand("b"))
        visits = Counter([await self.visit(proxy) for _ in range(10)])
        self.assertEqual(visits, {"a": 5, "b": 5})

    @scenario(1, "Two held on one: the next ten make both equal")
    async def test_levels(self) -> None:
        """
        The emptier backend gets new connections until it is not emptier any more.
        """
        a, b = self.stand("a"), self.stand("b")
        proxy = await self.front(a, b)
        held = [await self.hold(proxy) for _ in range(4)]
        for end, name in held:
            if name == "b":
                await end.hang_up()
        self.assertEqual((len(a.sessions), len(b.sessions)), (2, 0))
        for _ in range(10):
            await self.hold(proxy)
        self.assertEqual((len(a.sessions), len(b.sessions)), (6, 6))

    @scenario(2, "Weights 1:2:3:4 and 100 held: 10, 20, 30 and 40, give or take one")
    async def test_weights(self) -> None:
        """
        Connections are shared out by weight.
        """
        stands = [self.stand(name) for name in "abcd"]
        proxy = await self.front(*(Member(each.name, each.port, weight=n + 1) for n, each in enumerate(stands)))
        for _ in range(100):
            await self.hold(proxy)
        for number, stand in enumerate(stands):
            self.assertApproximates(len(stand.sessions), 10 * (number + 1), 1, stand.name)

    @scenario(3, "Ties rotate over three")
    async def test_ties_rotate(self) -> None:
        """
        Of equals the one that was used least recently is next.
        """
        proxy = await self.front(*(self.stand(name) for name in "abc"))
        visits = [await self.visit(proxy) for _ in range(12)]
        for first in range(0, 12, 3):
            self.assertEqual(sorted(visits[first : first + 3]), ["a", "b", "c"], visits)

    @scenario(5, "A full backend is passed over")
    async def test_full_is_skipped(self) -> None:
        """
        A backend never has more connections than it may have, while another has room.
        """
        a, b = self.stand("a"), self.stand("b")
        proxy = await self.front(Member("a", a.port, most=2), b)
        for _ in range(9):
            await self.hold(proxy)
        self.assertEqual((len(a.sessions), len(b.sessions)), (2, 7))

    @scenario(5, "When all are full a client waits, and gets the place that comes free")
    async def test_queue(self) -> None:
        """
        Who finds every place taken is served as soon as somebody leaves.
        """
        a = self.stand("a")
        proxy = await self.front(Member("a", a.port, most=2), queue_timeout=30)
        (first, _), _ = [await self.hold(proxy) for _ in range(2)]
        waiting = await self.call(proxy)
        waiting.send(b"who\n")
        await first.hang_up()
        self.assertEqual(await waiting.line(), b"a who")
        self.assertEqual(len(a.sessions), 2)

    @scenario(5, "When no place comes free in time a client is let go, and the log says why")
    async def test_queue_timeout(self) -> None:
        """
        Nobody waits for ever.
        """
        a = self.stand("a")
        proxy = await self.front(Member("a", a.port, most=1), queue_timeout=0.3)
        await self.hold(proxy)
        waiting = await self.call(proxy)
        since = reactor.seconds()
        await waiting.until(lambda: waiting.has_finished)
        self.assertGreater(reactor.seconds() - since, 0.25)
        self.assertEqual((waiting.received, len(a.sessions)), (b"", 1))
        await proxy.program.until(proxy.waited_in_vain)

    @scenario(7, "A backup serves only while it is needed")
    async def test_backup(self) -> None:
        """
        The backup gets connections when the others are gone, and no more once one is back.
        """
        a, b = self.stand("a"), self.stand("b")
        proxy = await self.front(a, Member("b", b.port, backup=True))
        self.assertEqual({await self.visit(proxy) for _ in range(6)}, {"a"})
        await a.fall()
        self.assertEqual({await self.visit(proxy) for _ in range(6)}, {"b"})
        a.open()
        await self.until_served_by(proxy, "a")
        self.assertEqual({await self.visit(proxy) for _ in range(6)}, {"a"})
