"""
A client that keeps its promises over any number of connections.

On each connection: ``/whoami``; then the name (:mod:`echochat.client.keeper` says why and how); then all ``/sub``, each
from the position that was seen last, also when the name is not granted yet; and with the name the inboxes, which only
their owner may read, and the publishes that are unacknowledged, the oldest first and each under its own label.
"""

import random
import secrets
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure

from echochat.client.core import News
from echochat.client.credentials import Credentials
from echochat.client.cursor import Cursor
from echochat.client.keeper import Keeper, Reconnecting, Status, Stopped
from echochat.client.outbox import Outbox
from echochat.client.outcomes import Reply
from echochat.client.protocol import GRACE, Client
from echochat.client.publisher import Publisher
from echochat.client.subscriber import Subscriber
from echochat.client.subscription import Subscription
from echochat.client.waiters import Waiters
from echochat.wire.backoff import Backoff, Jitter
from echochat.wire.names import is_name


class Closed(Exception):
    """
    The client was closed before this was done.
    """


class ReconnectingClient:
    """
    Publish and subscribe at any time, whether there is a connection or not, once :meth:`start` was called.

    :param endpoint: where to connect, again and again.
    :param clock: the reactor, or a ``Clock``.
    :param name: the name to have; otherwise the first that the server gives is kept.
    :param credentials: an account's password or a token, to be more than a guest.
    :param on_status: is told of each connection, and of each failure and end of one.
    :param jitter: chooses random times.
    :raises ValueError: the name is none.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        clock: IReactorTime,
        *,
        name: str | None = None,
        credentials: Credentials | None = None,
        on_status: Callable[[Status], None] | None = None,
        jitter: Jitter = random.uniform,
    ) -> None:
        if name is not None and not is_name(name):
            raise ValueError(f"not a name: {name!r}")
        self._clock = clock
        self._on_status = on_status
        self._subscriber = Subscriber(clock, jitter)
        outbox = Outbox(secrets.token_hex(8))
        self._publisher = Publisher(outbox, clock, Backoff(jitter), self._subscriber.make_way)
        self._keeper = Keeper(self, endpoint, clock, jitter, name, credentials, self._status)
        self._running: Deferred[None] | None = None
        self._started: Deferred[None] = Deferred()
        self._client: Client | None = None
        self._until_connected: Waiters[Client] = Waiters()
        self._end: Exception | None = None

    @property
    def name(self) -> str | None:
        """
        The name that is kept; None before the first connection.
        """
        return self._keeper.name

    @property
    def is_connected(self) -> bool:
        """
        Whether there is a connection now.
        """
        return self._client is not None

    def start(self) -> Deferred[None]:
        """
        Connect, and keep connected.

        Fires at the first connection; fails when the first attempt does. The attempts go on even then: whoever does
        not want that calls :meth:`close`.
        """
        self._running = Deferred.fromCoroutine(self._keeper.run())
        self._running.addErrback(lambda failure: failure.trap(CancelledError) and None)
        return self._started

    def publish(
        self, topic: str, text: str, *, label: str | None = None, timeout: float | None = None
    ) -> Deferred[int]:
        """
        Publish, however many connections it takes, and fire with the position when it is stored.

        Fails with :class:`~echochat.client.protocol.Refused` when the server will not have it, and with
        :class:`~echochat.client.outbox.Unconfirmed` when it cannot be known whether it was stored. Cancelled, or out of
        time, it is sent no more; it may have been stored.

        :param label: names the publish, so that another run of the program can repeat it; else it has one of its own.
        :raises ValueError: the topic, the text or the label is none.
        """
        if self._end is not None:
            return fail(self._end)
        acknowledged = self._publisher.publish(topic, text, label)
        return acknowledged if timeout is None else acknowledged.addTimeout(timeout, self._clock)

    def room(self, most: int = 1_000) -> Deferred[None]:
        """
        Fire when fewer than so many publishes are unacknowledged: await this between the publishes of a long run.
        """
        return self._publisher.room(most)

    def subscribe(
        self,
        topic: str,
        *,
        after: int | None = None,
        epoch: str | None = None,
        last: int | None = None,
        presence: bool = False,
    ) -> Subscription:
        """
        Follow a topic, from the next event on or as the options say: iterate over what this returns.

        :param after: continue behind this position: everything later is delivered, or told by a ``Gap``.
        :param epoch: the log in which that position is.
        :param last: begin so many events back.
        :param presence: tell of those who come and go, too, as far as there is a connection and its consumer keeps up.
        :raises ValueError: the topic is none, or is followed already; or the options exclude each other.
        """
        if self._end is not None:
            raise self._end
        if after is not None and last is not None:
            raise ValueError("after and last exclude each other")
        if epoch is not None and after is None:
            raise ValueError("an epoch goes with a position")
        return self._subscriber.subscribe(topic, Cursor(after, epoch), last, presence)

    async def command(self, verb: str, *arguments: str) -> Reply:
        """
        Send a command once, on the connection that there is or on the next one.

        :raises Disconnected: the connection ended before the answer came.
        :raises Refused: the server answered ``/err``.
        """
        asked = (await self.connected()).command(verb, *arguments)
        self._subscriber.make_way()
        return await asked

    async def echo(self, text: str) -> str:
        """
        Send a message once, as :meth:`command` sends a command, and return its echo.
        """
        asked = (await self.connected()).echo(text)
        self._subscriber.make_way()
        return await asked

    async def rename(self, name: str) -> None:
        """
        Take another name as a guest, now and on all later connections. Publishes wait meanwhile.

        :raises Refused: it cannot be had; the old one is kept.
        """
        self._keeper.name = await self._become("nick", name)

    async def sign_in(self, credentials: Credentials) -> str:
        """
        Be somebody, now and on all later connections, and return the name. Publishes wait meanwhile.

        :raises Refused: that is not accepted.
        """
        self._keeper.name = name = await self._become(credentials.verb, *credentials.arguments)
        self._keeper.credentials = credentials
        return name

    def connected(self) -> Deferred[Client]:
        """
        Fire with the connection as soon as there is one.
        """
        if self._end is not None:
            return fail(self._end)
        if self._client is not None:
            return succeed(self._client)
        return self._until_connected.add()

    async def close(self, *, grace: float = GRACE) -> None:
        """
        Leave: what was sent is still answered, within ``grace`` seconds; what is unacknowledged then fails with
        :class:`Closed`, and iterations end.
        """
        if self._end is not None:
            return
        self._end = Closed("the client was closed")
        self._keeper.leave()
        if self._client is not None:
            await self._client.close(grace=grace)
        if self._running is not None:
            self._running.cancel()
        self._finish(self._end)
        self._subscriber.stop(None)

    # Called by the keeper

    def opened(self, client: Client) -> None:
        """
        There is a connection.
        """
        self._client = client
        self._until_connected.fire(client)
        self._subscriber.connected(client)

    def named(self, client: Client) -> None:
        """
        The name on it is ours.
        """
        self._subscriber.named()
        self._publisher.connected(client)
        if not self._started.called:
            self._started.callback(None)

    def lost(self) -> None:
        """
        The connection has ended.
        """
        self._client = None
        self._subscriber.disconnected()
        self._publisher.disconnected()

    def arrived(self, news: News) -> None:
        """
        The server said something unasked.
        """
        self._subscriber.arrived(news)

    def stopped(self, why: Stopped) -> None:
        """
        The server will not have us any more.
        """
        self._end = why
        self._finish(why)
        self._subscriber.stop(why)

    # Ours

    async def _become(self, verb: str, *arguments: str) -> str:
        # What was sent under the old name and is unacknowledged could be done twice if it were sent under the new one.
        await self._publisher.hold()
        try:
            return (await self.command(verb, *arguments)).rest
        finally:
            self._publisher.release()

    def _status(self, status: Status) -> None:
        if isinstance(status, Reconnecting):
            self._fail_start(status.why)
        if self._on_status is not None:
            self._on_status(status)

    def _finish(self, why: Exception) -> None:
        self._publisher.stop(why)
        self._until_connected.fail(lambda: why)
        self._fail_start(why)

    def _fail_start(self, why: Exception) -> None:
        if not self._started.called:
            self._started.errback(Failure(why))
