"""
Keeping subscriptions alive over whatever connection there is, without running over their consumers.

All subscriptions share one connection, and so do the replies to everything else. When a consumer lags, reading stops,
which costs nothing and loses nothing. But if anybody waits for something else that comes over this connection, the
next event of another subscription or a reply, he would wait for the laggard, and for ever if he *is* the laggard
(``async for event in ...: await client.publish(...)``). Then the lagging subscription is left instead: ``/unsub`` now,
what is still on its way is dropped, and ``/sub`` from the last position that was kept, when its consumer has caught up.
Either way the memory is bounded, nothing is lost and nothing is stuck. (A limit that may be exceeded while somebody
waits was rejected: with events that come faster than they are consumed it is no limit.) What does get lost is who came
and went meanwhile, which is not in the log.
"""

from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from echochat.chat.policy import canonical_topic
from echochat.client.core import News
from echochat.client.cursor import Cursor
from echochat.client.outcomes import Disconnected, Refused
from echochat.client.protocol import Client
from echochat.client.publisher import FOR_THE_MOMENT
from echochat.client.subscription import Phase, Subscription
from echochat.wire.answers import Bye, Drain, Err, Past
from echochat.wire.backoff import Backoff, Jitter
from echochat.wire.names import is_topic

MOST_PAST: Final = 1_000
"""
What ``/history`` gives at most.
"""


class Subscriber:
    """
    All subscriptions of one client, by topic.
    """

    def __init__(self, clock: IReactorTime, jitter: Jitter) -> None:
        self._clock = clock
        self._jitter = jitter
        self._client: Client | None = None
        self._may_read_inboxes = False
        self._subscriptions: dict[str, Subscription] = {}
        self._asking: set[Deferred[None]] = set()

    def connected(self, client: Client) -> None:
        """
        There is a connection; the name on it may not be the right one yet, so inboxes wait.
        """
        self._client = client
        for subscription in list(self._subscriptions.values()):
            self._begin(subscription)

    def named(self) -> None:
        """
        The name on the connection is the right one.
        """
        self._may_read_inboxes = True
        for subscription in list(self._subscriptions.values()):
            self._begin(subscription)

    def disconnected(self) -> None:
        """
        The connection has ended.
        """
        self._client = None
        self._may_read_inboxes = False
        asking, self._asking = self._asking, set()
        for each in asking:
            each.cancel()
        for subscription in self._subscriptions.values():
            subscription.phase = Phase.OFF

    def stop(self, why: Exception | None) -> None:
        """
        There will be no other connection: each iteration ends, or fails with the reason.
        """
        self.disconnected()
        subscriptions, self._subscriptions = self._subscriptions, {}
        for subscription in subscriptions.values():
            if why is None:
                subscription.close()
            else:
                subscription.fail(why)

    def subscribe(self, topic: str, cursor: Cursor, last: int | None, presence: bool) -> Subscription:
        """
        See :meth:`echochat.client.reconnecting.ReconnectingClient.subscribe`.
        """
        if not is_topic(topic):
            raise ValueError(f"not a topic: {topic!r}")
        topic = canonical_topic(topic)
        if topic in self._subscriptions:
            raise ValueError(f"already subscribed to {topic}")
        subscription = Subscription(topic, cursor, last, presence, self._changed)
        self._subscriptions[topic] = subscription
        self._begin(subscription)
        return subscription

    def arrived(self, news: News) -> None:
        """
        The server said something unasked.
        """
        if isinstance(news, Drain | Bye | Err):
            return
        subscription = self._subscriptions.get(news.topic)
        if subscription is not None:
            subscription.arrived(news)
            if subscription.full:
                self.make_way()

    def make_way(self) -> None:
        """
        Where a consumer lags, stop reading; or, if anybody waits for anything else, leave that subscription.
        """
        client = self._client
        if client is None:
            return
        everyone = self._subscriptions.values()
        live = [each for each in everyone if each.phase is Phase.LIVE]
        # Once stopped, reading goes on when there is room for a while, not for one more event.
        lagging = [each for each in live if (each.full if client.reading else each.lagging)]
        if lagging and (client.unanswered or any(each.hungry for each in everyone)):
            for subscription in lagging:
                subscription.phase = Phase.OFF
                client.command("unsub", subscription.topic).addErrback(lambda _: None)
            lagging = []
        if lagging and client.reading:
            client.pause_reading()
        elif not lagging and not client.reading:
            client.resume_reading()

    def _changed(self, subscription: Subscription) -> None:
        """
        Its consumer took something, waits for something, or has closed it.
        """
        if subscription.phase is Phase.ENDED:
            if self._subscriptions.pop(subscription.topic, None) is not None and self._client is not None:
                self._client.command("unsub", subscription.topic).addErrback(lambda _: None)
        elif subscription.phase is Phase.OFF and subscription.empty:
            self._begin(subscription)
        if self._client is not None and (subscription.hungry or not self._client.reading):
            self.make_way()

    def _begin(self, subscription: Subscription) -> None:
        client = self._client
        is_inbox = subscription.topic.startswith("@")
        if client is None or subscription.phase is not Phase.OFF or (is_inbox and not self._may_read_inboxes):
            return
        if subscription.full:
            # It is asked for when its consumer has caught up.
            return
        subscription.phase = Phase.ASKED
        asking = Deferred.fromCoroutine(self._ask(subscription, client))
        self._asking.add(asking)
        asking.addErrback(self._broken, subscription).addBoth(lambda _: self._asking.discard(asking))

    def _broken(self, failure: Failure, subscription: Subscription) -> None:
        if failure.check(CancelledError) is None:
            assert isinstance(failure.value, Exception)
            subscription.fail(failure.value)

    async def _ask(self, subscription: Subscription, client: Client) -> None:
        backoff = Backoff(self._jitter)
        while self._client is client and subscription.phase is Phase.ASKED:
            try:
                await self._ask_once(subscription, client)
            except Disconnected:
                return
            except Refused as refused:
                if refused.code not in FOR_THE_MOMENT:
                    self._subscriptions.pop(subscription.topic, None)
                    subscription.fail(refused)
                    return
                await deferLater(self._clock, backoff.next_delay())
            else:
                return

    async def _ask_once(self, subscription: Subscription, client: Client) -> None:
        cursor = subscription.cursor
        if subscription.last is not None and cursor.position is None:
            cursor.start(await _position_before_last(client, subscription.topic, subscription.last))
        if subscription.phase is not Phase.ASKED:
            return
        options = [*cursor.options(), "presence=on"] if subscription.presence else cursor.options()
        reply = await client.command("sub", subscription.topic, *options)
        _, head, epoch = reply.rest.split(" ")
        if subscription.phase is Phase.ASKED and self._client is client:
            cursor.began(int(head), epoch)
            subscription.began()


async def _position_before_last(client: Client, topic: str, last: int) -> int | None:
    """
    The position behind which the last so many events are; None when there are none. ``/sub last=`` would do for the
    first connection, but one that is lost before the first event came would leave us without a position to continue
    from.
    """
    before: list[str] = []
    first: int | None = None
    while last > 0:
        asked = min(last, MOST_PAST)
        reply = await client.command("history", topic, f"last={asked}", *before)
        past = [item for item in reply.items if isinstance(item, Past)]
        if not past:
            break
        first = past[0].position - 1
        before = [f"before={past[0].position}"]
        # A page that is shorter than asked for is not the first one: it has a bound in bytes, too.
        last -= len(past)
    return first
