"""
Backends that fail, and clients that do not wait.
"""

from random import Random
from typing import ClassVar

from tests.balancer.scenarios.case import Member, ScenarioCase, scenario
from tests.balancer.scenarios.ends import PATIENCE, End, reactor
from tests.balancer.scenarios.proxies import Proxy
from tests.balancer.scenarios.sockets import connecting
from tests.balancer.scenarios.stands import Closing, Stand
from tests.ports import free_port

_FALL = 3


class FailingTests(ScenarioCase):
    """
    As long as one backend is good, its clients do not notice what the others do.
    """

    @scenario(6, "Beside a backend that refuses, no client fails")
    async def test_refusing(self) -> None:
        """
        Whom one backend refuses another one serves.
        """
        proxy = await self.front(self.stand("good"), Member("bad", free_port()))
        self.assertEqual([await self.visit(proxy) for _ in range(20)], ["good"] * 20)

    @scenario(6, "Beside a backend that swallows every SYN, no client fails, and it is found out")
    async def test_black_hole(self) -> None:
        """
        Who waits for a backend that does not answer is given to another one, and soon nobody waits for it any more.
        """
        proxy = await self.front(self.stand("good"), self.black_hole("bad"), connect_timeout=1.0)
        self.assertEqual([await self.visit(proxy) for _ in range(2 * _FALL)], ["good"] * 2 * _FALL)
        since = reactor.seconds()
        self.assertEqual([await self.visit(proxy) for _ in range(20)], ["good"] * 20)
        # One attempt may be under way when it is found out. It would be ten if it were not.
        self.assertLess(reactor.seconds() - since, 4.0)

    @scenario(6, "A backend that closes at once is left alone after three connections")
    async def test_closing_at_once(self) -> None:
        """
        A backend that accepts and closes is always the emptiest; that does not make it attract everybody.
        """
        proxy = await self.front(self.stand("good"), self.stand("bad", Closing), interval=2.0)
        names = [await self.visit(proxy) for _ in range(30)]
        self.assertLessEqual(names.count(""), _FALL, names)

    @scenario(6, "A backend that fails while it is in use is found out within six seconds")
    async def test_detection(self) -> None:
        """
        With the checks as they are by default, a backend that is gone is known to be gone six seconds later, without
        any client that finds it out.
        """
        good, bad = self.stand("good"), self.stand("bad")
        proxy = await self.front(good, bad, interval=2.0)
        await self.visit(proxy)
        await bad.fall()
        since = reactor.seconds()
        await self.until_down(proxy, "bad")
        self.assertLess(reactor.seconds() - since, 6.0 + 1.0)  # the second is for asking

    @scenario(12, "A client that leaves while a backend is being connected to ends the attempt")
    async def test_gone_during_connect(self) -> None:
        """
        Nothing is left of a client that did not wait.
        """
        hole = self.black_hole("bad")
        before = connecting(hole.port)
        proxy = await self.front(hole, checks=False, connect_timeout=PATIENCE)
        client = await self.call(proxy)
        await self.until(lambda: connecting(hole.port) > before)
        client.transport.abortConnection()
        await self.until(lambda: connecting(hole.port) == before, PATIENCE / 2)


class CountingTests(ScenarioCase):
    """
    What a balancer counts is what there is.
    """

    rounds: ClassVar[int] = 300
    at_once: ClassVar[int] = 20

    def setUp(self) -> None:
        super().setUp()
        self.held: list[End] = []

    @scenario(4, "Connections opened and closed at random with random failures: the counts are the sockets'")
    async def test_counts(self) -> None:
        """
        After any mixture of clients that stay, leave and break off, and of backends that refuse and break, each
        backend's count is that of its open connections, and zero in the end.
        """
        random = Random(self.rounds)
        stands = [self.stand(name) for name in "abc"]
        proxy = await self.front(*stands, checks=False)
        for number in range(1, self.rounds + 1):
            if random.random() < 0.02:
                await self.disturb(random.choice(stands))
            ends = [await self.call(proxy) for _ in range(self.at_once // 10)]
            for end in ends:
                end.send(b"who\n")
            for end in ends:
                await end.line()
            self.held += [end for end in ends if not end.is_gone]
            random.shuffle(self.held)
            while len(self.held) > self.at_once:
                end = self.held.pop()
                if random.random() < 0.5:
                    end.transport.abortConnection()
                else:
                    end.transport.loseConnection()
                await self.until_gone(end)
            if number % (self.rounds // 3) == 0:
                await self.until_counts_agree(proxy, stands)
        for end in self.held:
            end.transport.abortConnection()
        for stand in stands:
            await self.until_empty(stand)
        await self.until_counts_agree(proxy, stands)

    async def until_gone(self, end: End) -> None:
        await end.until(lambda: end.is_gone)

    async def until_empty(self, stand: Stand) -> None:
        await stand.until(lambda: not stand.connections)

    async def disturb(self, stand: Stand) -> None:
        await stand.fall()
        stand.open()

    async def until_counts_agree(self, proxy: Proxy, stands: list[Stand]) -> None:
        await self.until_counts(proxy, lambda counts: counts == {each.name: len(each.connections) for each in stands})
