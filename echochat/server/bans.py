"""
Who is kept out.
"""

import time
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from echochat.chat.ban_book import LIFTED, BanBook, BanRecord
from echochat.net.sources import read_address
from echochat.wire.names import fold_name, is_name

FEW: Final = 64
"""
Bans that may be kept though they have ended.
"""


def canonical(who: str) -> str:
    """
    The form in which names and addresses are compared: an address can be written in many ways.
    """
    try:
        return str(read_address(who))
    except ValueError:
        return fold_name(who)


def is_who(text: str) -> bool:
    """
    Tell whether this is a name or an address, in whatever form it is written.
    """
    try:
        read_address(text)
    except ValueError:
        return is_name(text)
    return True


def time_of_day() -> int:
    """
    Milliseconds since the epoch.
    """
    return int(time.time() * 1000)


class Bans:
    """
    Banned names and addresses, for a time or for as long as the server runs. Names are compared in one letter case.

    :param clock: for their end: where the time of day jumps, a ban that is known here lasts as long as it was to.
    :param wall: the time of day, in milliseconds since the epoch: for what other servers are told.
    :ivar book: what other servers know, too, if there are any.
    """

    def __init__(self, clock: IReactorTime, wall: Callable[[], int] = time_of_day) -> None:
        self._clock = clock
        self._wall = wall
        self._until: dict[str, float | None] = {}
        # With more than these it is looked for bans that have ended: nobody may ever ask for them again.
        self._enough = FEW
        self.book = BanBook()

    def add(self, who: str, seconds: float | None) -> BanRecord:
        """
        Ban; again: for this time instead.

        :raises BanBookFull: too many are banned.
        """
        who, wall = canonical(who), self._wall()
        record = self.book.decide(who, None if seconds is None else wall + round(seconds * 1000), wall)
        self._set(who, None if seconds is None else self._clock.seconds() + seconds)
        return record

    def remove(self, who: str) -> BanRecord | None:
        """
        Ban no more.

        :return: None: it was not banned.
        """
        if who not in self:
            return None
        who = canonical(who)
        del self._until[who]
        return self.book.decide(who, LIFTED, self._wall())

    def learn(self, record: BanRecord) -> bool:
        """
        Another server knows this.

        :return: whether it is new.
        """
        wall = self._wall()
        if not self.book.learn(record, wall):
            return False
        if record.is_in_force(wall):
            until = record.until
            self._set(record.who, None if until is None else self._clock.seconds() + (until - wall) / 1000)
        else:
            self._until.pop(record.who, None)
        return True

    def is_in_force(self, record: BanRecord) -> bool:
        """
        Tell whether somebody is banned by this record now.
        """
        return record.is_in_force(self._wall())

    def __contains__(self, who: str) -> bool:
        if not self._until:
            return False
        who = canonical(who)
        if who not in self._until:
            return False
        until = self._until[who]
        if until is not None and until <= self._clock.seconds():
            del self._until[who]
            return False
        return True

    def _set(self, who: str, until: float | None) -> None:
        self._until[who] = until
        if len(self._until) > self._enough:
            now = self._clock.seconds()
            self._until = {each: end for each, end in self._until.items() if end is None or end > now}
            self._enough = max(FEW, 2 * len(self._until))
