"""
Between the connections and the history: what is published goes in here, once a turn, and what has become durable
comes out to the hub.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.chat.effects import Publish
from echochat.chat.events import Draft
from echochat.chat.hub import Hub
from echochat.chat.interests import Interests
from echochat.history.errors import HistoryUnavailable
from echochat.history.interface import IHistory
from echochat.history.records import Stored, TopicState
from echochat.net.lean import interlude_of

Done = Callable[[Sequence[int], Mapping[int, HistoryUnavailable]], None]
"""
Called with the position of each draft, and with why those that have none were refused, by their index.
"""


MOST_SUBSCRIPTIONS: Final = 128
"""
Topics that a connection may follow, unless told.
"""


@dataclass(slots=True)
class Counters:
    """
    What has happened since the server was started.

    :ivar lines: that clients sent, of connections that have ended.
    :ivar publishes: asked for; :ivar refused: of them, those that were not stored.
    :ivar gaps: told to subscribers.
    :ivar ended: connections that have ended, by cause.
    """

    connections: int = 0
    lines: int = 0
    publishes: int = 0
    refused: int = 0
    deliveries: int = 0
    gaps: int = 0
    ended: dict[str, int] = field(default_factory=dict)


class Exchange:
    """
    The one way to the history for all connections of a server.

    All that is published in one turn of the reactor is handed over together, so that a turn costs one append, however
    many published in it. Where deliveries keep others waiting, what is published gathers for some milliseconds more.

    :param clock: for the end of a turn, and for trying again.
    :param history: durable first, then delivered.
    :ivar hub: delivers.
    :ivar interlude: what happens while it does.
    :ivar interests: what users follow.
    :ivar let_all_resume: asks all clients that follow something to come again.
    :ivar most_subscriptions: how many a connection may have.
    :ivar interruptions: how often the log did not go on where it had ended: positions from before are of another one.
    """

    log = make_logger()

    def __init__(self, clock: IReactorTime, history: IHistory) -> None:
        self.clock = clock
        self.history = history
        self.interlude = interlude_of(clock)
        self.hub = Hub(between=self.interlude.look)
        self.interests = Interests()
        self.most_subscriptions: int = MOST_SUBSCRIPTIONS
        self.interruptions = 0
        self.counters = Counters()
        self.let_all_resume: Callable[[], None] = _nobody_is_here
        # By topic: how many subscriptions there are, or are about to be.
        self._followed: dict[str, int] = {}
        # Runs that the history has not been given yet, and how many drafts they have.
        self._runs: deque[tuple[Publish, Done]] = deque()
        self._queued = 0
        self._turn: IDelayedCall | None = None
        self._listeners: list[Deferred[list[TopicState]]] = []
        self._listing = False

    # Called by the service

    def open(self) -> Deferred[None]:
        """
        Open the history. Fails with :class:`HistoryRefused` when it cannot be had.
        """
        return self.history.open(self).addCallback(self._opened)

    def close(self) -> Deferred[None]:
        """
        Store what waits, and close the history: the last thing that a server does.
        """
        while self._runs:
            self._hand_over(self._queued)
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        return self.history.close()

    # Called by the history

    def arrived(self, drafts: Sequence[Draft], positions: Sequence[int]) -> None:
        self.interlude.begin()
        self.hub.arrived(drafts, positions)
        self.interlude.end()

    def became_unavailable(self, why: str) -> None:
        self.log.error("the history is unavailable, publishing is refused: {why}", why=why)

    def became_available(self) -> None:
        self.log.info("the history is available again")

    def interrupted(self, why: str) -> None:
        self.log.error("those who follow topics are asked to resume: {why}", why=why)
        self.interruptions += 1
        self.hub.start_over(self.history.head)
        self.let_all_resume()

    # Called by the connections

    def publish(self, publish: Publish, done: Done) -> None:
        """
        Have a run of drafts stored, at the end of this turn, or of the rest that deliveries take.
        """
        self.counters.publishes += len(publish.drafts)
        self._runs.append((publish, done))
        self._queued += len(publish.drafts)
        self._look_later()

    @property
    def is_crowded(self) -> bool:
        """
        Whether so much waits for the disk that those who publish should not be read from: long before the history
        would have to refuse it.
        """
        return self._queued + self.history.waiting >= self.history.waiting_bound // 8

    def topics(self) -> Deferred[list[TopicState]]:
        """
        All topics. Those who ask while the history is being asked already get one answer together, when it is asked
        again: many may ask at once, there may be many topics, and nobody is told less than there was when they asked.
        """
        waiting: Deferred[list[TopicState]] = Deferred()
        self._listeners.append(waiting)
        if not self._listing:
            self._list_topics()
        return waiting

    def follow(self, topic: str) -> Deferred[None]:
        """
        Have a topic's events come to the hub. :meth:`unfollow` it as often, even where this fails.

        :return: fires when all that becomes durable from now on comes; fails as the history does.
        """
        self._followed[topic] = self._followed.get(topic, 0) + 1
        return self.history.follow(topic)

    def unfollow(self, topic: str) -> None:
        """
        One subscription less.
        """
        left = self._followed[topic] - 1
        if left:
            self._followed[topic] = left
        else:
            del self._followed[topic]
            self.history.unfollow(topic)

    # Ours

    def _opened(self, _: None) -> None:
        self.hub.head = self.history.head

    def _list_topics(self) -> None:
        listeners, self._listeners = self._listeners, []
        self._listing = True
        self.history.topics().addBoth(self._tell_topics, listeners)

    def _tell_topics(self, topics: list[TopicState] | Failure, listeners: list[Deferred[list[TopicState]]]) -> None:
        self._listing = False
        for listener in listeners:
            # One that was cancelled has been called.
            if not listener.called:
                listener.callback(topics)
        if self._listeners and not self._listing:
            self._list_topics()

    def _look_later(self) -> None:
        if self._turn is None and self._runs:
            self._turn = self.clock.callLater(0, self._look)

    def _look(self) -> None:
        # Once for what has gathered, whatever is delivered meanwhile: other servers publish, too, and do not rest.
        rest = self.interlude.rest
        if rest > 0:
            self._turn = self.clock.callLater(rest, self._hand_over_what_fits)
        else:
            self._hand_over_what_fits()

    def _hand_over_what_fits(self) -> None:
        self._turn = None
        # What the history would refuse for want of room waits here for the next commit: each connection has a chunk in
        # it at most, since none is read from while so much waits.
        self._hand_over(self.history.waiting_bound - self.history.waiting)

    def _hand_over(self, room: int) -> None:
        drafts: list[Draft] = []
        waiting: list[tuple[int, Done]] = []
        while self._runs and len(drafts) + len(self._runs[0][0].drafts) <= room:
            publish, done = self._runs.popleft()
            drafts += publish.drafts
            waiting.append((len(publish.drafts), done))
        if not drafts:
            return
        self._queued -= len(drafts)
        stored = self.history.append(drafts)
        stored.addCallbacks(self._stored, self._not_stored, (waiting,), {}, (waiting, len(drafts)))
        stored.addErrback(lambda failure: self.log.failure("the history's answer cannot be read", failure))
        stored.addCallback(lambda _: self._look_later())

    def _stored(self, stored: Stored, waiting: list[tuple[int, Done]]) -> None:
        positions, refused = stored.positions, stored.refused
        self.counters.refused += len(refused)
        start = 0
        for count, done in waiting:
            end = start + count
            its = {index - start: why for index, why in refused.items() if start <= index < end} if refused else refused
            self._answer(done, positions[start:end], its)
            start = end

    def _not_stored(self, failure: Failure, waiting: list[tuple[int, Done]], count: int) -> None:
        self.counters.refused += count
        why = failure.value
        if not isinstance(why, HistoryUnavailable):
            self.log.failure("the history failed", failure)
            why = HistoryUnavailable("the history failed: the server's log says why")
        for count, done in waiting:
            self._answer(done, [0] * count, dict.fromkeys(range(count), why))

    def _answer(self, done: Done, positions: Sequence[int], refused: Mapping[int, HistoryUnavailable]) -> None:
        try:
            done(positions, refused)
        except Exception:
            # One connection's failure must not keep the others from their answers.
            self.log.failure("an acknowledgement failed")


def _nobody_is_here() -> None:
    """
    There is no connection yet.
    """
