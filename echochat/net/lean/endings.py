"""
How two sockets whose bytes go to each other end: see :mod:`echochat.net.lean.ends` for what they are.

Each direction ends by itself: its end is passed on when all of it was sent, and when both directions have ended, both
sockets are closed. A reset of one socket resets the other, unless it had sent its end before: then the other still gets
everything that came from it. A pair is over when both are closed, and its owner is told then, once.
"""

import errno
import socket
from enum import Enum
from typing import Any, Final, Protocol

from twisted.python.failure import Failure

from echochat.net.lean.watched import PEER_ENDED, Watched

LATER: Final = frozenset((errno.EAGAIN, errno.EINTR))
"""
Numbers of errors that tell nothing of a connection.
"""


class Writing(Enum):
    """
    Whether an end is still written to.
    """

    OPEN = "open"
    # Its end is sent when what waits has been.
    FINISHING = "finishing"
    FINISHED = "finished"


class Owner(Protocol):
    """
    Whoever has a pair of ends.
    """

    def peer_ended(self, end: "Ending") -> None:
        """
        The peer of this end sends nothing more; or it has gone, when there is no other end yet.
        """

    def peer_reset(self, end: "Ending") -> None:
        """
        The connection of this end was reset, or has timed out.
        """

    def lingers(self, end: "Ending") -> None:
        """
        Nothing more is expected but that this end takes what waits, and closes: see :meth:`Ending.abort`.
        """

    def closed(self) -> None:
        """
        No end is open any more.
        """


_OPEN: Final = Writing.OPEN


class Ending(Watched):
    """
    A socket of a pair, as far as its end is concerned.

    :param reactor: a :class:`echochat.net.lean.LeanReactor`.
    :param connected: a socket; it may be one that blocks.
    :ivar other: the other socket; None: there is none yet.
    :ivar has_ended: its peer sends nothing more.
    """

    __slots__ = ("_owner", "_writing", "has_ended", "other")

    other: Any

    def __init__(self, reactor: Any, connected: socket.socket, owner: Owner) -> None:
        Watched.__init__(self, reactor, connected)
        self._owner: Any = owner
        self._writing = _OPEN
        self.other = None
        self.has_ended = False

    # Called by the dispatcher

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor has stopped, or calling this end has failed.
        """
        self._be_reset()

    # Called by the owner

    def part(self) -> None:
        """
        The other end is closed, and another one may come: wait for it.
        """
        self.other = None
        self._ask(PEER_ENDED)

    def finish(self) -> None:
        """
        Send the end, after what waits.
        """
        if self._writing is not Writing.OPEN:
            return
        self._writing = Writing.FINISHING
        if not self.waiting:
            self._send_the_end()

    def outlive(self, other: "Ending") -> None:
        """
        Take what waits, and throw away what still comes.

        :param other: the other end, which is closed.
        """
        self.other = other
        self.finish()
        if self.is_open:
            self._owner.lingers(self)
            self.arm()

    def is_over(self) -> None:
        """
        It is closed, and nobody asks for it any more: refer to nobody. Whatever refers in a circle is left to the
        collector, which took a tenth of the time of short connections.
        """
        self.other = self._owner = None

    def arm(self) -> None:
        """
        Ask the kernel for what is of use now.
        """
        raise NotImplementedError

    # Ours

    def _send_the_end(self) -> None:
        self._writing = Writing.FINISHED
        other = self.other
        if self.has_ended and (other is None or not other.is_open or (other.has_ended and not other.waiting)):
            self._close_both()
            return
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            # It was reset: reading tells.
            return

    def _hear_the_end(self) -> None:
        self.has_ended = True
        self._owner.peer_ended(self)
        other = self.other
        if self.number < 0:
            return
        self.arm()
        assert other is not None
        if not other.is_open:
            if not self.waiting:
                self._close_both()
            return
        if other.has_ended:
            if not self.waiting and not other.waiting:
                self._close_both()
                return
            for each in (self, other):
                each.finish()
                if each.is_open and each.waiting:
                    self._owner.lingers(each)
            return
        other.finish()

    def _close_both(self) -> None:
        self.close()
        if self.other is not None:
            self.other.close()
        self._owner.closed()

    def _read_failed(self, error: OSError) -> None:
        if error.errno not in LATER:
            self._be_reset()

    def _send_failed(self, error: OSError) -> int:
        """
        :return: how much was sent: nothing.
        """
        if error.errno not in LATER:
            self._be_reset()
        return 0

    def _be_reset(self) -> None:
        if self.number < 0:
            return
        self._owner.peer_reset(self)
        if self.number < 0:
            return
        self.close()
        other = self.other
        if other is None or not other.is_open:
            self._owner.closed()
        elif not self.has_ended:
            other.abort()
            self._owner.closed()
        else:
            other.outlive(self)
