"""
What is on the other servers of a cluster, as the hub and the people of this one see it.
"""

from collections.abc import Iterable
from typing import Final, Protocol


class Elsewhere(Protocol):
    """
    The other servers: told what happens here, and asked what is there. Names of people are compared in one letter case.
    """

    # Told

    def entered(self, topic: str, name: str) -> str | None:
        """
        A name's first subscription of a topic has begun here.

        :return: how the name is written where it follows the topic elsewhere; None: it does not.
        """

    def left(self, topic: str, name: str) -> str | None:
        """
        A name's last subscription here has ended.

        :return: how the name is written where it follows the topic elsewhere; None: it does not.
        """

    def counted(self, topic: str) -> None:
        """
        The number of subscriptions here has changed.
        """

    def took(self, name: str) -> None:
        """
        A guest has this name now.
        """

    def gave_up(self, name: str) -> None:
        """
        The name is free again.
        """

    def showed(self, name: str) -> None:
        """
        Somebody has shown that this name is theirs.
        """

    # Asked

    def names(self, topic: str) -> Iterable[str]:
        """
        Who follows a topic elsewhere; a name may come several times.
        """

    def followers(self, topic: str) -> int:
        """
        How many subscriptions a topic has elsewhere.
        """

    @property
    def topics(self) -> Iterable[str]:
        """
        The topics that somebody follows elsewhere; one may come several times.
        """

    def has(self, name: str) -> bool:
        """
        Tell whether a guest elsewhere has this name.
        """


class Alone:
    """
    There are no other servers.
    """

    def entered(self, topic: str, name: str) -> str | None:
        return None

    def left(self, topic: str, name: str) -> str | None:
        return None

    def counted(self, topic: str) -> None:
        pass

    def took(self, name: str) -> None:
        pass

    def gave_up(self, name: str) -> None:
        pass

    def showed(self, name: str) -> None:
        pass

    def names(self, topic: str) -> Iterable[str]:
        return ()

    def followers(self, topic: str) -> int:
        return 0

    @property
    def topics(self) -> Iterable[str]:
        return ()

    def has(self, name: str) -> bool:
        return False


ALONE: Final[Elsewhere] = Alone()
