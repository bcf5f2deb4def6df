"""
Backends that come back, and configurations that are read again, while clients go on.
"""

from collections import Counter
from dataclasses import replace
from typing import ClassVar

from twisted.internet.task import deferLater

from tests.balancer.scenarios.case import Proxy, ScenarioCase, Stand, scenario
from tests.balancer.scenarios.ends import PATIENCE, reactor

_SLOW = 3.0


class SlowStartTests(ScenarioCase):
    """
    A backend comes back.
    """

    @scenario(14, "A backend that has come back gets at most twice its fair share in any second")
    async def test_slow_start(self) -> None:
        """
        A backend that is empty because it was away is not flooded.
        """
        stands = [self.stand(name) for name in "abc"]
        proxy = await self.front(*stands, slow_start=_SLOW, interval=0.1)
        for _ in range(240):
            await self.hold(proxy)
        back = stands[2]
        await back.fall()
        self.assertNotIn("c", [await self.visit(proxy) for _ in range(6)])
        await self.until_down(proxy, "c")
        began = await self.come_back(proxy, back)
        served: list[tuple[float, str]] = []
        deadline = reactor.seconds() + 20
        while reactor.seconds() < began + _SLOW or not any(name == "c" for _, name in served):
            self.assertLess(reactor.seconds(), deadline)
            _, name = await self.hold(proxy)
            served.append((reactor.seconds(), name))
            await deferLater(reactor, 0.01)
        for second in range(int(_SLOW)):
            names = Counter(name for when, name in served if second <= when - began < second + 1)
            # Connections are whole: where few come, that is one more.
            self.assertLessEqual(names["c"], 2 / 3 * names.total() + 1, f"second {second}: {names}")

    async def come_back(self, proxy: Proxy, stand: Stand) -> float:
        """
        A backend is there again, and the balancer has noticed.

        :return: a moment before that: whoever is answered within the time of a slow start from then on was given to a
            backend in its slow start, however busy the machine is.
        """
        asked: float = reactor.seconds()
        before, deadline = asked, asked + PATIENCE
        stand.open()
        while stand.name in await proxy.down():
            self.assertLess(asked, deadline)
            await deferLater(reactor, 0.02)
            before, asked = asked, reactor.seconds()
        return before


class ReloadTests(ScenarioCase):
    """
    A configuration is read again.
    """

    reloads: ClassVar[int] = 5

    @scenario(18, "Reloads while clients come, go and stay: nobody is refused, nobody is closed")
    async def test_reloads(self) -> None:
        """
        A configuration is read again under connections that do not notice.
        """
        a, b, c = (self.stand(name) for name in "abc")
        proxy = await self.front(a, b)
        members = proxy.setup.members
        held = [(await self.hold(proxy))[0] for _ in range(10)]
        for number in range(self.reloads):
            more = [replace(members[0], name="c", port=c.port)] if number % 2 == 0 else []
            await proxy.reload(replace(proxy.setup, members=(*members, *more)))
            for _ in range(20):
                self.assertIn(await self.visit(proxy), ("a", "b", "c"))
            if more:
                # It was read when somebody gets there.
                await self.until_served_by(proxy, "c")
        for end in held:
            self.assertIn(await end.ask(), (b"a who", b"b who"))
