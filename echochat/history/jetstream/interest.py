"""
Which topics are followed, and which of them come.
"""

from twisted.internet.defer import Deferred

from echochat.history.errors import HistoryUnavailable
from echochat.history.jetstream.description import takes_all


class Interest:
    """
    The topics that are followed here, those that the consumer gives, and whoever waits for these to be the same.
    """

    def __init__(self) -> None:
        self._topics: dict[str, None] = {}
        # None: there is no consumer.
        self._given: frozenset[str] | None = None
        self._waiting: list[Deferred[None]] = []

    @property
    def topics(self) -> frozenset[str]:
        """
        Those that are followed.
        """
        return frozenset(self._topics)

    @property
    def has_consumer(self) -> bool:
        """
        Whether any can be given.
        """
        return self._given is not None

    @property
    def is_waited_for(self) -> bool:
        """
        Whether somebody waits for a topic that is not given yet.
        """
        return bool(self._waiting)

    def add(self, topic: str) -> None:
        """
        It is followed from now on.
        """
        self._topics[topic] = None

    def remove(self, topic: str) -> None:
        """
        It is not followed any more.
        """
        self._topics.pop(topic, None)

    def gives(self, topic: str) -> bool:
        """
        Whether every event of the topic that is stored from now on will come.
        """
        return self._given is not None and (topic in self._given or takes_all(self._given))

    def is_given(self, topics: frozenset[str]) -> None:
        """
        There is a consumer, for these.
        """
        self._given = topics

    def is_not_given(self) -> None:
        """
        There is no consumer any more.
        """
        self._given = None

    def wait(self) -> Deferred[None]:
        """
        :return: fires when all that is followed now is given. Can be cancelled.
        """
        waiting: Deferred[None] = Deferred(self._gave_up)
        self._waiting.append(waiting)
        return waiting

    def take(self) -> list[Deferred[None]]:
        """
        Those who wait, to be told by :meth:`tell`, or put back when it could not be done.
        """
        waiting, self._waiting = self._waiting, []
        return waiting

    def put_back(self, waiting: list[Deferred[None]]) -> None:
        """
        They wait on.
        """
        self._waiting = [each for each in waiting if not each.called] + self._waiting

    def tell(self, waiting: list[Deferred[None]]) -> None:
        """
        What they wait for is given.
        """
        for each in waiting:
            # One may have been cancelled meanwhile.
            if not each.called:
                each.callback(None)

    def fail(self, why: str) -> None:
        """
        Nobody shall wait any more.
        """
        for each in self.take():
            each.errback(HistoryUnavailable(why))

    # Ours

    def _gave_up(self, waiting: Deferred[None]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
