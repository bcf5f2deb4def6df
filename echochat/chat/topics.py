"""
A topic's newest events, and the cursors of those who follow it.

The problem. A thousand subscribers of one topic are to be given each event at once, one of them reads slowly, another
has just come back and wants everything since yesterday; nobody may cost memory by being slow, nobody may lose an event
or get one twice, and the order is one for all.

How. There is no queue for a subscriber. The newest events are kept once, encoded as they are sent, in chunks: what one
commit brought, cut into pieces of at most ``CHUNK`` bytes. A subscriber is a cursor: the position up to which it has
been given the topic. One that is up to date takes the newest chunk, which is the very same ``bytes`` object for all of
them. One that is behind takes the chunks after its position; one that is further behind than the chunks reach reads
the history until it is not.

Most subscribers are up to date, and what is waiting for them is nothing. Those form a rank: one cursor for all, and
one round of sends, in which nothing but the sockets is touched. With a thousand subscribers and one small event at a
time, to wake each of them was a fifth of the time of a delivery: five calls, and a dozen objects of each connection
that the processor's cache had lost since the last round.

The invariants:

- ``floor`` is a position such that every event of the topic above it, up to ``head``, is in the chunks. Positions are
  unique in the whole log, so a topic that nobody followed until now begins with the log's head as its floor, or with
  its own where the history is ahead, and nothing has to be read first.
- A cursor's position only grows, and is the position of the last event that it was given (or a position at which it
  was told to begin, or a gap's end). So whether the events come from memory or from the history, what is at or below
  it is not given again, and what is above it is.
- A rank is at the topic's head whenever nothing is being delivered, and so is each of its members, whatever its own
  cursor says. Who cannot be given something at once leaves it, with the position up to which the rank was given.
- The history can be ahead of ``head``: a page may hold events of a commit of which the hub is about to be told. Then
  the cursor is inside a chunk when that chunk comes, and takes the rest of it.

Rejected: a queue for each subscriber with a limit (memory for the slow, loss at the limit); handing over from replay
to live by buffering what comes in between (two orders to merge, the classic source of lost and doubled events); one
chunk an event (100 writes where one does: 0.35 M deliveries a second instead of 17 M).
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from echochat.chat.events import Draft, encode_drafts

CHUNK: Final = 131_072
"""
About the most bytes of a chunk, and so of one write: what a slow reader's connection may have to hold, beside the
64 KiB at which it is full.

With chunks of 64 KiB, fan-out to 100 subscribers reached 8.7 to 17 million deliveries a second. In the slow runs there
were as many system calls and twice as many context switches, as if each write found its reader asleep and had to wake
it; half as many writes need half as many wakings. With 128 KiB it is 12 to 21 million, the median half as much again.
"""

KEPT: Final = 1_000
"""
The newest events of a topic that are in memory at least, as long as all topics together keep within their bound.
"""


@dataclass(slots=True)
class Chunk:
    """
    Events as they are sent: a line each.

    :ivar positions: theirs, growing.
    :ivar before: every event of the topic between this position and the first one is in no chunk before this.
    """

    before: int
    positions: list[int]
    data: bytes

    def after(self, position: int) -> tuple[bytes, int]:
        """
        The lines behind a position that lies within, and how many they are.
        """
        skipped = sum(1 for each in self.positions if each <= position)
        start = 0
        for _ in range(skipped):
            start = self.data.index(b"\n", start) + 1
        return self.data[start:], len(self.positions) - skipped


class Subscriber(Protocol):
    """
    Whoever follows a topic.
    """

    def wake(self) -> None:
        """
        There may be something to take. Must not raise, nor block.
        """


Send = Callable[[bytes], int]
"""
Gives bytes to one client at once, past whatever else writes to it.

