"""
The seam between a connection and what carries its bytes.
"""

from typing import Protocol

from twisted.internet.interfaces import IAddress


class Carrier(Protocol):
    """
    What carries a connection's bytes: two Twisted protocols (:mod:`echochat.balancer.halves`), two sockets in the lean
    reactor (:mod:`echochat.balancer.sockets`), or another process, to which the socket was handed.

    :ivar bytes_in: how much of what the client sent the backend was sent.
    :ivar bytes_out: how much of what the backend sent the client was sent.
    :ivar host: where the client connected to; behind a trusted proxy, what that proxy's header said.
    """

    @property
    def bytes_in(self) -> int: ...

    @property
    def bytes_out(self) -> int: ...

    @property
    def host(self) -> IAddress: ...

    @property
    def is_here(self) -> bool:
        """
        Whether this process has descriptors of it.
        """

    def wait(self) -> None:
        """
        There is no backend yet: look out for the client's end.
        """

    def part(self) -> None:
        """
        There is no backend any more: close the client's side, politely.
        """

    def abort(self) -> None:
        """
        Close what there is, with a reset; :meth:`echochat.balancer.connection.Connection.end` follows.
        """

    def let_go(self) -> None:
        """
        The balancer is stopping: what can go on without it ends here, and nowhere else.
        """
