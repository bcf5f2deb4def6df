"""
The subscribers of a topic that are up to date: one position, one round of sends.

The problem. Each subscriber that is woken alone asks its cursor what is next, gives it to its connection, which counts
it and gives it to its transport, which sends it: five calls through objects that no cache holds when a thousand others
were woken in between.

How. Members lend the rank the ``send`` of their sockets. What comes, the rank takes once, and sends to all of them,
touching nothing else of theirs in between. What a member was given is kept once for all: a member that enters is
counted less what the rank was given before, and so is right again when what the rank was given by then is added as it
leaves.

The invariants:

- Between deliveries the rank is at the topic's head. So a member's own cursor matters only when it enters, at the head,
  and is set when it leaves.
- Nothing is called in a round but ``send``, and the interlude, which answers only those who follow nothing. Who did not
  take everything leaves after it, at the position behind that round like all others, and the rest is written first of
  all that it is given then.
- Who has left is not sent to: a member leaves before anything is written to its connection that has to wait, and
  before its connection is closed.
"""

from typing import Final

from echochat.chat.topics import Cursor, Member, Send, TopicLog
from echochat.net.lean import Interlude, send_to_all
from echochat.server.exchange import Counters

FEW: Final = 2
"""
Followers of a topic that make a rank worth its 450 bytes.
"""


class SendingRank:
    """
    A rank whose members are connections.

    :param counters: where deliveries are counted.
    :param interlude: what happens in a round.
    """

    __slots__ = ("_counters", "_cursor", "_given", "_interlude", "_lines", "_members")

    def __init__(self, log: TopicLog, counters: Counters, interlude: Interlude) -> None:
        self._interlude = interlude
        self._cursor = Cursor(log, log.head, self, None)
        self._counters = counters
        self._members: dict[Send, Member] = {}
        # Bytes and lines that each was given who has been here all the time.
        self._given = 0
        self._lines = 0

    # Called by the hub

    def wake(self) -> None:
        cursor, members = self._cursor, self._members
        while members:
            data, lines = cursor.take()
            if not lines:
                break
            self._given += len(data)
            self._lines += lines
            self._counters.deliveries += lines * len(members)
            short = send_to_all(members, data, self._interlude)
            if short:
                fallen = [(members[send], taken) for send, taken in short]
                for member, _ in fallen:
                    member.fall_out()
                for member, taken in fallen:
                    member.catch_up(data[taken:])
        if cursor.at < cursor.log.head:
            # Memory has lost what comes next: everybody reads the history.
            self.disband()

    def disband(self) -> None:
        for member in [*self._members.values()]:
            member.fall_out()

    @property
    def behind(self) -> int:
        return len(self._members) if self._cursor.at < self._cursor.log.head else 0

    # Called by the members

    def enter(self, member: Member, send: Send) -> bool:
        head = self._cursor.log.head
        if not self._members:
            self._cursor.at = head
        elif self._cursor.at != head:
            return False
        self._members[send] = member
        del self._cursor.log.cursors[member.cursor]
        member.count(-self._given, -self._lines)
        return True

    def leave(self, member: Member, send: Send) -> None:
        del self._members[send]
        cursor = member.cursor
        # It may have been where others were published to, above the topic's head.
        cursor.at = max(cursor.at, self._cursor.at)
        cursor.log.cursors[cursor] = None
        member.count(self._given, self._lines)
