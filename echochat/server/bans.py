"""
Who is kept out.
"""

from twisted.internet.interfaces import IReactorTime

from echochat.wire.names import fold_name


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
        self._until[fold_name(who)] = None if seconds is None else self._clock.seconds() + seconds

    def remove(self, who: str) -> bool:
        """
        Ban no more.

        :return: whether it was banned.
        """
        banned = who in self
        self._until.pop(fold_name(who), None)
        return banned

    def __contains__(self, who: str) -> bool:
        if not self._until:
            return False
        who = fold_name(who)
        if who not in self._until:
            return False
        until = self._until[who]
        if until is not None and until <= self._clock.seconds():
            del self._until[who]
            return False
        return True
