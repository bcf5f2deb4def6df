"""
The bans of a cluster: what each server knows of them, and which of two things that are known is the later one.

Each server has a copy of the whole book, and gives records to the others; the order in which they come, and how often,
does not matter. A record has a version that grows with each change of what is known about a name or an address. It is
the time of day where that is later, so that a record that was forgotten everywhere does not come back as a later one.
Where two operators change the same record at the same moment, the stricter one stays, on all servers.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MOST_RECORDS: Final = 10_000
"""
Records that are kept: of those that are not in force any more, the one that was changed longest ago goes first.
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


class BanBook:
    """
    What has been decided about names and addresses.
    """

    def __init__(self) -> None:
        # In the order in which they were last changed.
        self._records: dict[str, BanRecord] = {}

    def decide(self, who: str, until: int | None, wall: int) -> BanRecord:
        """
        Ban, or lift a ban: this overrules all that is known.
        """
        known = self._records.get(who)
        record = BanRecord(who, wall if known is None else max(wall, known.version + 1), until)
        self.learn(record, wall)
        return record

    def learn(self, record: BanRecord, wall: int) -> bool:
        """
        Somebody knows this.

        :return: whether it is new.
        """
        known = self._records.get(record.who)
        if known is not None and not record.overrules(known):
            return False
        self._records.pop(record.who, None)
        self._records[record.who] = record
        if len(self._records) > MOST_RECORDS:
            self._forget(wall)
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

    def _forget(self, wall: int) -> None:
        ended = (who for who, record in self._records.items() if not record.is_in_force(wall))
        forgotten = next(ended, None) or next(iter(self._records))
        del self._records[forgotten]
