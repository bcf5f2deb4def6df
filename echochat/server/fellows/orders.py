"""
Orders to the other servers, and their answers.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from echochat.chat.fellows.messages import Done

PATIENCE = 2.0
"""
Seconds that the other servers have to answer.
"""


@dataclass(slots=True)
class Expelled:
    """
    What came of an operator's wish that somebody be gone.

    :ivar closed: how many connections were closed, on all servers that said so.
    :ivar remarks: what the operator should know besides, a sentence each.
    """

    closed: int = 0
    remarks: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Order:
    waiting: set[str]
    expelled: Expelled
    answered: Deferred[Expelled]
    deadline: Any


class Orders:
    """
    Which orders are not answered yet.

    :param clock: for deadlines.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._next = 0
        self._orders: dict[int, _Order] = {}

    def give(self, servers: Iterable[str]) -> tuple[int, Deferred[Expelled]]:
        """
        An order is about to be sent.

        :param servers: whose answers are waited for.
        :return: its number, and what came of it: never fails.
        """
        self._next += 1
        waiting = set(servers)
        if not waiting:
            return self._next, succeed(Expelled())
        answered: Deferred[Expelled] = Deferred()
        deadline = self._clock.callLater(PATIENCE, self._give_up, self._next)
        self._orders[self._next] = _Order(waiting, Expelled(), answered, deadline)
        return self._next, answered

    def answered(self, done: Done) -> None:
        """
        A server has answered.
        """
        order = self._orders.get(done.number)
        if order is None or done.server not in order.waiting:
            return
        order.waiting.discard(done.server)
        order.expelled.closed += done.closed
        if not order.waiting:
            self._end(done.number)

    def stop(self) -> None:
        """
        Wait for nobody any more.
        """
        for number in [*self._orders]:
            self._give_up(number)

    def _give_up(self, number: int) -> None:
        order = self._orders[number]
        order.expelled.remarks += [f"server {server} has not answered" for server in sorted(order.waiting)]
        self._end(number)

    def _end(self, number: int) -> None:
        order = self._orders.pop(number)
        if order.deadline.active():
            order.deadline.cancel()
        order.answered.callback(order.expelled)
