"""
Giving each client to the backend that the pool chooses.
"""

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from echochat.balancer.backends import Backend
from echochat.balancer.pool import Pool, Shortage
from echochat.balancer.routes import NoBackend, Route


class Placement:
    """
    Tries one backend for each client.
    """

    def __init__(self, seconds: Callable[[], float], pool: Pool, routes: Mapping[Backend, Route]) -> None:
        self._seconds = seconds
        self._pool = pool
        self._routes = routes

    def place(self, client: Any) -> "Deferred[None]":
        """
        Give this client to a backend.
        """
        lease = self._pool.lease(self._seconds())
        if isinstance(lease, Shortage):
            return fail(NoBackend(lease.value))
        client.lease = lease

        def failed(failure: Failure) -> None:
            lease.release()
            client.lease = None
            raise NoBackend(f"connect failed: {failure.getErrorMessage()}")

        return self._routes[lease.backend].open(client).addErrback(failed)


class Silence:
    """
    Listens to no reports.
    """

    def connect_failed(self, backend: Backend, why: str) -> None:
        """
        An attempt failed.
        """

    def served(self, backend: Backend) -> None:
        """
        It has served.
        """

    def closed_at_once(self, backend: Backend) -> None:
        """
        It has closed.
        """
