"""
Whom a link to a worker tells what becomes of it.
"""

from typing import Any, Protocol


class Owner(Protocol):
    """
    Whoever has the links (:class:`echochat.net.handoff.links.Link`) to one worker.
    """

    def welcomed(self, link: Any, alive: set[int]) -> None:
        """
        The worker has said who it is, and which connections of earlier links are alive.
        """

    def departing(self, link: Any) -> None:
        """
        The worker is stopping.
        """

    def strangers(self, link: Any, count: int) -> None:
        """
        The worker has so many connections of balancers that are gone. For these, too, the link stays.
        """

    def emptied(self, link: Any) -> None:
        """
        Nothing that was handed over is open or on its way any more.
        """

    def lost(self, link: Any, why: str) -> None:
        """
        The link is closed. What was not taken is refused after this.
        """
