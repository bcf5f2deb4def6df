"""
Who may do what, as far as the protocol itself decides it.
"""

from typing import Protocol

from echochat.wire.names import fold_name


def canonical_topic(topic: str) -> str:
    """
    The form of a topic that is stored: an inbox is its owner's in whatever letter case the name is written.
    """
    return fold_name(topic) if topic.startswith("@") else topic


def may_read(name: str, topic: str) -> bool:
    """
    Tell whether this person may subscribe to a topic and read it: an inbox is read by its owner only.
    """
    return not topic.startswith("@") or topic[1:] == fold_name(name)


class Permissions(Protocol):
    """
    What somebody may do with topics, where there are access rules.
    """

    def may_read(self, topic: str) -> bool:
        """
        Tell whether they may subscribe to a topic and read it.
        """

    def may_publish(self, topic: str) -> bool:
        """
        Tell whether they may publish to a topic.
        """


class Allowance:
    """
    A token bucket: how much somebody may do, in bursts and over time.

    :param burst: how many at once.
    :param rate: how many a second, in the long run.
    """

    __slots__ = ("_burst", "_left", "_rate", "_seen")

    def __init__(self, burst: float, rate: float, now: float) -> None:
        self._burst = burst
        self._rate = rate
        self._left = burst
        self._seen = now

    def spend(self, now: float) -> float:
        """
        Do one more.

        :return: 0 when that is allowed; else how many seconds to wait.
        """
        self._left = min(self._burst, self._left + (now - self._seen) * self._rate)
        self._seen = now
        if self._left < 1.0:
            return (1.0 - self._left) / self._rate
        self._left -= 1.0
        return 0.0
