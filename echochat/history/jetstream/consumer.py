"""
Receive the events of the topics that are followed, from one consumer of the stream, in the stream's order.

A consumer is the broker's: it pushes what its filters match. When something is wrong with it (a message that was
dropped, a broker that was restarted and knows the consumer no more, one that is silent) another one is made, which
begins behind the last event that arrived: nothing is lost or comes twice.

Following a topic changes the filters of the consumer that there is. It goes on where it is, so from then on every event
of the topic comes that is behind that; what is before, whoever follows finds in the topic's state, which is asked for
afterwards.

One change is made at a time, with all that was wanted meanwhile.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.broker import Broker, BrokerUnavailable
from echochat.broker.broker import Subscription
from echochat.history.jetstream.api import JetStreamError, ask
from echochat.history.jetstream.description import describe
from echochat.history.jetstream.interest import Interest
from echochat.history.jetstream.reception import Deliver, Reception
from echochat.history.jetstream.stream import StreamChanged

_NOT_RECEIVED: Final = "the broker does not send events now"


class Consumer:
    """
    One consumer of the stream, made anew when something is wrong with it.

    :param name: the stream's.
    :param deliver: is given events, and called with none when only the position has moved.
    :param verify: fails where the stream is not the one that it was.
    :param lost: is told why, when it cannot be made anew.
    """

    log = make_logger()

    def __init__(
        self,
        broker: Broker,
        name: str,
        clock: IReactorTime,
        deliver: Deliver,
        verify: Callable[[], Awaitable[None]],
        lost: Callable[[str], None],
    ) -> None:
        self._broker = broker
        self._name = name
        self._verify = verify
        self._lost = lost
        self._interest = Interest()
        self._subscription: Subscription | None = None
        self._consumer = ""
        self._generation = 0
        self._start = 0
        self._beginning: Deferred[None] | None = None
        self._changing: Deferred[Any] | None = None
        self._reception = Reception(broker, name, clock, deliver, self._again)

    @property
    def position(self) -> int:
        """
        Everything up to here that is followed has been delivered.
        """
        return self._reception.position

    @position.setter
    def position(self, position: int) -> None:
        self._reception.position = position

    # Called by the history

    def begin(self, after: int) -> Deferred[None]:
        """
        Receive everything that is followed behind a position.

        :return: fires when all of it that there is now has been delivered. Fails with BrokerUnavailable or
            JetStreamError, or as one that was cancelled when this is stopped before.
        """
        self.stop()
        self.position = after
        self._beginning = Deferred.fromCoroutine(self._begin())
        return self._beginning

    def stop(self) -> None:
        """
        Receive nothing any more, until it is begun again. What is followed is kept.
        """
        self._drop()
        self._reception.give_up()
        beginning, self._beginning = self._beginning, None
        changing, self._changing = self._changing, None
        for each in (beginning, changing):
            # What came of it after this would be taken for news of the consumer that is made next.
            if each is not None:
                each.cancel()
        self._interest.fail("the history is unavailable")

    def follow(self, topic: str) -> Deferred[None]:
        """
        See :meth:`IHistory.follow`.
        """
        self._interest.add(topic)
        if self.gives(topic):
            return succeed(None)
        following = self._interest.wait()
        self._change()
        return following

    def unfollow(self, topic: str) -> None:
        """
        See :meth:`IHistory.unfollow`. The consumer is told with the next change.
        """
        self._interest.remove(topic)

    def gives(self, topic: str) -> bool:
        """
        Whether every event of the topic that is stored from now on will be delivered.
        """
        return self._interest.gives(topic)

    # Ours

    def _change(self) -> None:
        if self._changing is not None or not self._interest.has_consumer or not self._interest.is_waited_for:
            return
        self._changing = Deferred.fromCoroutine(self._update())
        self._changing.addErrback(self._not_changed)

    async def _update(self) -> None:
        while self._interest.is_waited_for:
            await self._apply()
        self._changing = None

    async def _apply(self) -> int:
        """
        Have the consumer give all that is wanted, and tell those who wait for it.

        :return: the number of the last message that there is for it.
        """
        waiting = self._interest.take()
        try:
            last = await self._request(self._interest.topics)
        except BaseException:
            # Also a cancellation: those who wait are told by whoever stops this, or served by the next attempt.
            self._interest.put_back(waiting)
            raise
        self._interest.tell(waiting)
        return last

    def _not_changed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        self._changing = None
        if not failure.check(BrokerUnavailable, JetStreamError):
            self.log.failure("the filters of a consumer could not be changed", failure)
        self._again(f"its filters cannot be changed: {failure.getErrorMessage()}")

    async def _begin(self) -> None:
        last = await self._create()
        self._change()
        await self._reception.catch_up(last)

    async def _recreate(self) -> int:
        await self._verify()
        return await self._create()

    async def _create(self) -> int:
        self._drop()
        self._generation += 1
        self._reception.begin()
        self._start = self.position + 1
        self._consumer = f"{self._broker.id}-{self._generation}"
        inbox = f"_INBOX.{self._broker.id}.events.{self._generation}"
        self._subscription = self._broker.subscribe(inbox, self._reception.came)
        return await self._apply()

    async def _request(self, topics: frozenset[str]) -> int:
        """
        Make the consumer, or give it other filters.

        :return: the number of the last message that there is for it.
        """
        assert self._subscription is not None
        subscription = self._subscription
        request = describe(self._name, self._consumer, subscription.subject, self._start, topics)
        answer = await ask(self._broker, f"CONSUMER.CREATE.{self._name}.{self._consumer}", request)
        if self._subscription is not subscription:
            # Messages that were faster than this answer have shown that something is wrong.
            raise BrokerUnavailable("another consumer has taken its place")
        self._interest.is_given(topics)
        self._reception.listen()
        return int(answer["delivered"]["consumer_seq"]) + int(answer["num_pending"])

    def _drop(self) -> None:
        if self._subscription is not None:
            self._subscription.end()
            self._subscription = None
        if self._interest.has_consumer:
            self._interest.is_not_given()
            self._broker.publish(f"$JS.API.CONSUMER.DELETE.{self._name}.{self._consumer}", b"")
        self._reception.end()

    def _again(self, why: str) -> None:
        """
        Make another consumer that goes on where this one has ended.
        """
        if self._subscription is None:
            return
        self.log.warn("the consumer of {name} is made anew: {why}", name=self._name, why=why)
        self._drop()
        if self._changing is not None:
            self._changing.cancel()
        beginning = self._changing = Deferred.fromCoroutine(self._recreate())
        beginning.addCallbacks(self._has_begun, self._has_not_begun)

    def _has_begun(self, last: int) -> None:
        self._changing = None
        self._change()
        self._reception.see(last)

    def _has_not_begun(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        self._changing = None
        if failure.check(BrokerUnavailable, JetStreamError, StreamChanged):
            why = failure.getErrorMessage()
            self.log.warn("the consumer of {name} cannot be made anew: {why}", name=self._name, why=why)
        else:
            self.log.failure("a consumer could not be made", failure)
        # Clients are told this: what the broker says, or a bug, is for the log.
        self._lost(_NOT_RECEIVED)
