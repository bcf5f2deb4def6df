"""
The thread with the connection in it: nats-py needs a loop of asyncio, and under any reactor it gets one of its own.

The two threads meet at two queues: orders come in by one, reports go out by the other, and each side is woken once for
all that has come since it last looked. Nothing else is shared.
"""

import asyncio
import random
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error

from echochat.broker.address import BrokerAddress
from echochat.broker.client import OneConnection, explain
from echochat.broker.errors import CredentialsRefused
from echochat.broker.messages import Broken, Complaint, Down, Message, Report, Up
from echochat.broker.orders import Order, Publish, Renew, Subscribe, Unsubscribe
from echochat.broker.resolving import Resolvers
from echochat.wire.backoff import Backoff

PING: Final = 2.0
"""
Seconds from one look whether the broker answers to the next.
"""

PATIENCE: Final = 4.0
"""
Seconds that it has to answer.
"""

_CONNECT: Final = 10.0
_FLUSH: Final = 2.0
_MUCH_LATER: Final = 3_600
_BROKEN: Final = "it failed on this side"

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
        self._orders: deque[Order] = deque()
        self._has_orders = asyncio.Event()
        self._is_woken = False
        self._stopping = asyncio.Event()
        self._begun = threading.Event()
        # The number of the connection, the subscriptions that hold on each, and those of the one that there is.
        self._connection = 0
        self._attempt = 0
        self._subjects: dict[int, str] = {}
        self._subscriptions: dict[int, Subscription] = {}
        self._stopped: Callable[[], None] = _nothing
        self._lost = asyncio.Event()
        self._why = ""

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
        self._orders.append(order)
        if not self._is_woken and self._loop is not None:
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._has_orders.set)

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
                self._tell(Down(_BROKEN))
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
        pump = asyncio.ensure_future(self._pump(None))
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            pass
        finally:
            await _cancelled(pump)

    async def _serve(self, server: str) -> bool:
        """
        :return: whether there was a connection.
        """
        self._lost.clear()
        self._why = ""
        self._attempt += 1
        client = OneConnection(partial(self._ended, self._attempt), lambda what: self._tell(Complaint(what)))
        try:
            return await self._open_and_use(client, server)
        finally:
            client.abandon()

    async def _open_and_use(self, client: OneConnection, server: str) -> bool:
        opening = asyncio.ensure_future(client.open(self._address, server, self._name))
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({opening, stopping}, timeout=_CONNECT, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not opening.done():
            await _cancelled(opening)
            self._tell(Down("no answer"))
            return False
        error = opening.exception()
        if error is not None:
            self._tell(Down(self._why_not(error)))
            return False
        self._lost.clear()
        self._connection += 1
        await self._use(client)
        return True

    async def _use(self, client: OneConnection) -> None:
        self._subscriptions.clear()
        ended = [
            asyncio.ensure_future(self._lost.wait()),
            asyncio.ensure_future(self._stopping.wait()),
            asyncio.ensure_future(self._begin(client)),
        ]
        await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
        for each in ended:
            await _cancelled(each)
        if self._stopping.is_set() and not self._lost.is_set():
            # What was ordered before the end, an unsubscription or a farewell, is still done.
            await _at_most(self._say_the_last(client))
        self._subscriptions.clear()
        await _at_most(client.close())
        self._tell(Down(self._why or "the connection was closed"))

    async def _begin(self, client: OneConnection) -> None:
        try:
            for number, subject in self._subjects.items():
                await self._subscribe(client, number, subject)
            await _answered(client)
            self._tell(Up(self._connection, client.info))
            looking = asyncio.ensure_future(self._look(client))
            try:
                await self._pump(client)
            finally:
                await _cancelled(looking)
        except (Error, OSError, TimeoutError) as error:
            self._note_loss(explain(error))
        except Exception as error:
            self._note_failure(error)

    async def _look(self, client: OneConnection) -> None:
        """
        See whether the broker still answers. One that was stopped, or is behind a cable that was cut, says nothing.
        """
        try:
            while True:
                await asyncio.sleep(PING)
                await _answered(client)
        except (Error, OSError) as error:
            self._note_loss(explain(error))
        except Exception as error:
            self._note_failure(error)

    async def _pump(self, client: OneConnection | None) -> None:
        while True:
            self._has_orders.clear()
            self._is_woken = False
            while self._orders:
                await self._do(client, self._orders.popleft())
            await self._has_orders.wait()

    async def _do(self, client: OneConnection | None, order: Order) -> None:
        match order:
            case Publish(connection, subject, payload, reply, headers):
                if client is not None and connection == self._connection:
                    await client.publish(subject, payload, reply, headers=dict(headers) if headers else None)
            case Subscribe(number, subject):
                self._subjects[number] = subject
                if client is not None:
                    await self._subscribe(client, number, subject)
            case Unsubscribe(number):
                self._subjects.pop(number, None)
                subscription = self._subscriptions.pop(number, None)
                if client is not None and subscription is not None:
                    await subscription.unsubscribe()
            case Renew(connection):
                if connection == self._connection:
                    self._note_loss("it is made anew")

    async def _subscribe(self, client: OneConnection, number: int, subject: str) -> None:
        if number not in self._subscriptions:
            callback = partial(self._came, number)
            self._subscriptions[number] = await client.subscribe(subject, cb=callback)

    async def _came(self, number: int, message: Msg) -> None:
        self._tell(Message(number, message.subject, message.data, message.reply, message.headers))

    async def _say_the_last(self, client: OneConnection) -> None:
        while self._orders:
            await self._do(client, self._orders.popleft())
        await _answered(client)

    def _ended(self, attempt: int, why: str) -> None:
        # One that was given up may say later that it has ended, which is no news of the next one.
        if attempt == self._attempt:
            self._note_loss(why)

    def _note_loss(self, why: str) -> None:
        # The first reason is the one; what follows comes of it.
        self._why = self._why or why
        self._lost.set()

    def _note_failure(self, error: Exception) -> None:
        self._tell(Broken(error))
        self._note_loss(_BROKEN)

    def _why_not(self, error: BaseException) -> str:
        if isinstance(error, CredentialsRefused):
            return str(error)
        return self._why or explain(error)


async def _answered(client: OneConnection) -> None:
    """
    Wait until the broker has taken everything that was sent.

    :raises Error: it does not answer.
    """
    # Not to be cancelled: the answer to a ping that nobody waits for ends nats-py's reading, with a traceback.
    ping = asyncio.ensure_future(client.flush(timeout=_MUCH_LATER))
    ping.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait({ping}, timeout=PATIENCE)
    if not ping.done():
        raise Error("nats: the broker does not answer")
    ping.result()


async def _at_most(doing: Coroutine[Any, Any, None]) -> None:
    """
    Do it, if it takes no longer than a flush should.
    """
    try:
        await asyncio.wait_for(doing, _FLUSH)
    except (Error, OSError, TimeoutError):
        # It was a courtesy.
        return


async def _cancelled(task: "asyncio.Future[Any]") -> None:
    task.cancel()
    await asyncio.wait({task})


def _nothing() -> None:
    """
    Nobody waits.
    """
