"""
What a cluster asks its processes, over their control sockets.

That a process listens, which its log says, is not yet that it serves. A worker does not wait for its history without
end: it may listen without it, and answer its first clients with "unavailable". A balancer listens before it has found
its workers, and would have its first clients wait. What is still missing only the process itself knows: so it is asked,
again and again, until that is there or there was time enough.
"""

import json
from typing import Any, Final

from twisted.internet.task import deferLater

from echochat.cluster.crew import ChildFailed
from echochat.cluster.folder import Folder
from echochat.cluster.recipes import balancer_control, worker_control
from echochat.daemon.asking import NotAnswered, ask

SETTLING: Final = 2.0
"""
Seconds that the balancer has at most to find its workers before the cluster is said to be ready.
"""

_PAUSE: Final = 0.1
"""
Seconds from one question to the next.
"""


class Questions:
    """
    Asks the processes of one cluster.

    :param reactor: connects to them, and has the time.
    :param folder: where their sockets are.
    """

    def __init__(self, reactor: Any, folder: Folder) -> None:
        self._reactor = reactor
        self._folder = folder

    async def status(self, worker: str) -> dict[str, str]:
        """
        What a worker says of itself.

        :raises NotAnswered: it says nothing.
        """
        items = await self._ask(worker_control(self._folder, worker), "/status")
        return dict(item.split(": ", 1) for item in items if ": " in item)

    async def until_available(self, worker: str, seconds: float) -> None:
        """
        Wait until a worker has its history.

        :param seconds: that it has for that.
        :raises ChildFailed: it took longer.
        """
        until = self._reactor.seconds() + seconds
        while True:
            try:
                status = await self.status(worker)
                if status.get("history") == "available":
                    return
                why = f"its history: {status.get('history')}"
            except NotAnswered as error:
                why = str(error)
            if self._reactor.seconds() > until:
                raise ChildFailed(f"{worker}: {why}")
            await deferLater(self._reactor, _PAUSE)

    async def until_looked(self) -> None:
        """
        Give the balancer the moment that it takes to find its workers, :data:`SETTLING` at most: whoever comes first
        does not wait, and nothing is said behind the line that says how to come.
        """
        until = self._reactor.seconds() + SETTLING
        while self._reactor.seconds() < until:
            try:
                items = await self._ask(balancer_control(self._folder), "/status")
            except NotAnswered:
                return
            backends = [json.loads(item.removeprefix("backend ")) for item in items if item.startswith("backend ")]
            if all(backend["checked"] is not None for backend in backends):
                return
            await deferLater(self._reactor, _PAUSE)

    async def reload_balancer(self) -> None:
        """
        Have the balancer read what is written for it.

        :raises NotAnswered: it has not, or goes on as it was.
        """
        await self._ask(balancer_control(self._folder), "/reload")

    # Ours

    async def _ask(self, control: str, command: str) -> list[str]:
        items, _ = await ask(self._reactor, self._reactor, control, command)
        return items
