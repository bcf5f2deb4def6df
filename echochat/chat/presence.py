"""
Who is in which topic.
"""

from echochat.wire.names import fold_name


class Presence:
    """
    The names that are subscribed to one topic, each once however often it is subscribed.
    """

    __slots__ = ("_more", "_names")

    def __init__(self) -> None:
        # By folded name: the name as it came first.
        self._names: dict[str, str] = {}
        # How many subscriptions it has beside its first: most names have none, and a count for each is 72 bytes.
        self._more: dict[str, int] = {}

    def enter(self, name: str) -> bool:
        """
        A subscription has begun.

        :return: whether it is the name's first.
        """
        folded = fold_name(name)
        if folded in self._names:
            self._more[folded] = self._more.get(folded, 0) + 1
            return False
        self._names[folded] = name
        return True

    def leave(self, name: str) -> str | None:
        """
        A subscription has ended.

        :return: if it was the name's last, the name as it came; others know it so.
        """
        folded = fold_name(name)
        more = self._more.pop(folded, 0)
        if not more:
            return self._names.pop(folded)
        if more > 1:
            self._more[folded] = more - 1
        return None

    def has(self, name: str) -> bool:
        """
        Tell whether a name is there.
        """
        return fold_name(name) in self._names

    @property
    def names(self) -> list[str]:
        """
        All of them, in the order in which they came.
        """
        return list(self._names.values())
