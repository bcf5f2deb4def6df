"""
Receive the events of the topics that are followed, from one consumer of the stream, in the stream's order.

A consumer is the broker's: it pushes what its filters match, numbered without holes, and says from time to time what
the last number was. So everything that can go wrong on the way shows: a message that was dropped, a broker that was
restarted and knows the consumer no more, one that is silent. Each time another consumer is made that begins behind
the last event that arrived, and nothing is lost or comes twice.

Following a topic changes the filters of the consumer that there is. It goes on where it is, so from then on every event
of the topic comes that is behind that; what is before, whoever follows finds in the topic's state, which is asked for
afterwards.

One change is made at a time, with all that was wanted meanwhile.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.broker import Broker, BrokerUnavailable, Message
from echochat.broker.broker import Subscription
from echochat.history.jetstream.api import JetStreamError, ask
from echochat.history.jetstream.description import describe
from echochat.history.jetstream.interest import Interest
from echochat.history.jetstream.patience import Patience
from echochat.history.jetstream.pushed import Heartbeat, Request, Trouble, numbers, told
from echochat.history.jetstream.stream import StreamChanged
from echochat.history.jetstream.subjects import NotAnEvent, read
from echochat.history.records import Draft

SILENCE: Final = 3.5
"""
Seconds after which the consumer is thought to be gone.
"""

STALLED: Final = 2.5
"""
Seconds for which the broker may say that it waits before it sends more, though it was told each time to go on.
"""

PROGRESS: Final = 5.0
"""
Seconds in which the next of the events has to come that there were when receiving was begun.
"""

_NOT_RECEIVED: Final = "the broker does not send events now"

Deliver = Callable[[list[Draft], list[int]], None]


class Consumer:
    """
    One consumer of the stream, made anew when something is wrong with it.

    :param name: the stream's.
    :param deliver: is given events, and called with none when only the position has moved.
    :param verify: fails where the stream is not the one that it was.
    :param lost: is told why, when it cannot be made anew.
    :ivar position: everything up to here that is followed has been delivered.
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
        self.position = 0
        self._broker = broker
        self._name = name
        self._clock = clock
        self._deliver = deliver
        self._verify = verify
        self._lost = lost
        self._interest = Interest()
        self._subscription: Subscription | None = None
        self._consumer = ""
        self._generation = 0
        self._start = 0
        self._number = 0
        self._caught_up: Deferred[None] | None = None
        self._beginning: Deferred[None] | None = None
        self._changing: Deferred[Any] | None = None
        self._silence = Patience(clock, SILENCE, lambda: self._again("it is silent"))
        self._stall = Patience(clock, STALLED, lambda: self._again("it does not go on"))
        self._progress = Patience(clock, PROGRESS, self._has_not_caught_up)

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
        self._progress.end()
        self._caught_up = None
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
        # The messages may have been faster than the answer.
        if self._number < last:
            self._caught_up = Deferred()
            self._progress.wait()
            await self._caught_up

    async def _recreate(self) -> int:
        await self._verify()
        return await self._create()

    async def _create(self) -> int:
        self._drop()
        self._generation += 1
        self._number = 0
        self._start = self.position + 1
        self._consumer = f"{self._broker.id}-{self._generation}"
        inbox = f"_INBOX.{self._broker.id}.events.{self._generation}"
        self._subscription = self._broker.subscribe(inbox, self._came)
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
        self._silence.renew()
        return int(answer["delivered"]["consumer_seq"]) + int(answer["num_pending"])

    def _drop(self) -> None:
        if self._subscription is not None:
            self._subscription.end()
            self._subscription = None
        if self._interest.has_consumer:
            self._interest.is_not_given()
            self._broker.publish(f"$JS.API.CONSUMER.DELETE.{self._name}.{self._consumer}", b"")
        self._silence.end()
        self._stall.end()

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
        if self._number >= last:
            self._has_caught_up()

    def _has_caught_up(self) -> None:
        self._progress.end()
        caught_up, self._caught_up = self._caught_up, None
        if caught_up is not None:
            caught_up.callback(None)

    def _has_not_caught_up(self) -> None:
        caught_up, self._caught_up = self._caught_up, None
        if caught_up is not None:
            caught_up.errback(BrokerUnavailable("the broker does not send what it has"))

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

    def _came(self, messages: Sequence[Message]) -> None:
        self._silence.renew()
        drafts: list[Draft] = []
        positions: list[int] = []
        wrong = ""
        left = 1
        for message in messages:
            if message.status:
                said = told(message)
                wrong = self._note(said)
                if isinstance(said, Heartbeat) and not said.stalled:
                    left = 0
            else:
                sequence, number, left = numbers(message.reply)
                if number != self._number + 1:
                    wrong = f"message {self._number + 1} did not arrive"
                else:
                    self._moved(number, sequence)
                    self._take(message, sequence, drafts, positions)
            if wrong:
                break
        self._deliver(drafts, positions)
        if wrong:
            self._again(wrong)
        elif not left:
            self._has_caught_up()

    def _moved(self, number: int, position: int) -> None:
        self._number = number
        self.position = position
        self._stall.end()
        if self._caught_up is not None:
            self._progress.renew()

    def _take(self, message: Message, position: int, drafts: list[Draft], positions: list[int]) -> None:
        try:
            drafts.append(read(message.subject, message.payload))
        except NotAnEvent as error:
            self.log.warn("{name} has something else at {position}: {error}", **_fields(self._name, position, error))
            return
        positions.append(position)

    def _note(self, said: Request | Heartbeat | Trouble) -> str:
        """
        The broker itself says something.

        :return: what is wrong; empty if nothing is.
        """
        match said:
            case Request(reply):
                # All that came before this has been delivered: more may be sent.
                self._broker.publish(reply, b"")
            case Heartbeat(number, position, stalled):
                if number != str(self._number):
                    return f"message {self._number + 1} did not arrive"
                self.position = max(self.position, position)
                self._wait_for_more(stalled)
            case Trouble(what):
                return what
        return ""

    def _wait_for_more(self, stalled: str) -> None:
        if not stalled:
            self._stall.end()
            return
        # It has not heard that it may go on, or not yet: once more. Where a permission is missing it never does.
        self._broker.publish(stalled, b"")
        self._stall.wait()


def _fields(name: str, position: int, error: Exception) -> dict[str, object]:
    return {"name": name, "position": position, "error": error}
