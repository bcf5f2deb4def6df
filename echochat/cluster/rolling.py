"""
Replacing the workers of a cluster, one by one, with their clients moved and nothing lost.

For each: a new one is started; when it is ready the balancer is told of it and of the end of the old one, whose clients
it then asks, spread over the drain time, to reconnect, which brings them to the others; when they have gone, or their
time is over, the old one is stopped, as SIGTERM stops any server: whoever is still there is told, and what was
acknowledged is in the log.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from txaio.tx import make_logger

from echochat.cluster.crew import Child, ChildFailed
from echochat.daemon.asking import NotAnswered

LOOK: Final = 0.1
"""
Seconds between two questions of how many clients a worker still has.
"""


class RollFailed(Exception):
    """
    The roll was given up. The message says why, and what is left as it was.
    """


class Hands(Protocol):
    """
    What a roll needs of its cluster.
    """

    def start_worker(self) -> Child:
        """
        Start a worker, of the settings as they are now.
        """

    async def ready(self, worker: Child) -> None:
        """
        Wait until a worker takes clients.

        :raises ChildFailed: it does not.
        """

    async def tell_balancer(self, workers: list[str]) -> None:
        """
        Have the balancer use these, and move the clients of the others.

        :raises NotAnswered: it does not know them.
        """

    async def clients(self, worker: str) -> int:
        """
        How many a worker has.

        :raises NotAnswered: it does not say.
        """

    def stop(self, worker: str) -> "Deferred[None]":
        """
        Stop a worker; fires when it has ended.
        """


class Roll:
    """
    One replacement of all workers.

    :param workers: the names of those that serve, changed as they are replaced.
    :param drain: seconds that the clients of one have.
    :ivar done: how many have been replaced, of ``total``.
    """

    log = make_logger()

    def __init__(self, hands: Hands, workers: list[str], clock: Any, drain: Callable[[], float]) -> None:
        self._hands = hands
        self._workers = workers
        self._clock = clock
        self._drain = drain
        self.done = 0
        self.total = len(workers)

    async def run(self) -> None:
        """
        Replace them all.

        :raises RollFailed: those that were replaced are; the others serve as before.
        """
        for old in list(self._workers):
            await self._replace(old)
            self.done += 1

    async def _replace(self, old: str) -> None:
        new = self._hands.start_worker()
        try:
            await self._hands.ready(new)
        except ChildFailed as error:
            await self._hands.stop(new.name)
            raise RollFailed(f"{error}; {old} and the others serve as before") from error
        workers = [new.name if each == old else each for each in self._workers]
        try:
            await self._hands.tell_balancer(workers)
        except NotAnswered as error:
            await self._hands.stop(new.name)
            raise RollFailed(f"the balancer: {error}; {old} and the others serve as before") from error
        self._workers[:] = workers
        self.log.info("{new} takes the place of {old}, whose clients are asked to reconnect", new=new.name, old=old)
        await self._until_left(old)
        await self._hands.stop(old)

    async def _until_left(self, old: str) -> None:
        until = self._clock.seconds() + self._drain()
        while self._clock.seconds() < until:
            try:
                if not await self._hands.clients(old):
                    return
            except NotAnswered:
                # It has ended by itself.
                return
            rest: Deferred[None] = Deferred()
            self._clock.callLater(LOOK, rest.callback, None)
            await rest
