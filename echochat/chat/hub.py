"""
Where what has become durable meets those who follow it.

The hub keeps the topics that somebody follows, and nothing of those that nobody does. It calls exactly one method of a
subscriber, ``wake()``, which carries no data: what there is to take, the subscriber's cursor knows. Subscribers that
are up to date may stand in a rank, which is woken like one of them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from echochat.chat.elsewhere import ALONE, Elsewhere
from echochat.chat.events import Draft
from echochat.chat.presence import Presence
from echochat.chat.topics import Chunk, Cursor, Subscriber, TopicLog
from echochat.wire.names import fold_name

MEMORY: Final = 64 << 20
"""
The most bytes of newest events that all topics together keep in memory.
"""


def _nothing() -> None:
    """
    Nobody else is there.
    """


class Hub:
    """
    All topics that are followed.

    :param head: the log's last position.
    :param memory: bytes that chunks may take, all topics together.
    :param between: called after a rank was woken, and after each subscriber that is woken alone: may take its time, but
        must not change anything here.
    :ivar head: the last position of which the hub was told.
    :ivar published: how many events that were.
    :ivar elsewhere: what is followed on other servers.
    """

    def __init__(self, head: int = 0, memory: int = MEMORY, between: Callable[[], object] = _nothing) -> None:
        self.head = head
        self.published = 0
        self.elsewhere: Elsewhere = ALONE
        self._topics: dict[str, TopicLog] = {}
        self._presence: dict[str, Presence] = {}
        self._memory = memory
        self._between = between
        self._used = 0
        # The topics that have something in memory, the one that was silent for longest first.
        self._kept: dict[TopicLog, None] = {}

    # Called by the history

    def arrived(self, drafts: Sequence[Draft], positions: Sequence[int]) -> None:
        """
        These became durable, in the log's order.
        """
        self.head = positions[-1]
        self.published += len(positions)
        topics = self._topics
        if not topics:
            return
        touched: dict[TopicLog, tuple[list[Draft], list[int]]] = {}
        for draft, position in zip(drafts, positions, strict=True):
            log = topics.get(draft.topic)
            # At or below the head is what the history told of itself before, when the topic was first followed.
            if log is not None and position > log.head:
                if log not in touched:
                    touched[log] = ([], [])
                news = touched[log]
                news[0].append(draft)
                news[1].append(position)
        for log, (its_drafts, its_positions) in touched.items():
            self._keep(log, log.append(its_drafts, its_positions))
        # When all is in its place: whoever is woken may end, and take a topic with it.
        for log in touched:
            # The rank first: whoever cannot keep up with it leaves it, and is then woken alone.
            if log.rank is not None:
                log.rank.wake()
                self._between()
            for cursor in [*log.cursors]:
                cursor.subscriber.wake()
                self._between()

    def start_over(self, head: int) -> None:
        """
        The log does not go on where it has ended. Nothing is kept of it, and nobody follows anything any more: those
        who did are asked to resume.

        :param head: the log's last position now.
        """
        for log in self._topics.values():
            if log.rank is not None:
                log.rank.disband()
            log.cursors.clear()
            log.watchers.clear()
        followed, self._presence = self._presence, {}
        self._topics.clear()
        self._kept.clear()
        self._used = 0
        self.head = head
        for topic, presence in followed.items():
            for name in presence.names:
                self.elsewhere.left(topic, name)
            self.elsewhere.counted(topic)

    # Called by the connections

    def follow(self, topic: str, head: int, at: int, subscriber: Subscriber, name: str, watches: bool) -> Cursor:
        """
        Begin to follow a topic.

        :param head: the topic's last position in the history, as it was after the history had begun to give the
            topic's events to the hub: whatever is above it arrives here.
        :param at: the position behind which to begin.
        :param name: who follows, for those who watch who is there.
        :param watches: whether this subscriber is told of others who come and go.
        """
        log = self._topics.get(topic)
        if log is None:
            log = self._topics[topic] = TopicLog(topic, max(head, self.head))
            self._presence[topic] = Presence()
        self._enter(log, self._presence[topic], name)
        cursor = Cursor(log, at, subscriber, {} if watches else None)
        log.cursors[cursor] = None
        log.followers += 1
        if watches:
            log.watchers[cursor] = None
        self.elsewhere.counted(topic)
        return cursor

    def unfollow(self, cursor: Cursor, name: str) -> None:
        """
        Follow it no more, having left the rank. The name is the one with which it was followed.
        """
        log = cursor.log
        if cursor not in log.cursors:
            return
        del log.cursors[cursor]
        log.followers -= 1
        log.watchers.pop(cursor, None)
        presence = self._presence[log.name]
        if not log.followers:
            self._used -= sum(len(chunk.data) for chunk in log.chunks)
            self._kept.pop(log, None)
            del self._topics[log.name], self._presence[log.name]
        self.elsewhere.counted(log.name)
        self._leave(log, presence, name)

    def rename(self, cursor: Cursor, old: str, new: str) -> None:
        """
        Whoever follows with this cursor has another name now.
        """
        if old == new:
            return
        log = cursor.log
        presence = self._presence[log.name]
        self._leave(log, presence, old)
        self._enter(log, presence, new)

    def who(self, topic: str) -> list[str]:
        """
        The names that follow a topic, on whichever server.
        """
        presence = self._presence.get(topic)
        names = presence.names if presence is not None else []
        known = {fold_name(name): name for name in self.elsewhere.names(topic)}
        return names + [name for name in known.values() if presence is None or not presence.has(name)]

    def followers(self, topic: str) -> int:
        """
        How many subscriptions a topic has, on all servers together.
        """
        return self.followers_here(topic) + self.elsewhere.followers(topic)

    @property
    def followed(self) -> list[str]:
        """
        The topics that somebody follows, on whichever server.
        """
        return list(dict.fromkeys([*self._topics, *self.elsewhere.topics]))

    # Called by the fellowship of servers

    def followers_here(self, topic: str) -> int:
        """
        How many subscriptions a topic has on this server.
        """
        log = self._topics.get(topic)
        return log.followers if log is not None else 0

    def is_level(self, cursor: Cursor) -> bool:
        """
        Whether a cursor has been given all of its topic that has been told here, and nothing that has not.
        """
        # Above the topic's head it may be where others were published to, or where a page of the history reached that
        # was ahead of what was told.
        return cursor.at == cursor.log.head or cursor.log.head < cursor.at <= self.head

    @property
    def here(self) -> Iterator[tuple[str, list[str], int]]:
        """
        The topics that are followed on this server: the names, and how many subscriptions.
        """
        for topic, log in self._topics.items():
            yield topic, self._presence[topic].names, log.followers

    def is_watched(self, topic: str) -> bool:
        """
        Tell whether somebody on this server wants to know who comes and goes.
        """
        log = self._topics.get(topic)
        return log is not None and bool(log.watchers)

    def moved_elsewhere(self, moves: Iterable[tuple[str, str | None, str | None]]) -> None:
        """
        On the other servers together, somebody has begun to follow a topic, or follows it no more.

        :param moves: the topic; the name under which they followed it, if they did; and that under which they do now.
        """
        touched: dict[TopicLog, None] = {}
        for topic, before, after in moves:
            log = self._topics.get(topic)
            # Who follows it here, too, is known under the name that they have here.
            if log is not None and not self._presence[topic].has(before or after or ""):
                self._note(log, before, after)
                touched[log] = None
        # When all is noted: whoever is woken may end, and what is told then is as it is now.
        for log in touched:
            self._wake_watchers(log)

    @property
    def behind(self) -> int:
        """
        How many subscriptions have something to take that they have not taken.
        """
        logs = self._topics.values()
        alone = sum(cursor.at < log.head for log in logs for cursor in log.cursors)
        return alone + sum(log.rank.behind for log in logs if log.rank is not None)

    @property
    def memory_used(self) -> int:
        """
        The bytes of events that are kept in memory.
        """
        return self._used

    # Ours

    def _enter(self, log: TopicLog, presence: Presence, name: str) -> None:
        if presence.enter(name):
            self._tell(log, self.elsewhere.entered(log.name, name), name)

    def _leave(self, log: TopicLog, presence: Presence, name: str) -> None:
        known = presence.leave(name)
        if known is not None:
            self._tell(log, known, self.elsewhere.left(log.name, known))

    def _tell(self, log: TopicLog, before: str | None, after: str | None) -> None:
        if before != after:
            self._note(log, before, after)
            self._wake_watchers(log)

    def _note(self, log: TopicLog, before: str | None, after: str | None) -> None:
        for cursor in log.watchers:
            changes = cursor.changes
            assert changes is not None
            for name, came in ((before, False), (after, True)):
                if changes.get(name or "") is (not came):
                    del changes[name or ""]
                elif name is not None:
                    changes[name] = came

    def _wake_watchers(self, log: TopicLog) -> None:
        for cursor in [*log.watchers]:
            cursor.subscriber.wake()

    def _keep(self, log: TopicLog, chunks: list[Chunk]) -> None:
        self._used += sum(len(chunk.data) for chunk in chunks)
        self._kept.pop(log, None)
        self._kept[log] = None
        while log.has_spare:
            self._used -= log.drop_oldest()
        while self._used > self._memory:
            oldest = next(iter(self._kept))
            self._used -= oldest.drop_oldest()
            if not oldest.chunks:
                del self._kept[oldest]
