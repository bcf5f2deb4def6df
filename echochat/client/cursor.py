"""
Where a subscription is in its topic, with no I/O: what to ask for so that nothing is missed and nothing comes twice.
"""

from dataclasses import dataclass

from echochat.wire.answers import Event, Gap, Joined, Parted

Delivery = Event | Gap | Joined | Parted
"""
What a subscription brings: what was published, what was lost, and who comes and goes.
"""


class Replaced(Gap):
    """
    The gap between two logs: another one follows, from its beginning. Nothing that the one before had after ``after``
    comes, whatever that was; ``upto`` is the other log's.
    """

    __slots__ = ()


@dataclass(slots=True)
class Cursor:
    """
    :ivar position: the last position that was seen; None before the first subscription, when it is to begin with what
        is published next.
    :ivar epoch: the log in which that is; None while it is not known.
    :ivar repeated: how many events came that had been seen already. A right server sends none.
    """

    position: int | None = None
    epoch: str | None = None
    repeated: int = 0
    _new_log: bool = False
    _nothing_before: bool = False

    def options(self) -> list[str]:
        """
        The options of ``/sub`` that continue from here.
        """
        if self.position is None:
            return []
        after = f"after={self.position}"
        return [after] if self.epoch is None else [after, f"epoch={self.epoch}"]

    def start(self, position: int | None) -> None:
        """
        Begin behind this position; None: with whatever there will be, because there is nothing yet.
        """
        self.position = position or 0
        # Where retention has removed everything that a topic once had, nothing is lost to who begins now.
        self._nothing_before = position is None

    def began(self, head: int, epoch: str) -> None:
        """
        The server confirmed: this is the topic's last position, in this log.
        """
        if self.position is None:
            # Were this connection lost before the first event, what came meanwhile would else be skipped.
            self.position = head
        elif self.epoch is not None and epoch != self.epoch:
            # All that the new log has will come, from its beginning, behind a gap that tells of the old one.
            self.position = 0
            self._new_log = True
        self.epoch = epoch

    def takes(self, delivery: Delivery) -> Delivery | None:
        """
        Move on with what arrived.

        :return: it, as the consumer is told of it; None: it had been seen already.
        """
        match delivery:
            case Gap(upto=upto) if self._nothing_before:
                self._nothing_before = False
                self.position = max(self.position or 0, upto)
                return None
            case Event(position=position):
                if self.position is not None and position <= self.position:
                    self.repeated += 1
                    return None
                self.position = position
                self._new_log = self._nothing_before = False
            case Gap(topic, after, upto) if self._new_log:
                # The first of its positions is the old log's.
                self._new_log = False
                return Replaced(topic, after, upto)
            case Gap(upto=upto):
                self.position = max(self.position or 0, upto)
        return delivery
