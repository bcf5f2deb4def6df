"""
The balancer's scenarios with their full numbers; about ten minutes.
"""

from tests.balancer.scenarios import test_changing, test_failing, test_sessions


class ManySessionsTests(test_sessions.MovingTests):
    """
    A thousand sessions at each of three servers.
    """

    timeout = 900
    crowd = 3_000
    seconds = 30.0
    pace = 10.0
    patience = 300.0


class TwoHundredClientsTests(test_sessions.SessionCase):
    """
    Two hundred clients, and servers that die, leave and come.
    """

    timeout = 900
    crowd = 200
    seconds = 10.0
    pace = 0.5
    rounds = 3
    patience = 120.0

    async def test_servers_die_drain_and_join(self) -> None:
        """
        With servers that are killed with -9 and started again, drained, made ready and added, nobody gives up and
        nothing that was acknowledged is lost. (A publish that was under way when its server was killed may be in two
        histories: each server has its own.)
        """
        servers = await self.servers("abcd")
        proxy = await self.front(*(server.member for server in servers[:3]), slow_start=1.0)
        crowd = await self.come(proxy)
        await proxy.add(servers[3].member)
        for _ in range(self.rounds):
            for server in servers[:3]:
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
        print(f"\n{3 * self.rounds} kills, {self.rounds} drains, a server added: {verdict}")
        self.assertEqual((verdict.lost, verdict.repeated, verdict.untold, verdict.away), (0, 0, 0, 0), str(verdict))
        self.assertGreater(verdict.connections, self.crowd)


class ManyConnectionsTests(test_failing.CountingTests):
    """
    Ten thousand connections that come, stay, go and break.
    """

    timeout = 900
    rounds = 5_000
    at_once = 200


class ManyReloadsTests(test_changing.ReloadTests):
    """
    A hundred reloads.
    """

    timeout = 900
    reloads = 100