:return: how many were taken.
:raises OSError: none were taken.
"""


class Member(Protocol):
    """
    Whoever stands in a :class:`Rank`.

    :ivar cursor: how far it was when it entered.
    """

    cursor: "Cursor"

    def fall_out(self) -> None:
        """
        Leave the rank.
        """

    def count(self, size: int, lines: int) -> None:
        """
        So many bytes and lines it was given as a member.
        """

    def catch_up(self, rest: bytes) -> None:
        """
        This is what was not taken of the last that it was given: it comes first.
        """


class Rank(Subscriber, Protocol):
    """
    Subscribers of a topic who have been given the same, and are given what comes together: woken as one.
    """

    def enter(self, member: Member, send: Send) -> bool:
        """
        Stand in the rank, if it is where this member is: at the topic's head.
        """

    def leave(self, member: Member, send: Send) -> None:
        """
        Be woken alone again. The member's cursor is set to where the rank is.
        """

    def disband(self) -> None:
        """
        Have every member fall out.
        """

    @property
    def behind(self) -> int:
        """
        How many of its members have something to take.
        """


class TopicLog:
    """
    The newest events of a topic that somebody follows.

    :param name: the topic.
    :param floor: a position up to which the history has the topic, and above which every event of it arrives here.
    :ivar head: the topic's last position, as far as it has been told; at least ``floor``.
    :ivar cursors: of those who are woken alone.
    :ivar rank: of all others; None while there has been none.
    :ivar followers: how many there are, alone or in the rank.
    """

    __slots__ = (
        "chunks",
        "cursors",
        "floor",
        "followers",
        "head",
        "kept",
        "name",
        "newest",
        "previous",
        "rank",
        "watchers",
    )

    def __init__(self, name: str, floor: int) -> None:
        self.name = name
        self.floor = floor
        self.head = floor
        self.chunks: deque[Chunk] = deque()
        self.kept = 0
        self.cursors: dict[Cursor, None] = {}
        self.rank: Rank | None = None
        self.followers = 0
        # Those of them that asked for presence: a topic may have thousands of subscribers and no watcher.
        self.watchers: dict[Cursor, None] = {}
        # The newest chunk again, and the head before it: all that an up-to-date cursor looks at.
        self.newest = Chunk(floor, [], b"")
        self.previous = floor

    def append(self, drafts: list[Draft], positions: list[int]) -> list[Chunk]:
        """
        More has become durable. Wake the cursors after that.

        :return: the chunks that were made of it.
        """
        data = encode_drafts(drafts, positions)
        made = [Chunk(self.head, positions, data)] if len(data) <= CHUNK else self._cut(positions, data)
        for chunk in made:
            self.previous, self.head, self.newest = self.head, chunk.positions[-1], chunk
            self.chunks.append(chunk)
            self.kept += len(chunk.positions)
        return made

    def _cut(self, positions: list[int], data: bytes) -> list[Chunk]:
        made = []
        before, done, start = self.head, 0, 0
        while start < len(data):
            end = data.rfind(b"\n", start, start + CHUNK) + 1
            if not end:
                # One event that is longer than a chunk.
                end = data.index(b"\n", start) + 1
            lines = data.count(b"\n", start, end)
            made.append(Chunk(before, positions[done : done + lines], data[start:end]))
            before, done, start = positions[done + lines - 1], done + lines, end
        return made

    def drop_oldest(self) -> int:
        """
        Forget the oldest chunk: who wants it reads the history.

        :return: its bytes.
        """
        chunk = self.chunks.popleft()
        self.floor = chunk.positions[-1]
        self.kept -= len(chunk.positions)
        if not self.chunks:
            self.previous, self.newest = self.head, Chunk(self.head, [], b"")
        return len(chunk.data)

    @property
    def has_spare(self) -> bool:
        """
        Whether the oldest chunk can go with enough events left.
        """
        return bool(self.chunks) and self.kept - len(self.chunks[0].positions) >= KEPT


class Cursor:
    """
    How far one subscriber has been given a topic.

    :ivar at: the position up to which everything has been given; of a member of a rank, when it entered.
    :ivar changes: who has come (True) and gone (False) since the subscriber was last told; None for one that did not
        ask. A name that comes and goes before it is told is not in it, so this is never larger than the topic.
    """

    __slots__ = ("at", "changes", "log", "subscriber")

    def __init__(self, log: TopicLog, at: int, subscriber: Subscriber, presence: dict[str, bool] | None) -> None:
        self.log = log
        self.at = at
        self.subscriber = subscriber
        self.changes = presence

    @property
    def needs_history(self) -> bool:
        """
        Whether what comes next is not in memory.
        """
        return self.at < self.log.floor

    def take(self) -> tuple[bytes, int]:
        """
        The next lines, at most about ``CHUNK`` bytes, and how many they are: to be sent now, since they will not be
        given again. Nothing, if this is up to date, or :attr:`needs_history`.
        """
        log = self.log
        if self.at == log.previous:
            newest = log.newest
            self.at = log.head
            return newest.data, len(newest.positions)
        if self.at >= log.head or self.at < log.floor:
            return b"", 0
        return self._take_older()

    def _take_older(self) -> tuple[bytes, int]:
        taken: list[bytes] = []
        lines = size = 0
        for chunk in self.log.chunks:
            if chunk.positions[-1] <= self.at:
                continue
            if size + len(chunk.data) > CHUNK and taken:
                break
            if chunk.before >= self.at:
                data, count = chunk.data, len(chunk.positions)
            else:
                data, count = chunk.after(self.at)
            taken.append(data)
            size += len(data)
            lines += count
            self.at = chunk.positions[-1]
        return b"".join(taken), lines
