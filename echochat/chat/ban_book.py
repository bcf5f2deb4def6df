"""
The bans of a cluster: what each server knows of them, and which of two things that are known is the later one.

Each server has a copy of the whole book, and gives records to the others; the order in which they come, and how often,
does not matter. A record has a version that grows with each change of what is known about a name or an address. It is
the time of day where that is later, so that a record that was forgotten everywhere does not come back as a later one.
Where two operators change the same record at the same moment, the stricter one stays, on all servers.

Whoever learns something tells it to all, so what is forgotten must not be news again: two servers that each forget what
the other tells would go on for ever. What is not known, and was decided before something that was forgotten, may have
been forgotten as well, and is not learned.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final

MOST_RECORDS: Final = 10_000
"""
Records that are kept. Where there is no room for one more, of those that are not in force any more a tenth of all is
forgotten, the ones that were changed longest ago. Bans that are in force are never forgotten: no more are decided then.
"""

LIFTED: Final = 0
"""
The end of a ban that was taken back.
"""


@dataclass(frozen=True, slots=True)
class BanRecord:
    """
    What was last decided about a name or an address.

    :ivar who: in the form in which names and addresses are compared.
    :ivar version: of two records the one with the higher version counts.
    :ivar until: milliseconds since the epoch; None: there is no end; :data:`LIFTED`: not banned.
    """

    who: str
    version: int
    until: int | None

    def is_in_force(self, wall: int) -> bool:
        """
        Tell whether somebody is banned by it at this time of day.
        """
        return self.until is None or self.until > wall

    def overrules(self, other: "BanRecord") -> bool:
        """
        Tell whether this one counts and the other does not.
        """
        return (self.version, self._strictness) > (other.version, other._strictness)

    @property
    def _strictness(self) -> float:
        return float("inf") if self.until is None else self.until


class BanBookFull(Exception):
    """
    Nobody else can be banned before a ban is lifted, or has ended. The first argument says so.
    """


class BanBook:
    """
    What has been decided about names and addresses.
    """

    def __init__(self) -> None:
        # In the order in which they were last changed.
        self._records: dict[str, BanRecord] = {}
        # The highest version of a record that was forgotten.
        self._forgotten = -1

    def decide(self, who: str, until: int | None, wall: int) -> BanRecord:
        """
        Ban, or lift a ban: this overrules all that is known.

        :raises BanBookFull: it is a ban, and there is no room.
        """
        known = self._look_up(who, wall)
        record = BanRecord(who, max(wall, (known.version if known is not None else self._forgotten) + 1), until)
        # A ban that is lifted here, and that the book did not have, may be known elsewhere.
        if not self.learn(record, wall) and until != LIFTED:
            raise BanBookFull(f"{MOST_RECORDS} bans are in force: lift one first")
        return record

    def learn(self, record: BanRecord, wall: int) -> bool:
        """
        Somebody knows this.

        :return: whether it is new, and was noted.
        """
        known = self._look_up(record.who, wall)
        if known is None:
            is_new = len(self._records) < MOST_RECORDS and record.version > self._forgotten
        else:
            is_new = record.overrules(known)
        if not is_new:
            return False
        self._records.pop(record.who, None)
        self._records[record.who] = record
        return True

    def find(self, who: str) -> BanRecord | None:
        """
        What was last decided about a name or an address.
        """
        return self._records.get(who)

    @property
    def records(self) -> Iterable[BanRecord]:
        """
        All that is known, in the order in which it was learned.
        """
        return self._records.values()

    def _look_up(self, who: str, wall: int) -> BanRecord | None:
        """
        What is known; or make room for what is not.
        """
        known = self._records.get(who)
        if known is None and len(self._records) >= MOST_RECORDS:
            self._forget(wall)
        return known

    def _forget(self, wall: int) -> None:
        ended = [each for each in self._records.values() if not each.is_in_force(wall)]
        # Many at once, since all have to be looked at.
        for each in nsmallest(max(1, MOST_RECORDS // 10), ended, key=lambda each: each.version):
            del self._records[each.who]
            self._forgotten = max(self._forgotten, each.version)
