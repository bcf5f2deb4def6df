"""
The seam between choosing a backend and getting a connection there: a route for each backend.
"""

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress

from echochat.balancer.backends import Backend, Lease


class Client(Protocol):
    """
    A client that has connected to the balancer and has no backend yet.

    :ivar peer: where it is; behind a trusted proxy, what that proxy's header said.
    :ivar host: where it connected to, likewise.
    :ivar lease: what counts it, from each attempt on until both sides are closed.
    """

    peer: IAddress
    host: IAddress
    lease: Lease | None

    def is_untouched(self) -> bool:
        """
        Whether nothing of what the client sent has been forwarded, so that another backend may still be tried.
        """


class Route(Protocol):
    """
    How connections get to one backend.
    """

    def open(self, client: Any) -> "Deferred[None]":
        """
        Give the client to the backend.

        The Deferred fires when the backend has it, fails with the reason when it cannot be had there (another backend
        is tried then, if the client is untouched), and is cancelled when the client has gone or the time is over.
        """

    def close(self) -> None:
        """
        No more connections go this way. Those that there are stay.
        """


class Reports(Protocol):
    """
    What connections tell of their backend: passive health.
    """

    def connect_failed(self, backend: Backend, why: str) -> None:
        """
        An attempt failed: refused, timed out, or closed at once.
        """

    def served(self, backend: Backend) -> None:
        """
        The backend has sent its first byte, or kept a connection for more than a second.
        """

    def closed_at_once(self, backend: Backend) -> None:
        """
        The backend closed a connection within a second and had not sent a byte: as bad as a failed attempt.
        """


class NoBackend(Exception):
    """
    A client cannot be given to any backend. The message is one sentence for the log.
    """
