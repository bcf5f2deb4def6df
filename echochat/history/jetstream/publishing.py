"""
Publish what is appended, with many acknowledgements under way, and answer the appends in their order.

One round trip for each event would be a few hundred a second. Instead each draft goes out with a subject of ours for
its answer, many at once (:mod:`echochat.history.jetstream.flight`); the broker takes what comes by one connection in
its order, and answers each when it is on disk. An append is answered when all of its drafts are, when the receiver has
been given those of its events that it follows, and after all earlier appends.

An acknowledgement that does not come tells nothing: the event may be stored. So nothing is ever sent again from here.
The append fails, whoever published is told ``unavailable``, and tries again with the label, which the broker knows if
the event is there.
"""

import json
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from txaio.tx import make_logger

from echochat.broker import Broker, Message
from echochat.broker.messages import NO_RESPONDERS
from echochat.history.errors import HistoryBusy, HistoryUnavailable
from echochat.history.jetstream.flight import Append, Flight, Place, Sent
from echochat.history.jetstream.subjects import token, write
from echochat.history.labels import label_key
from echochat.history.records import NOTHING_REFUSED, Draft, Status, Stored

DELIVERY: Final = 10.0
"""
Seconds in which the next event has to be delivered when an append waits for nothing else. Within them another consumer
can be made.
"""

WAITING: Final = 20_000
"""
Drafts that may wait for their answers.
"""

_CHARACTERS: Final = 64 << 20
"""
Characters of their texts.
"""

_TOO_MANY_REQUESTS: Final = 429
_OVERHEAD: Final = 512

_NO_STREAM: Final = "the broker has nobody who keeps events now"
_BUSY: Final = "the broker has too much to do; try again"
_TOO_LONG: Final = "the text is longer than the broker takes"


