"""
Where a subscription delivers.
"""

from typing import Final, Protocol

from echochat.chat.topics import Send


class Outlet(Protocol):
    """
    The connection of a subscription.

    :ivar full: whether it takes no more for now; it wakes the subscription when it does again.
    """

    full: bool

    def deliver(self, data: bytes, lines: int) -> None:
        """
        Send these lines.
        """

    def lend(self) -> Send | None:
        """
        What sends to the client at once, past :meth:`deliver`, until the subscription is told to fall out. None: there
        is no such thing, or something is waiting.
        """

    def count(self, size: int, lines: int) -> None:
        """
        So many bytes and lines were sent past :meth:`deliver`.
        """

    def resend(self, rest: bytes) -> None:
        """
        Send what was not taken of what is counted already.
        """


class _Nowhere:
    """
    Where a subscription delivers that has ended.
    """

    full = True

    def deliver(self, data: bytes, lines: int) -> None:
        """
        There is nobody to send it to.
        """

    def lend(self) -> Send | None:
        return None

    def count(self, size: int, lines: int) -> None:
        """
        Nothing was sent.
        """

    def resend(self, rest: bytes) -> None:
        """
        There is nobody to send it to.
        """


NOWHERE: Final[Outlet] = _Nowhere()
