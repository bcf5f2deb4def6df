"""
The two queues at which the thread of the connection and that of the reactor meet: orders go in by one, reports come out
by the other, and each side is woken once for all that has come since it last looked. Nothing else is shared.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from echochat.broker.messages import Report
from echochat.broker.orders import Order

AT_ONCE: Final = 2_000
"""
The most reports that are passed on in one turn of the reactor: a flood must not keep it from everything else.
"""


class OrderQueue:
    """
    Orders, for the thread of the connection.
    """

    def __init__(self) -> None:
        self._orders: deque[Order] = deque()
        self._have_come = asyncio.Event()
        self._is_woken = False
        self._loop: asyncio.AbstractEventLoop | None = None

    # Called in the reactor's thread

    def put(self, order: Order) -> None:
        """
        Have something done, after all that was ordered before.
        """
        self._orders.append(order)
        if not self._is_woken and self._loop is not None:
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._have_come.set)

    # Called in the connection's thread

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """
        There is somebody to be woken.
        """
        self._loop = loop

    def next(self) -> Order | None:
        """
        The next order, if there is one.
        """
        return self._orders.popleft() if self._orders else None

    def look(self) -> None:
        """
        What comes from now on wakes us again. To be called before the orders are taken that there are.
        """
        self._have_come.clear()
        self._is_woken = False

    async def wait(self) -> None:
        """
        Wait for orders that came after the last :meth:`look`.
        """
        await self._have_come.wait()


class ReportQueue:
    """
    Reports, for the reactor's thread.

    :param reactor: any with ``callFromThread``.
    :param came: is given them in that thread, in their order, some at a time.
    """

    def __init__(self, reactor: Any, came: Callable[[list[Report]], None]) -> None:
        self._reactor = reactor
        self._came = came
        self._reports: deque[Report] = deque()
        self._is_woken = False

    # Called in the connection's thread

    def put(self, report: Report) -> None:
        """
        Tell something.
        """
        self._reports.append(report)
        self._wake()

    # Called in the reactor's thread

    def take(self) -> None:
        """
        Pass on what has come.
        """
        # Before anything is taken: what comes later wakes us again.
        self._is_woken = False
        self._came([self._reports.popleft() for _ in range(min(len(self._reports), AT_ONCE))])
        if self._reports:
            self._wake()

    # Ours

    def _wake(self) -> None:
        if not self._is_woken:
            self._is_woken = True
            self._reactor.callFromThread(self.take)
