"""
The seams between choosing a backend and getting a connection there: a route for each backend, what watches over it, and
what an operator sees of a connection.
"""

from typing import Any, Protocol, runtime_checkable

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

    def open(self, client: Any) -> "Deferred[None] | None":
        """
        Give the client to the backend.

        :return: None: the backend has it already. Otherwise it fires when it has, fails with the reason when it cannot
            be had there (another backend is tried then, if the client is untouched), and is cancelled when the client
            has gone or the time is over. It does not fail with ``CancelledError`` unless it was cancelled: that would
            mean that the client has gone.
        """

    def close(self) -> None:
        """
        No more connections go this way. Those that there are stay.
        """


@runtime_checkable
class Moves(Protocol):
    """
    A route that can ask the sessions at its backend to move, by a way of its own.
    """

    def move(self, count: int | None, seconds: float) -> "Deferred[int]":
        """
        Ask sessions to reconnect, which takes them elsewhere: spread over this time, without closing any.

        :param count: how many; None: all.
        :return: how many will be asked. It fails with the reason when the backend cannot be told.
        """


@runtime_checkable
class ChecksItself(Protocol):
    """
    A route that knows by a way of its own whether its backend is well.
    """

    def check(self, backend: Backend) -> "Deferred[str]":
        """
        Look whether it is: see :mod:`echochat.balancer.checks`.

        :return: fires with what was seen; fails with why the backend is not well; can be cancelled.
        """


class Watch(Protocol):
    """
    Looks at the health of backends.
    """

    def begin(self, backend: Backend) -> None:
        """
        Look at this one, or look again in another way: its ``check`` or ``mode`` may have changed.
        """

    def end(self, backend: Backend) -> None:
        """
        Look at it no more.
        """


class Held(Protocol):
    """
    A connection that the balancer has, as an operator sees it.

    :ivar number: identifies it in the log.
    :ivar peer: where the client is.
    :ivar lease: names its backend; None: it has none yet.
    :ivar bytes_in: what it has carried from the client up to now, as far as the balancer knows.
    :ivar bytes_out: likewise, from the backend.
    """

    number: int
    lease: Lease | None

    @property
    def peer(self) -> IAddress: ...

    @property
    def bytes_in(self) -> int: ...

    @property
    def bytes_out(self) -> int: ...

    def kick(self) -> bool:
        """
        An operator wants it gone: close both sides at once, and say so in the log.

        :return: False: it was about to be gone already.
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
