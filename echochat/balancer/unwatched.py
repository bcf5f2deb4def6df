"""
Backends whose health nobody looks at.
"""

from echochat.balancer.backends import Backend


class Unwatched:
    """
    Looks at nothing, and listens to no reports.
    """

    # Called by the fleet

    def begin(self, backend: Backend) -> None:
        """
        It has joined.
        """

    def end(self, backend: Backend) -> None:
        """
        It has gone.
        """

    # Called by connections

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
