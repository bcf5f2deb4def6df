"""
Keeping a connection: connect, take the name, see the connection through to its end, wait, and again.

**Names.** A server knows a repeated publish by its publisher's name, its topic and its label, and a guest's name is
another on each connection. So the first name is kept: on each later connection it is asked for with ``/nick`` before
anything is published. It can be refused right after a drop, while the server still holds the old connection for alive;
it is asked for again then, with the same back-off as connecting and no limit, while subscriptions are live already.
Publishing under another name meanwhile was rejected: what had been stored before would be stored a second time. Only a
name that the user chose and never had is an error, at once.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from echochat.client.core import News
from echochat.client.credentials import Credentials
from echochat.client.heartbeat import Heartbeat
from echochat.client.outcomes import Disconnected, Moved, Refused
from echochat.client.protocol import Client, connect
from echochat.client.publisher import FOR_THE_MOMENT
from echochat.wire.answers import Drain
from echochat.wire.backoff import Backoff, Jitter

CONNECT_TIMEOUT: Final = 10.0

STEADY: Final = 1.0
"""
Seconds after which a connection counts as a success: a server that drops everybody at once is not hammered.
"""

NO_ROOM: Final = FOR_THE_MOMENT | {"too-many"}
"""
Refusals of the first request after which it is right to come again.
"""

IN_VAIN: Final = frozenset({"login-failures", "banned", "protocol"})
"""
Farewells after which connecting again does not help.
"""


class Stopped(Exception):
    """
    The server will not have this client, and there is no use in trying again. The message says why; its cause is the
    refusal, if there was one.
    """


@dataclass(frozen=True, slots=True)
class Connected:
    """
    There is a connection, under this name.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """
    There is no connection: why, and in how many seconds the next attempt is made; ``inf`` after :class:`Stopped`.
    """

    why: Exception
    delay: float


Status = Connected | Reconnecting


class Tenant(Protocol):
    """
    What uses the connections.
    """

    def opened(self, client: Client) -> None:
        """
        There is a connection to an echochat server; its name may still be another.
        """

    def named(self, client: Client) -> None:
        """
        The name on it is the one that is kept.
        """

    def lost(self) -> None:
        """
        It has ended, whether it was opened or not.
        """

    def arrived(self, news: News) -> None:
        """
        The server said something unasked.
        """

    def stopped(self, why: Stopped) -> None:
        """
        There will be no other.
        """


class Keeper:
    """
    :param name: the name to have; None for the first that the server gives.
    :param credentials: what to show on each connection to be more than a guest.
    :param on_status: is told of each connection, and of each failure.
    """

    def __init__(
        self,
        tenant: Tenant,
        endpoint: IStreamClientEndpoint,
        clock: IReactorTime,
        jitter: Jitter,
        name: str | None,
        credentials: Credentials | None,
        on_status: Callable[[Status], None],
    ) -> None:
        self.name = name
        self.credentials = credentials
        self._tenant = tenant
        self._endpoint = endpoint
        self._clock = clock
        self._jitter = jitter
        self._backoff = Backoff(jitter)
        self._on_status = on_status
        self._had_name = False
        self._client: Client | None = None
        self._moving: IDelayedCall | None = None
        self._stopped: Stopped | None = None
        self._no_room: Refused | None = None
        self._moved: Moved | None = None
        self._leaving = False

    async def run(self) -> None:
        """
        Keep a connection until it is of no more use; cancel it to end it.
        """
        while self._wanted:
            try:
                client = await connect(self._endpoint, self._clock, timeout=CONNECT_TIMEOUT, on_news=self._arrived)
            except CancelledError:
                raise
            except Exception as error:
                why: Exception = error
            else:
                end = await self._serve(client)
                # That we hung up is not why.
                why = self._no_room or self._moved or end
                self._no_room = self._moved = None
            if self._wanted:
                delay = self._backoff.next_delay()
                self._on_status(Reconnecting(why, delay))
                await deferLater(self._clock, delay)
        if self._stopped is not None:
            self._tenant.stopped(self._stopped)
            self._on_status(Reconnecting(self._stopped, math.inf))

    def leave(self) -> None:
        """
        Make no other connection when this one ends.
        """
        self._leaving = True

    @property
    def _wanted(self) -> bool:
        return self._stopped is None and not self._leaving

    async def _serve(self, client: Client) -> Disconnected:
        """
        See one connection through to its end.
        """
        self._client = client
        since = self._clock.seconds()
        heartbeat = Heartbeat(client, self._clock)
        signing_in = Deferred.fromCoroutine(self._sign_in(client))
        signing_in.addErrback(self._could_not_sign_in, client)
        try:
            end = await client.closed()
        except CancelledError:
            client.abort()
            raise
        finally:
            self._client = None
            signing_in.cancel()
            heartbeat.stop()
            if self._moving is not None:
                self._moving.cancel()
                self._moving = None
            self._tenant.lost()
        if self._clock.seconds() - since >= STEADY:
            self._backoff.reset()
        if end.bye is not None and end.bye.code in IN_VAIN:
            self._stopped = Stopped(f"{end.bye.code}: {end.bye.explanation}")
        return end

    async def _sign_in(self, client: Client) -> None:
        # The question also proves that this is an echochat server.
        name, kind = (await client.command("whoami")).rest.split(" ")
        if kind == "guest" and self.credentials is not None:
            reply = await client.command(self.credentials.verb, *self.credentials.arguments)
            name, kind = reply.rest, "account"
        if kind != "guest" or self.name is None:
            self.name = name
        granted = name == self.name or await self._take_name(client, name)
        self._tenant.opened(client)
        backoff = Backoff(self._jitter)
        while not granted:
            await deferLater(self._clock, backoff.next_delay())
            granted = await self._take_name(client, name)
        assert self.name is not None
        self._had_name = True
        self._on_status(Connected(self.name))
        self._tenant.named(client)

    async def _take_name(self, client: Client, given: str) -> bool:
        """
        Ask for the name that is kept; false when somebody has it now who may be ourselves on an earlier connection.

        :param given: the one that the server gave.
        """
        assert self.name is not None
        try:
            await client.command("nick", self.name)
        except Refused as refused:
            if not self._had_name or refused.code not in ("name-taken", "not-logged-in"):
                raise
            if refused.code == "name-taken":
                return False
            # Guests may do nothing here, so nothing is published under another name.
            self.name = given
        return True

    def _could_not_sign_in(self, failure: Failure, client: Client) -> None:
        if failure.check(Disconnected, CancelledError) is not None:
            return
        why = failure.value
        if isinstance(why, Refused):
            if why.code in NO_ROOM:
                self._no_room = why
            else:
                self._stopped = Stopped(str(why))
                self._stopped.__cause__ = why
        client.abort()

    def _arrived(self, news: News) -> None:
        if isinstance(news, Drain) and self._moving is None:
            # Not all at once, and leaving time for what is on its way.
            delay = self._jitter(0.0, news.seconds * 0.8)
            self._moving = self._clock.callLater(delay, self._move)
        self._tenant.arrived(news)

    def _move(self) -> None:
        self._moving = None
        if self._client is not None:
            self._moved = Moved("the server asked its clients to reconnect")
            self._client.close()
