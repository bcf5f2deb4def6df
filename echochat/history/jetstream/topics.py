"""
List the topics: the last message of each subject, without its text, by a consumer that is made for it.
"""

from collections.abc import Sequence
from contextlib import suppress
from itertools import count

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from echochat.broker import Broker, BrokerUnavailable, Message
from echochat.history.jetstream.api import ask
from echochat.history.jetstream.pushed import numbers
from echochat.history.jetstream.subjects import NotAnEvent, topic_of

PATIENCE = 30.0
"""
Seconds that a list may take.
"""

_NANOSECONDS = 1_000_000_000


class Lists:
    """
    Lists the topics of one stream.
    """

    def __init__(self, broker: Broker, name: str, clock: IReactorTime) -> None:
        self._broker = broker
        self._name = name
        self._clock = clock
        self._numbers = count(1)

    async def heads(self) -> dict[str, int]:
        """
        The last position of each topic that has events.

        :raises BrokerUnavailable: the broker does not answer, or not in time.
        :raises JetStreamError: it refuses.
        """
        number = next(self._numbers)
        consumer = f"{self._broker.id}-topics-{number}"
        listing = _Listing()
        subscription = self._broker.subscribe(f"_INBOX.{self._broker.id}.topics.{number}", listing.came)
        config = {
            "name": consumer,
            "deliver_subject": subscription.subject,
            "deliver_policy": "last_per_subject",
            "filter_subject": f"{self._name}.*",
            "headers_only": True,
            "ack_policy": "none",
            "max_deliver": 1,
            "inactive_threshold": int(PATIENCE * _NANOSECONDS),
            "mem_storage": True,
            "num_replicas": 1,
        }
        try:
            request = {"stream_name": self._name, "config": config}
            answer = await ask(self._broker, f"CONSUMER.CREATE.{self._name}.{consumer}", request)
            # What came before this answer waits in no queue of ours, and this counts what had come when it was made.
            if answer["num_pending"] or answer["delivered"]["consumer_seq"]:
                await listing.complete.addTimeout(PATIENCE, self._clock, _too_late)
        finally:
            subscription.end()
            self._broker.publish(f"$JS.API.CONSUMER.DELETE.{self._name}.{consumer}", b"")
        return listing.heads


class _Listing:
    def __init__(self) -> None:
        self.heads: dict[str, int] = {}
        self.complete: Deferred[None] = Deferred()

    def came(self, messages: Sequence[Message]) -> None:
        for message in messages:
            position, _, left = numbers(message.reply)
            # What is somebody else's is no topic.
            with suppress(NotAnEvent):
                self.heads[topic_of(message.subject)] = position
            if not left and not self.complete.called:
                self.complete.callback(None)


def _too_late(result: object, timeout: float) -> dict[str, int]:
    raise BrokerUnavailable("the broker did not list all topics in time")
