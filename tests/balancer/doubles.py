"""
Doubles of the seams in :mod:`echochat.balancer.routes`.
"""

import errno

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import getConnectError
from twisted.internet.interfaces import IAddress

from echochat.balancer.backends import Backend, Lease


class FakeClient:
    """
    A client of which only what choosing needs is there.
    """

    def __init__(self, port: int = 50_000) -> None:
        self.peer: IAddress = IPv4Address("TCP", "192.0.2.1", port)
        self.host: IAddress = IPv4Address("TCP", "192.0.2.9", 7000)
        self.lease: Lease | None = None
        self.forwarded = b""

    def is_untouched(self) -> bool:
        return not self.forwarded


class FakeRoute:
    """
    A route whose attempts end when the test says so.

    :ivar attempts: those that go on, oldest first.
    :ivar cancelled: how many were cancelled.
    """

    def __init__(self) -> None:
        self.attempts: list[Deferred[None]] = []
        self.clients: list[FakeClient] = []
        self.cancelled = 0

    def open(self, client: FakeClient) -> "Deferred[None]":
        attempt: Deferred[None] = Deferred(self._cancel)
        self.attempts.append(attempt)
        self.clients.append(client)
        return attempt

    def close(self) -> None:
        """
        Nothing is kept open.
        """

    def succeed(self) -> None:
        """
        The oldest attempt succeeds.
        """
        self.attempts.pop(0).callback(None)

    def refuse(self) -> None:
        """
        The oldest attempt fails.
        """
        self.attempts.pop(0).errback(getConnectError((errno.ECONNREFUSED, "Connection refused")))

    def _cancel(self, attempt: "Deferred[None]") -> None:
        self.attempts.remove(attempt)
        self.cancelled += 1


class FakeReports:
    """
    Notes what it is told, by the backend's name.
    """

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def connect_failed(self, backend: Backend, why: str) -> None:
        self.told.append((backend.name, why))

    def served(self, backend: Backend) -> None:
        self.told.append((backend.name, "served"))

    def closed_at_once(self, backend: Backend) -> None:
        self.told.append((backend.name, "closed at once"))
