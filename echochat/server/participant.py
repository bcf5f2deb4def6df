"""
What one connection does with topics: performs its session's effects, and holds its subscriptions.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.chat.effects import (
    ListFollowers,
    ListTopics,
    Publish,
    ReadPast,
    Renamed,
    Subscribe,
    Unsubscribe,
)
from echochat.chat.policy import may_read
from echochat.chat.replies import Slot
from echochat.chat.session import Session
from echochat.history.errors import HistoryBusy, HistoryCorrupt, HistoryUnavailable
from echochat.server.beginnings import Beginning, find_beginning
from echochat.server.exchange import Exchange
from echochat.server.listing import list_followers, list_topics
from echochat.server.looking_back import read_past
from echochat.server.outlet import Outlet
from echochat.server.subscription import ReadingTurns, Subscription
from echochat.wire.answers import Err, Gap, Ok
from echochat.wire.commands import CommandError


class Carrier(Outlet, Protocol):
    """
    The connection of a participant.
    """

    def flush(self) -> None:
        """
        Replies may be due: send them.
        """


class Participant:
    """
    Made for a connection when it first has to do with topics.
    """

    __slots__ = ("_begun", "_carrier", "_exchange", "_pending", "_session", "_subscriptions", "_turns")

    log = make_logger()

    def __init__(self, exchange: Exchange, session: Session, carrier: Carrier) -> None:
        self._exchange = exchange
        self._session = session
        self._carrier = carrier
        # Tuples and a list, since most connections have one subscription and nothing under way: empty sets and
        # dictionaries were 400 bytes of each idle connection.
        self._subscriptions: list[Subscription] = []
        self._turns = ReadingTurns(carrier)
        # Subscriptions whose reply is about to be sent: their events come after it.
        self._begun: tuple[Subscription, ...] = ()
        # Questions to the history that are not answered yet.
        self._pending: tuple[Deferred[bytes], ...] = ()

    # Called by the connection

    def perform(self, effect: object) -> None:
        """
        Do what the session asks; its reply's slot is filled now or later.
        """
        perform = _PERFORM.get(type(effect))
        assert perform is not None, effect
        perform(self, effect)

    def replies_sent(self) -> None:
        """
        What was due has been written: subscriptions may follow their replies.
        """
        begun, self._begun = self._begun, ()
        for subscription in begun:
            subscription.wake()

    def wake(self) -> None:
        """
        The connection takes more.
        """
        for subscription in [*self._subscriptions]:
            subscription.wake()

    def fall_out(self) -> None:
        """
        Something waits to be sent: nothing may be sent past it.
        """
        for subscription in self._subscriptions:
            subscription.fall_out()

    @property
    def follows_what_is_denied(self) -> bool:
        """
        Whether there is a subscription that this person may not have any more.
        """
        return not all(self._session.person.reads(subscription.topic) for subscription in self._subscriptions)

    @property
    def follows_something(self) -> bool:
        """
        Whether there is a subscription.
        """
        return bool(self._subscriptions)

    def end(self) -> None:
        """
        The connection has gone, or is about to.
        """
        self._turns.end()
        for deferred in self._pending:
            deferred.cancel()
        for subscription in [*self._subscriptions]:
            self._drop(subscription, self._session.name)
        self._subscriptions.clear()
        self._begun = ()

    # Ours: what needs no history

    def _publish(self, publish: Publish) -> None:
        def done(positions: Sequence[int], refused: Mapping[int, HistoryUnavailable]) -> None:
            answer = publish.acknowledge(positions)
            if refused:
                lines = answer.splitlines(keepends=True)
                for index, why in refused.items():
                    lines[index] = _refusal(why, publish.drafts[index].label)
                answer = b"".join(lines)
            self._session.replies.fill(publish.slot, answer)
            self._carrier.flush()

        self._exchange.publish(publish, done)

    def _unsubscribe(self, wish: Unsubscribe) -> None:
        subscription = self._find(wish.topic)
        if subscription is None:
            answer = Err("no-such-topic", "you do not follow it", wish.label).encode()
        else:
            self._subscriptions.remove(subscription)
            self._drop(subscription, self._session.name)
            if wish.topic.startswith("@"):
                self._session.person.follows_inbox = False
            answer = Ok("unsub", wish.topic, wish.label).encode()
        self._session.replies.fill(wish.slot, answer)

    def _list_followers(self, wish: ListFollowers) -> None:
        self._session.replies.fill(wish.slot, list_followers(self._exchange.hub, wish))

    def renamed(self, renamed: Renamed) -> None:
        """
        Others knew this person by another name.
        """
        for subscription in [*self._subscriptions]:
            topic = subscription.topic
            if may_read(renamed.new, topic) and self._session.person.reads(topic):
                self._exchange.hub.rename(subscription.cursor, renamed.old, renamed.new)
                subscription.user = self._exchange.interests.begin(self._session.person, topic)
            else:
                # The inbox of a name that is somebody else's to take now, or what only guests may read.
                self._subscriptions.remove(subscription)
                self._drop(subscription, renamed.old)

    # Ours: what asks the history

    def _subscribe(self, wish: Subscribe) -> None:
        most = self._exchange.most_subscriptions
        if len(self._subscriptions) >= most and self._find(wish.topic) is None:
            explanation = f"subscriptions of a connection: {most}"
            self._session.replies.fill(wish.slot, Err("too-many", explanation, wish.label).encode())
            return
        self._ask(self._follow(wish), wish.slot, wish.label)

    async def _follow(self, wish: Subscribe) -> bytes:
        try:
            await self._exchange.follow(wish.topic)
            beginning = await find_beginning(self._exchange, wish)
            # The rules may have changed while the history was asked, and what other connections follow.
            self._session.person.require_read(wish.topic)
            self._exchange.interests.require_room(self._session.person, wish.topic)
        except BaseException:
            self._exchange.unfollow(wish.topic)
            raise
        lines = self._begin(wish, beginning)
        if beginning.lost_after is not None:
            self._exchange.counters.gaps += 1
            lines += Gap(wish.topic, beginning.lost_after, beginning.head).encode()
        return lines

    def _begin(self, wish: Subscribe, beginning: Beginning) -> bytes:
        name = self._session.name
        replaced = self._find(wish.topic)
        subscription = Subscription(self._exchange, self._carrier, self._turns, wish.topic)
        subscription.cursor = self._exchange.hub.follow(
            wish.topic, beginning.head, beginning.at, subscription, name, wish.watches
        )
        # The hub's own text, which is one for all who follow it.
        subscription.topic = subscription.cursor.log.name
        self._subscriptions.append(subscription)
        self._session.person.follows_inbox |= wish.topic.startswith("@")
        subscription.user = self._exchange.interests.begin(self._session.person, wish.topic)
        if replaced is not None:
            self._subscriptions.remove(replaced)
            self._drop(replaced, name)
        self._begun = (*self._begun, subscription)
        return Ok("sub", f"{wish.topic} {beginning.head} {self._exchange.history.epoch}", wish.label).encode()

    def _read_past(self, wish: ReadPast) -> None:
        self._ask(read_past(self._exchange.history, wish), wish.slot, wish.label)

    def _list_topics(self, wish: ListTopics) -> None:
        self._ask(list_topics(self._exchange, self._session.person.reads, wish), wish.slot, wish.label)

    def _ask(self, question: Coroutine[Deferred[Any], Any, bytes], slot: Slot, label: str | None) -> None:
        """
        Fill a slot with what comes of this, or with why nothing does.
        """
        asked = Deferred.fromCoroutine(question)
        self._pending = (*self._pending, asked)

        def failed(failure: Failure) -> bytes:
            error = failure.value
            if isinstance(error, CommandError):
                return Err(error.code, error.explanation, label).encode()
            if isinstance(error, HistoryUnavailable | HistoryCorrupt):
                return _refusal(error, label)
            if not isinstance(error, CancelledError):
                self.log.failure("a question to the history failed", failure)
            return Err("unavailable", "the history failed: the server's log says why", label).encode()

        def answered(answer: bytes) -> None:
            self._pending = tuple(each for each in self._pending if each is not asked)
            self._session.replies.fill(slot, answer)
            self._carrier.flush()

        asked.addErrback(failed).addCallback(answered)
        asked.addErrback(lambda failure: self.log.failure("a reply failed", failure))

    def _find(self, topic: str) -> Subscription | None:
        for subscription in self._subscriptions:
            if subscription.topic == topic:
                return subscription
        return None

    def _drop(self, subscription: Subscription, name: str) -> None:
        subscription.end()
        self._exchange.interests.end(subscription.user, subscription.topic)
        self._exchange.hub.unfollow(subscription.cursor, name)
        self._exchange.unfollow(subscription.topic)


def _refusal(why: HistoryUnavailable | HistoryCorrupt, label: str | None) -> bytes:
    if isinstance(why, HistoryBusy):
        return Err("slow-down", f"{why.args[0]}: try again in a few seconds", label).encode()
    return Err("unavailable", str(why.args[0]), label).encode()


_PERFORM: Final[dict[type, Callable[[Participant, object], None]]] = {
    Publish: Participant._publish,  # type: ignore[dict-item]  # each takes the effect under whose type it stands
    Subscribe: Participant._subscribe,  # type: ignore[dict-item]
    Unsubscribe: Participant._unsubscribe,  # type: ignore[dict-item]
    ReadPast: Participant._read_past,  # type: ignore[dict-item]
    ListFollowers: Participant._list_followers,  # type: ignore[dict-item]
    ListTopics: Participant._list_topics,  # type: ignore[dict-item]
    Renamed: Participant.renamed,  # type: ignore[dict-item]
}
