"""
What is known of a client while it looks for a backend.
"""

from twisted.internet.defer import Deferred

from echochat.balancer.backends import Backend, Lease
from echochat.balancer.pool import Shortage
from echochat.balancer.routes import Client


class Placement:
    """
    One client on its way to a backend.

    :ivar tried: the backends that failed it.
    :ivar lease: that of the attempt that goes on.
    :ivar opening: that attempt.
    :ivar late: why it is given up, when its time is over; empty before.
    """

    __slots__ = ("client", "late", "lease", "opening", "reasons", "tried")

    lease: Lease
    opening: "Deferred[None]"

    def __init__(self, client: Client, tried: tuple[Backend, ...]) -> None:
        self.client = client
        self.tried = tried
        self.late = ""
        self.reasons: tuple[str, ...] = ()

    def failed(self, backend: Backend, reason: str) -> None:
        """
        The attempt has failed.
        """
        self.tried += (backend,)
        self.reasons += (f"{backend.name}: {reason}",)

    def give_up(self) -> None:
        """
        The time of the attempt is over.
        """
        self.late = "no connection in time"
        self.opening.cancel()

    def explain(self, shortage: Shortage | None) -> str:
        """
        Why there is no backend for the client, in one sentence.
        """
        if shortage is None:
            return "; ".join(self.reasons)
        last = shortage.value if not self.tried else f"of the others, {shortage.value}"
        return "; ".join((*self.reasons, last))
