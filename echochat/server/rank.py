"""
The subscribers of a topic that are up to date: one position and one round of sends for some of them together.

The problem. Each subscriber that is woken alone asks its cursor what is next, gives it to its connection, which counts
it and gives it to its transport, which sends it: five calls through objects that no cache holds when a thousand others
were woken in between.

How. Members lend their rank the ``send`` of their sockets. What comes, the rank takes once, and sends to all of them,
doing nothing else in between. What a member was given is kept once for all: a member that enters is counted less what
the rank was given before, and so is right again when what the rank was given by then is added as it leaves.

A thousand sends take 5 ms, and others would wait for all of them. So a topic has ranks of ``MOST`` members, and a round
is made in steps of ``STEP`` sends, between which anything may happen.

The invariants:

- Whoever enters is at the topic's head, and so is the rank. From then on the member is where the rank is, and its own
  cursor is set when it leaves: to where the rank was before the round, if it has not been sent to in that.
- Nothing is called in a step but ``send``. Who did not take everything leaves after it, at the position behind that
  round, and the rest is written first of all that it is given then.
- Who has left is not sent to: a member leaves before anything is written to its connection that has to wait, and
  before its connection is closed.
"""

from typing import Final, Protocol

from echochat.chat.topics import Cursor, TopicLog
from echochat.net.lean import Send, send_to_all
from echochat.server.exchange import Counters

FEW: Final = 2
"""
Followers of a topic that make a rank worth its 450 bytes.
"""

MOST: Final = 64
"""
Members of a rank.
"""

STEP: Final = 8
"""
Sends in a step: 30 to 110 µs.
"""


class Member(Protocol):
    """
    Whoever stands in a rank.

    :ivar cursor: how far it was when it entered.
    """

    cursor: Cursor

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


class SendingRanks:
    """
    The ranks of a topic.

    :param counters: where deliveries are counted.
    """

    __slots__ = ("_log", "_ranks", "_roomy", "counters")

    def __init__(self, log: TopicLog, counters: Counters) -> None:
        self.counters = counters
        self._log = log
        self._ranks: dict[Rank, None] = {}
        # Of them, those that have room.
        self._roomy: dict[Rank, None] = {}

    # Called by the hub

    @property
    def each(self) -> list["Rank"]:
        return [*self._ranks]

    def disband(self) -> None:
        for rank in [*self._ranks]:
            rank.disband()

    @property
    def behind(self) -> int:
        return sum(rank.behind for rank in self._ranks)

    # Called by the members

    def enter(self, member: Member, send: Send) -> "Rank":
        """
        Stand in a rank. The member is at the topic's head.
        """
        head = self._log.head
        for rank in self._roomy:
            if rank.at == head:
                break
        else:
            rank = Rank(self, Cursor(self._log, head, _NOBODY, None))
            self._ranks[rank] = self._roomy[rank] = None
        rank.enter(member, send)
        return rank

    # Called by the ranks

    def changed(self, rank: "Rank", members: int) -> None:
        """
        A rank has so many members now.
        """
        if members < MOST:
            self._roomy[rank] = None
        else:
            del self._roomy[rank]
        if not members:
            del self._ranks[rank], self._roomy[rank]


class Rank:
    """
    Some members, all where the rank is.
    """

    __slots__ = ("_before", "_cursor", "_data", "_given", "_lines", "_members", "_news", "_ranks", "_waiting")

    def __init__(self, ranks: SendingRanks, cursor: Cursor) -> None:
        self._ranks = ranks
        self._cursor = cursor
        self._members: dict[Send, Member] = {}
        # Bytes and lines that each was given who has been here all the time.
        self._given = 0
        self._lines = 0
        # The round that is under way: who has not been sent it yet, what it is, how many lines, and where they are.
        self._waiting: list[Send] = []
        self._data = b""
        self._news = 0
        self._before = 0

    # Called by the hub

    @property
    def is_sending(self) -> bool:
        return bool(self._waiting)

    def wake(self) -> None:
        waiting = self._waiting
        if not waiting:
            self._begin_round()
            waiting = self._waiting
        sends = waiting[-STEP:]
        del waiting[-STEP:]
        self._ranks.counters.deliveries += self._news * len(sends)
        data = self._data
        short = send_to_all(sends, data)
        if short:
            fallen = [(self._members[send], taken) for send, taken in short]
            for member, _ in fallen:
                member.fall_out()
            for member, taken in fallen:
                member.catch_up(data[taken:])
        if not self._waiting:
            self._data = b""
            self._begin_round()

    # Called by the ranks

    @property
    def at(self) -> int:
        """
        The position up to which the members have been given the topic, or are being given it.
        """
        return self._cursor.at

    @property
    def behind(self) -> int:
        """
        How many members have something to take.
        """
        return len(self._members) if self._cursor.at < self._cursor.log.head else len(self._waiting)

    def enter(self, member: Member, send: Send) -> None:
        """
        Have one more, who is where the rank is.
        """
        self._members[send] = member
        del self._cursor.log.cursors[member.cursor]
        member.count(-self._given, -self._lines)
        self._ranks.changed(self, len(self._members))

    def disband(self) -> None:
        """
        Have every member fall out.
        """
        for member in [*self._members.values()]:
            member.fall_out()

    # Called by the members

    def leave(self, member: Member, send: Send) -> None:
        """
        Be woken alone again. The member's cursor is set to where it is.
        """
        del self._members[send]
        at, given, lines = self._cursor.at, self._given, self._lines
        if send in self._waiting:
            self._waiting.remove(send)
            at, given, lines = self._before, given - len(self._data), lines - self._news
        cursor = member.cursor
        # It may have been where others were published to, above the topic's head.
        cursor.at = max(cursor.at, at)
        cursor.log.cursors[cursor] = None
        member.count(given, lines)
        self._ranks.changed(self, len(self._members))

    # Ours

    def _begin_round(self) -> None:
        cursor = self._cursor
        before = cursor.at
        data, lines = cursor.take() if self._members else (b"", 0)
        if lines:
            self._waiting = [*self._members]
            self._data, self._news, self._before = data, lines, before
            self._given += len(data)
            self._lines += lines
        elif cursor.needs_history:
            # Everybody reads it alone.
            self.disband()


class _Nobody:
    def wake(self) -> None:
        """
        A rank is woken itself.
        """


_NOBODY: Final = _Nobody()
