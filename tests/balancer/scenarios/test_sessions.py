"""
echochat behind a balancer: three servers, each with its own history, and clients that publish and follow their own
topics.
"""

from typing import ClassVar

from twisted.internet.task import deferLater

from tests.balancer.scenarios.case import Proxy, ScenarioCase, scenario
from tests.balancer.scenarios.ends import reactor
from tests.balancer.scenarios.servers import Crowd, EchoServer
from tests.processes import DEADLINE

_TENTHS = 10


class SessionCase(ScenarioCase):
    """
    Servers and a crowd.

    :cvar crowd: how many clients.
    :cvar seconds: over which a server is drained.
    :cvar pace: seconds between two publishes of a client.
    """

    timeout = 240
    crowd: ClassVar[int] = 24
    seconds: ClassVar[float] = 2.0
    pace: ClassVar[float] = 0.2
    patience: ClassVar[float] = DEADLINE

    async def servers(self, names: str) -> list[EchoServer]:
        """
        Servers that run.
        """
        folder = self.folder()
        servers = [EchoServer(self, name, folder) for name in names]
        for server in servers:
            await server.start()
        return servers

    async def come(self, proxy: Proxy) -> Crowd:
        """
        A crowd that has come.
        """
        crowd = Crowd(self, proxy.port, self.crowd, self.pace, seed=self.crowd)
        await crowd.come()
        return crowd

    async def until_up(self, proxy: Proxy, name: str) -> None:
        """
        Ask the balancer until it says that the backend is up.
        """
        deadline = reactor.seconds() + self.patience
        while name in await proxy.down():
            self.assertLess(reactor.seconds(), deadline, f"{name} stays down")
            await deferLater(reactor, 0.05)


class MovingTests(SessionCase):
    """
    Servers leave and come, and their clients are somewhere else.
    """

    @scenario(15, "A drained server's sessions move, paced: nothing is lost, nothing doubled")
    async def test_drain(self) -> None:
        """
        The sessions of a server that is drained are elsewhere in time, not all at once, and neither an acknowledged
        event nor a delivery is missing or there twice.
        """
        servers = await self.servers("abc")
        proxy = await self.front(*(server.member for server in servers))
        crowd = await self.come(proxy)
        there = (await proxy.counts())["a"]
        self.assertApproximates(there, self.crowd / 3, 1)
        began = reactor.seconds()
        await proxy.drain("a", self.seconds)
        await self.until_counts(proxy, lambda counts: not counts["a"], self.patience)
        await crowd.settle()
        verdict = await crowd.judge(servers)
        print(f"\ndrain: {verdict}")
        self.assertEqual((verdict.lost, verdict.doubled, verdict.repeated), (0, 0, 0), str(verdict))
        self.assertEqual((verdict.untold, verdict.given_up, verdict.away), (0, 0, 0), str(verdict))
        moved = [when - began for person in crowd.people for when in person.connected[1:]]
        self.assertEqual(len(moved), there)
        tenth = max(moved) / _TENTHS
        most = max(sum(tenth * n <= when < tenth * (n + 1) for when in moved) for n in range(_TENTHS))
        # A tenth of so short a time may pass while this process does not run. What it may not be is all at once.
        self.assertLessEqual(most, max(6, 3 * there / _TENTHS))
        self.assertGreater(max(moved), self.seconds / 2)

    @scenario(16, "A server that joins gets its share of the sessions")
    async def test_rebalance(self) -> None:
        """
        Sessions move from the others until none has more than 1.1 times the mean.
        """
        servers = await self.servers("abcd")
        *first, joining = servers
        proxy = await self.front(*(server.member for server in first), rebalance=True, drain=self.seconds)
        crowd = await self.come(proxy)
        await proxy.add(joining.member)
        mean = self.crowd / 4
        await self.until_counts(
            proxy,
            lambda counts: (
                sum(counts.values()) == self.crowd
                and len(counts) == 4
                and all(0.8 * mean <= count <= 1.1 * mean + 1 for count in counts.values())
            ),
            self.patience,
        )
        await crowd.settle()
        verdict = await crowd.judge(servers)
        print(f"\nrebalance: {verdict}; {await proxy.counts()}")
        self.assertEqual((verdict.lost, verdict.doubled, verdict.repeated), (0, 0, 0), str(verdict))
        self.assertEqual((verdict.untold, verdict.given_up, verdict.away), (0, 0, 0), str(verdict))


class DyingTests(SessionCase):
    """
    Servers die, leave and come, and their clients go on.

    :cvar names: the servers, of which the last one joins later.
    :cvar rounds: how often it all happens.
    :cvar victims: how many are killed in a round.
    """

    crowd = 20
    seconds = 1.0
    names: ClassVar[str] = "abc"
    rounds: ClassVar[int] = 1
    victims: ClassVar[int] = 1

    async def test_servers_die_drain_and_join(self) -> None:
        """
        With servers that are killed with -9 and started again, drained, made ready and added, nobody gives up and
        nothing that was acknowledged is lost. (A publish that was under way when its server was killed may be in two
        histories: each server has its own.)
        """
        servers = await self.servers(self.names)
        *first, joining = servers
        proxy = await self.front(*(server.member for server in first), slow_start=1.0)
        crowd = await self.come(proxy)
        await proxy.add(joining.member)
        for _ in range(self.rounds):
            for server in first[: self.victims]:
                await server.kill()
                await self.until_counts(proxy, lambda counts: sum(counts.values()) == self.crowd, self.patience)
                await server.start()
                await self.until_up(proxy, server.name)
            await proxy.drain("b", self.seconds)
            await self.until_counts(proxy, lambda counts: not counts["b"], self.patience)
            await proxy.ready("b")
            await self.until_up(proxy, "b")
        await crowd.settle()
        verdict = await crowd.judge(servers)
        print(f"\n{self.rounds * self.victims} kills, {self.rounds} drains, a server added: {verdict}")
        self.assertEqual((verdict.lost, verdict.repeated, verdict.untold, verdict.away), (0, 0, 0, 0), str(verdict))
        self.assertGreater(verdict.connections, self.crowd)