class Publisher:
    """
    Publishes to one stream.

    :param name: the stream's.
    :param status: to be kept up to date.
    :param delivered: tells up to which position the receiver has been given all that it follows.
    :param is_given: tells whether the receiver is given the events of a topic.
    :param stuck: is told when acknowledgements do not come.
    :ivar waiting: drafts that were appended and not answered.
    :ivar last: the highest position that was acknowledged.
    """

    log = make_logger()

    def __init__(
        self,
        broker: Broker,
        name: str,
        clock: IReactorTime,
        status: Status,
        delivered: Callable[[], int],
        is_given: Callable[[str], bool],
        stuck: Callable[[str], None],
    ) -> None:
        self.waiting = 0
        self.last = 0
        self._characters = 0
        self._broker = broker
        self._name = name
        self._clock = clock
        self._status = status
        self._delivered = delivered
        self._is_given = is_given
        self._stuck = stuck
        self._inbox = f"_INBOX.{broker.id}.stored"
        self._appends: deque[Append] = deque()
        self._queue: deque[Place] = deque()
        self._flight = Flight()
        # Up to where events were delivered when that was last seen to be no reason to worry, and when.
        self._reached = -1
        self._reached_at = 0.0
        self._complained = ""
        self._idle: list[Deferred[None]] = []
        self._subscription = broker.subscribe(f"{self._inbox}.*", self._acknowledged)

    # Called by the history

    def append(self, drafts: Sequence[Draft]) -> Deferred[Stored]:
        """
        Publish these, behind everything that was appended before.

        :return: fails with HistoryBusy when too much waits.
        """
        characters = sum([len(draft.text) for draft in drafts])
        if self.waiting + len(drafts) > WAITING or self._characters + characters > _CHARACTERS:
            return fail(HistoryBusy("too much is waiting to be stored"))
        answer: Deferred[Stored] = Deferred()
        append = Append(drafts, characters, answer, [0] * len(drafts), len(drafts), self._clock.seconds())
        self.waiting += len(drafts)
        self._characters += characters
        self._appends.append(append)
        self._queue.extend((append, index) for index in range(len(drafts)))
        self._send()
        return answer

    def look(self) -> None:
        """
        See whether acknowledgements, or deliveries, are overdue. To be called once in a second or so.
        """
        now = self._clock.seconds()
        if self._flight.is_overdue(now):
            self._stuck("the broker does not acknowledge")
        elif self._is_undelivered(now):
            self._stuck("the broker does not deliver")

    def answer(self) -> None:
        """
        Answer the appends that can be: to be called when the receiver has been given more.
        """
        appends = self._appends
        while appends and not appends[0].open and appends[0].upto <= self._delivered():
            append = appends.popleft()
            self.waiting -= len(append.drafts)
            self._characters -= append.characters
            self._count(append)
            # Whoever published may publish again from here.
            append.answer.callback(Stored(append.positions, sorted(append.repeated), append.refused or NOTHING_REFUSED))
        if not appends:
            idle, self._idle = self._idle, []
            for each in idle:
                each.callback(None)

    def fail_all(self, why: str) -> None:
        """
        Answer everything that waits: nothing of it is acknowledged.
        """
        appends, self._appends = self._appends, deque()
        self._queue.clear()
        self._flight.clear()
        self.waiting = self._characters = 0
        for append in appends:
            append.answer.errback(HistoryUnavailable(why))
        self.answer()

    def when_idle(self) -> Deferred[None]:
        """
        :return: fires when nothing waits.
        """
        if not self._appends:
            return succeed(None)
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        return idle

    def stop(self) -> None:
        """
        Listen to no more answers.
        """
        self._subscription.end()

    # Ours

    def _send(self) -> None:
        now = self._clock.seconds()
        most = self._max_payload()
        while self._queue and self._flight.has_room:
            place = append, index = self._queue.popleft()
            draft = append.drafts[index]
            label = None if draft.label is None else label_key(draft)
            if label is not None and self._flight.joins(label, place):
                continue
            payload = write(draft)
            if len(payload) + _OVERHEAD > most:
                self._refuse([place], HistoryUnavailable(_TOO_LONG))
                continue
            number = self._flight.begins(place, len(payload), label, now)
            headers = None if label is None else {"Nats-Msg-Id": label}
            self._broker.publish(f"{self._name}.{token(draft.topic)}", payload, f"{self._inbox}.{number}", headers)

    def _is_undelivered(self, now: float) -> bool:
        delivered = self._delivered()
        if not self._appends or self._appends[0].open or delivered != self._reached:
            self._reached, self._reached_at = delivered, now
        return now - self._reached_at > DELIVERY

    def _max_payload(self) -> int:
        most = self._broker.server.get("max_payload")
        return most if isinstance(most, int) else 1 << 20

    def _acknowledged(self, messages: Sequence[Message]) -> None:
        now = self._clock.seconds()
        has_nobody = False
        for message in messages:
            number = message.subject.rpartition(".")[2]
            sent = self._flight.lands(int(number), now) if number.isdigit() else None
            if sent is None:
                continue
            has_nobody |= message.status == NO_RESPONDERS
            self._settle(sent, message)
        self._send()
        self.answer()
        if has_nobody:
            self._stuck(_NO_STREAM)

    def _settle(self, sent: Sent, message: Message) -> None:
        if message.status == NO_RESPONDERS:
            self._refuse(sent.places, HistoryUnavailable(_NO_STREAM))
            return
        answer: dict[str, Any] = json.loads(message.payload)
        error = answer.get("error")
        if error is not None or answer.get("stream") != self._name:
            self._refuse(sent.places, self._why(error or {}))
            return
        position = answer["seq"]
        self.last = max(self.last, position)
        is_repeat = bool(answer.get("duplicate"))
        for append, index in sent.places:
            append.positions[index] = position
            append.open -= 1
            if is_repeat:
                append.repeated.append(index)
            elif self._is_given(append.drafts[index].topic):
                append.upto = max(append.upto, position)
            is_repeat = True

    def _why(self, error: dict[str, Any]) -> HistoryUnavailable:
        if error.get("code") == _TOO_MANY_REQUESTS:
            return HistoryBusy(_BUSY)
        what = str(error.get("description", "the answer is from another stream"))
        if what != self._complained:
            # A full disk refuses thousands a second.
            self._complained = what
            self.log.error("the stream {name} does not take an event: {what}", name=self._name, what=what)
        return HistoryUnavailable("the broker does not take events now")

    def _refuse(self, places: Sequence[Place], why: HistoryUnavailable) -> None:
        for append, index in places:
            append.refused[index] = why
            append.open -= 1

    def _count(self, append: Append) -> None:
        status = self._status
        fresh = len(append.drafts) - len(append.repeated) - len(append.refused)
        status.repeats += len(append.repeated)
        if fresh:
            seconds = self._clock.seconds() - append.begun
            status.commits += 1
            status.events += fresh
            status.commit_seconds += seconds
            status.commit_last = seconds
            status.commit_longest = max(seconds, status.commit_longest)
