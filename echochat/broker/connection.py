"""
One connection, from its making to its end.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error

from echochat.broker.address import BrokerAddress
from echochat.broker.client import OneConnection, explain
from echochat.broker.errors import CredentialsRefused
from echochat.broker.messages import Broken, Complaint, Message, Report, Up
from echochat.broker.orders import Order, Publish, Renew, Subscribe, Unsubscribe, hold
from echochat.broker.queues import OrderQueue

PING: Final = 2.0
"""
Seconds from one look whether the broker answers to the next.
"""

PATIENCE: Final = 4.0
"""
Seconds that it has to answer.
"""

_FLUSH: Final = 2.0
_MUCH_LATER: Final = 3_600


class Connection:
    """
    One connection to one server; all is called in the connection's thread.

    :param number: its own.
    :param subjects: the subscriptions that hold on each connection, by their numbers; kept up to date.
    :param orders: what is to be done.
    :param tell: takes reports.
    """

    def __init__(
        self, number: int, subjects: dict[int, str], orders: OrderQueue, tell: Callable[[Report], None]
    ) -> None:
        self._number = number
        self._subjects = subjects
        self._orders = orders
        self._tell = tell
        self._client = OneConnection(self._lose, lambda what: tell(Complaint(what)))
        self._subscriptions: dict[int, Subscription] = {}
        self._lost = asyncio.Event()
        self._why = ""

    # Called by the link

    async def open(self, address: BrokerAddress, server: str, name: str) -> str:
        """
        Make it.

        :return: why it could not be made; empty if it was.
        """
        try:
            await self._client.open(address, server, name)
        except CredentialsRefused as error:
            return str(error)
        except Exception as error:
            return self._why or explain(error)
        self._lost.clear()
        return ""

    async def use(self, stopping: asyncio.Event) -> str:
        """
        Do what is ordered and tell what comes, until the connection is lost, or no more is wanted.

        :return: why it has ended.
        """
        ended = [
            asyncio.ensure_future(self._lost.wait()),
            asyncio.ensure_future(stopping.wait()),
            asyncio.ensure_future(self._begin()),
        ]
        await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
        for each in ended:
            await cancelled(each)
        if stopping.is_set() and not self._lost.is_set():
            # What was ordered before the end, an unsubscription or a farewell, is still done.
            await _at_most(self._say_the_last())
        await _at_most(self._client.close())
        return self._why or "the connection was closed"

    def abandon(self) -> None:
        """
        Let go of it, whatever has become of it.
        """
        self._client.abandon()

    # Ours

    async def _begin(self) -> None:
        try:
            for number, subject in self._subjects.items():
                await self._subscribe(number, subject)
            await self._answered()
            self._tell(Up(self._number, self._client.info))
            looking = asyncio.ensure_future(self._look())
            try:
                await self._pump()
            finally:
                await cancelled(looking)
        except (Error, OSError, TimeoutError) as error:
            self._lose(explain(error))
        except Exception as error:
            self._fail(error)

    async def _look(self) -> None:
        """
        See whether the broker still answers. One that was stopped, or is behind a cable that was cut, says nothing.
        """
        try:
            while True:
                await asyncio.sleep(PING)
                await self._answered()
        except (Error, OSError) as error:
            self._lose(explain(error))
        except Exception as error:
            self._fail(error)

    async def _pump(self) -> None:
        while True:
            self._orders.look()
            await self._do_all()
            await self._orders.wait()

    async def _do_all(self) -> None:
        while (order := self._orders.next()) is not None:
            await self._do(order)

    async def _do(self, order: Order) -> None:
        hold(self._subjects, order)
        match order:
            case Publish(connection, subject, payload, reply, headers):
                if connection == self._number:
                    await self._client.publish(subject, payload, reply, headers=dict(headers) if headers else None)
            case Subscribe(number, subject):
                await self._subscribe(number, subject)
            case Unsubscribe(number):
                subscription = self._subscriptions.pop(number, None)
                if subscription is not None:
                    await subscription.unsubscribe()
            case Renew(connection):
                if connection == self._number:
                    self._lose("it is made anew")

    async def _subscribe(self, number: int, subject: str) -> None:
        if number not in self._subscriptions:
            self._subscriptions[number] = await self._client.subscribe(subject, cb=partial(self._came, number))

    async def _came(self, number: int, message: Msg) -> None:
        self._tell(Message(number, message.subject, message.data, message.reply, message.headers))

    async def _say_the_last(self) -> None:
        await self._do_all()
        await self._answered()

    async def _answered(self) -> None:
        """
        Wait until the broker has taken everything that was sent.

        :raises Error: it does not answer.
        """
        # Not to be cancelled: the answer to a ping that nobody waits for ends nats-py's reading, with a traceback.
        ping = asyncio.ensure_future(self._client.flush(timeout=_MUCH_LATER))
        ping.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait({ping}, timeout=PATIENCE)
        if not ping.done():
            raise Error("nats: the broker does not answer")
        ping.result()

    def _lose(self, why: str) -> None:
        # The first reason is the one; what follows comes of it.
        self._why = self._why or why
        self._lost.set()

    def _fail(self, error: Exception) -> None:
        self._tell(Broken(error))
        self._lose("it failed on this side")


async def cancelled(task: "asyncio.Future[Any]") -> None:
    """
    Cancel, and wait until that is done.
    """
    task.cancel()
    await asyncio.wait({task})


async def _at_most(doing: Coroutine[Any, Any, None]) -> None:
    """
    Do it, if it takes no longer than a flush should.
    """
    try:
        await asyncio.wait_for(doing, _FLUSH)
    except (Error, OSError, TimeoutError):
        # It was a courtesy.
        return
