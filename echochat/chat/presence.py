"""
Who is in which topic.
"""

from echochat.wire.names import fold_name


class Presence:
    """
    The names that are subscribed to one topic, each once however often it is subscribed.
    """

    __slots__ = ("_names",)

    def __init__(self) -> None:
        # By folded name: the name as it came first, and how many subscriptions it has.
        self._names: dict[str, tuple[str, int]] = {}

    def enter(self, name: str) -> bool:
        """
        A subscription has begun.

        :return: whether it is the name's first.
        """
        folded = fold_name(name)
        known, count = self._names.get(folded, (name, 0))
        self._names[folded] = (known, count + 1)
        return count == 0

    def leave(self, name: str) -> str | None:
        """
        A subscription has ended.

        :return: if it was the name's last, the name as it came; others know it so.
        """
        folded = fold_name(name)
        known, count = self._names[folded]
        if count > 1:
            self._names[folded] = (known, count - 1)
            return None
        del self._names[folded]
        return known

    @property
    def names(self) -> list[str]:
        """
        All of them, in the order in which they came.
        """
        return [known for known, _ in self._names.values()]
