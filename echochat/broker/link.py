"""
The thread with the connection in it: nats-py needs a loop of asyncio, and under any reactor it gets one of its own.

The two threads meet at the two queues of :mod:`echochat.broker.queues`, and share nothing else.
"""

import asyncio
import random
import threading
from collections.abc import Callable, Sequence
from typing import Final

from echochat.broker.address import BrokerAddress
from echochat.broker.connection import Connection, cancelled
from echochat.broker.messages import Broken, Down, Report
from echochat.broker.orders import Order, hold
from echochat.broker.queues import OrderQueue
from echochat.broker.resolving import Resolvers
from echochat.wire.backoff import Backoff

_CONNECT: Final = 10.0

FIRST_WAIT: Final = 0.1
LONGEST_WAIT: Final = 5.0
"""
Seconds between rounds of attempts; what the jitter makes of them lies between 0 and these.
"""


class Link:
    """
    Keeps a connection to one of the servers, for ever.

    :param name: what the broker calls us in its own reports.
    :param tell: takes reports; called in this thread.
    """

    def __init__(self, address: BrokerAddress, name: str, tell: Callable[[Report], None]) -> None:
        self._address = address
        self._name = name
        self._tell = tell
        self._thread = threading.Thread(target=self._run, name="nats", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._orders = OrderQueue()
        self._stopping = asyncio.Event()
        self._begun = threading.Event()
        self._attempt = 0
        self._subjects: dict[int, str] = {}
        self._stopped: Callable[[], None] = _nothing

    # Called in the reactor's thread

    def start(self) -> None:
        """
        Begin to connect.
        """
        self._thread.start()
        self._begun.wait()

    def order(self, order: Order) -> None:
        """
        Have something done, after all that was ordered before.
        """
        self._orders.put(order)

    def stop(self, stopped: Callable[[], None]) -> None:
        """
        Do what was ordered, as far as it is possible at once, and end.

        :param stopped: is called in this thread, at its very end; then :meth:`join` takes no time.
        """
        assert self._loop is not None
        self._stopped = stopped
        self._loop.call_soon_threadsafe(self._stopping.set)

    def join(self) -> None:
        """
        Wait for the thread's end.
        """
        self._thread.join()

    # Ours

    def _run(self) -> None:
        try:
            asyncio.run(self._keep())
        finally:
            # Whoever waits for the end would wait for ever.
            self._stopped()

    async def _keep(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._orders.begin(self._loop)
        self._loop.set_default_executor(Resolvers())
        self._begun.set()
        backoff = Backoff(random.uniform, FIRST_WAIT, LONGEST_WAIT)
        servers = list(self._address.servers)
        random.shuffle(servers)
        while not self._stopping.is_set():
            try:
                if await self._serve_one_of(servers):
                    backoff.reset()
            except Exception as error:
                self._tell(Broken(error))
                self._tell(Down("it failed on this side"))
            await self._pause(backoff.next_delay())

    async def _serve_one_of(self, servers: Sequence[str]) -> bool:
        """
        :return: whether there was a connection to any.
        """
        for server in servers:
            if self._stopping.is_set():
                return False
            if await self._serve(server):
                return True
        return False

    async def _pause(self, seconds: float) -> None:
        """
        Wait, and take orders: what is subscribed meanwhile holds on the next connection, and nothing else matters.
        """
        holding = asyncio.ensure_future(self._hold())
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            pass
        finally:
            await cancelled(holding)

    async def _hold(self) -> None:
        while True:
            self._orders.look()
            while (order := self._orders.next()) is not None:
                hold(self._subjects, order)
            await self._orders.wait()

    async def _serve(self, server: str) -> bool:
        """
        :return: whether there was a connection.
        """
        self._attempt += 1
        connection = Connection(self._attempt, self._subjects, self._orders, self._tell)
        try:
            why_not = await self._open(connection, server)
            if not why_not:
                self._tell(Down(await connection.use(self._stopping)))
                return True
            self._tell(Down(why_not))
            return False
        finally:
            connection.abandon()

    async def _open(self, connection: Connection, server: str) -> str:
        """
        :return: why it could not be opened; empty if it was.
        """
        opening = asyncio.ensure_future(connection.open(self._address, server, self._name))
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({opening, stopping}, timeout=_CONNECT, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if opening.done():
            return opening.result()
        await cancelled(opening)
        return "no answer"


def _nothing() -> None:
    """
    Nobody waits.
    """
