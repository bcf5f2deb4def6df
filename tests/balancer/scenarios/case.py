"""
What every scenario has: a balancer, what stands behind it, and its clients.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest, TestCase

from tests.balancer.scenarios.ends import PATIENCE, End, call, reactor
from tests.balancer.scenarios.ours import EchochatLb
from tests.balancer.scenarios.proxies import Member, NotThere, Proxy, Setup
from tests.balancer.scenarios.stands import BlackHole, Stand, Standing

Scenario = TypeVar("Scenario", bound=Callable[..., Any])


def scenario(number: int, title: str) -> Callable[[Scenario], Scenario]:
    """
    A scenario of the balancer's specification.

    :param number: which of them.
    :param title: what it is called in the table of who passes what.
    """

    def mark(test: Scenario) -> Scenario:
        test.scenario = number  # type: ignore[attr-defined]  # functions have attributes
        test.title = title  # type: ignore[attr-defined]
        return test

    return mark


class ScenarioCase(TestCase):
    """
    :cvar kind: whose turn it is.
    """

    timeout = 120
    kind: ClassVar[type[Proxy]] = EchochatLb

    def setUp(self) -> None:
        why = self.kind.absent()
        if why is not None:
            raise SkipTest(f"{self.kind.title}: {why}")

    async def front(self, *behind: Stand | Member, **setup: Any) -> Proxy:
        """
        A balancer in front of these.
        """
        members = tuple(Member(each.name, each.port) if isinstance(each, Stand) else each for each in behind)
        proxy = self.kind(self, self.folder(), Setup(members, **setup))
        await proxy.start()
        return proxy

    def folder(self) -> Path:
        """
        A folder of its own; its path is short, since that of a UNIX socket has at most 107 bytes.
        """
        folder = tempfile.TemporaryDirectory(prefix="echochat-")
        self.addCleanup(folder.cleanup)
        return Path(folder.name)

    def stand(self, name: str, kind: type[Standing] = Standing) -> Stand:
        """
        A backend that is there.
        """
        stand = Stand(name, kind)
        stand.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(stand.fall()))
        return stand

    def black_hole(self, name: str) -> Member:
        """
        A backend that answers nothing.
        """
        hole = BlackHole()
        self.addCleanup(hole.close)
        return Member(name, hole.port)

    async def call(self, proxy: Proxy) -> End:
        """
        A client that has connected.
        """
        end = await call(proxy.port)
        self.addCleanup(lambda: Deferred.fromCoroutine(_leave(end)))
        return end

    async def hold(self, proxy: Proxy) -> tuple[End, str]:
        """
        A client that has been answered, and by whom; the name is empty when it has not.
        """
        end = await self.call(proxy)
        return end, (await end.ask()).decode().partition(" ")[0]

    async def visit(self, proxy: Proxy) -> str:
        """
        By whom a client was answered that has left again.
        """
        end, name = await self.hold(proxy)
        await end.hang_up()
        return name

    async def until_served_by(self, proxy: Proxy, name: str) -> None:
        """
        Visit, until a backend answers that has come back.

        :raises TimeoutError: it never does.
        """
        deadline = reactor.seconds() + PATIENCE
        while await self.visit(proxy) != name:
            if reactor.seconds() > deadline:
                raise TimeoutError(f"{name} serves nobody")
            await deferLater(reactor, 0.02)

    async def until_down(self, proxy: Proxy, name: str) -> None:
        """
        Wait until the balancer says that the backend is down.

        :raises TimeoutError: it never does.
        """
        deadline = reactor.seconds() + PATIENCE
        while name not in await proxy.down():
            if reactor.seconds() > deadline:
                raise TimeoutError(f"{name} is not said to be down")
            await deferLater(reactor, 0.02)

    async def until_counts(
        self, proxy: Proxy, are_right: Callable[[dict[str, int]], bool], seconds: float = PATIENCE
    ) -> None:
        """
        Ask the balancer for its counts until they are right.

        :raises AssertionError: they never are.
        """
        deadline = reactor.seconds() + seconds
        while not are_right(counts := await proxy.counts()):
            self.assertLess(reactor.seconds(), deadline, str(counts))
            await deferLater(reactor, 0.05)

    async def until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """
        Wait for something that nobody tells of: look, again and again.

        :raises TimeoutError: it does not come.
        """
        deadline = reactor.seconds() + seconds
        while not condition():
            if reactor.seconds() > deadline:
                raise TimeoutError("it does not come")
            await deferLater(reactor, 0.02)


async def _leave(end: End) -> None:
    end.transport.abortConnection()
    await end.until(lambda: end.is_gone)


__all__ = ["Member", "NotThere", "Proxy", "ScenarioCase", "Stand", "scenario"]
