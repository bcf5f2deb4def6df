"""
Who is kept out.
"""

from twisted.internet.interfaces import IReactorTime

from echochat.net.sources import read_address
from echochat.wire.names import fold_name


def canonical(who: str) -> str:
    """
    The form in which names and addresses are compared: an address can be written in many ways.
    """
    try:
        return str(read_address(who))
    except ValueError:
        return fold_name(who)


class Bans:
    """
    Banned names and addresses, for a time or for as long as the server runs. Names are compared in one letter case.

    :param clock: for their end.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._until: dict[str, float | None] = {}

    def add(self, who: str, seconds: float | None) -> None:
        """
        Ban; again: for this time instead.
        """
        self._until[canonical(who)] = None if seconds is None else self._clock.seconds() + seconds

    def remove(self, who: str) -> bool:
        """
        Ban no more.

        :return: whether it was banned.
        """
        banned = who in self
        self._until.pop(canonical(who), None)
        return banned

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
