"""
Two sockets whose bytes go to each other: the relay's inner loop.

The problem. A relayed line passes through a process twice, and does nothing there. Through Twisted's transports each
pass costs a protocol, a producer and a buffer; with lines of 32 bytes that was two thirds of the time (28k lines/s on
the machine where HAProxy made 103k).

How. Each socket is an :class:`End`, which the dispatcher calls directly. It reads and sends at once to the other
socket: nothing is made for a chunk but the chunk. What the other socket does not take is kept, and nothing more is read
until it has been taken: so at most one chunk is kept, :data:`MOST_KEPT` bytes. While full chunks come from an end, they
go through a pipe that all ends share (``os.splice``), and are not copied into this process: lines of 64 KiB pass a
fifth faster so than with a large buffer. Small chunks pass faster with one read and one send.

The invariants:

- An end is read from while the other end has nothing waiting, and its own end has not come.
- An end that is not read from is still watched: the kernel tells of a reset whatever one asks for, and of nothing else.
- An end is closed once. A pair is over when both are closed, and its owner is told then, once.
- The end of one direction is passed on when all of that direction was sent; when both directions have ended, both
  sockets are closed. A reset of one end resets the other, unless it had sent its end before: then the other still gets
  everything that came from it.

Rejected: a pipe for each direction, as HAProxy has (four descriptors more for each connection); edge-triggered epoll (a
list of ends that are not finished).
"""

import errno
import select
import socket
from enum import Enum
from typing import Any, Final, Protocol

from twisted.python.failure import Failure

from echochat.net.lean.pipes import Pipe, shared_pipe
from echochat.net.lean.watched import IN, NOW, OUT, PEER_ENDED, Watched

SMALL: Final = 16_384
"""
What is read from an end at most while its chunks are not full.
"""

MOST_KEPT: Final = 262_144
"""
What is taken from any end at once, and so what is kept for the other at most.
"""

_LATER: Final = frozenset((errno.EAGAIN, errno.EINTR))


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

    def peer_ended(self, end: "End") -> None:
        """
        The peer of this end sends nothing more; or it has gone, when there is no other end yet.
        """

    def peer_reset(self, end: "End") -> None:
        """
        The connection of this end was reset, or has timed out.
        """

    def lingers(self, end: "End") -> None:
        """
        Nothing more is expected but that this end takes what waits, and closes: see :meth:`End.abort`.
        """

    def closed(self) -> None:
        """
        No end is open any more.
        """


class End(Watched):
    """
    One socket of a pair.

    :param reactor: a :class:`echochat.net.lean.LeanReactor`.
    :param connected: a socket; it may be one that blocks.
    :ivar other: the other socket; None: there is none yet.
    :ivar received: bytes that came from its peer.
    :ivar has_ended: its peer sends nothing more.
    """

    __slots__ = (
        "_owner",
        "_pipe",
        "_recv",
        "_send",
        "_writing",
        "has_ended",
        "other",
        "received",
    )

    def __init__(self, reactor: Any, connected: socket.socket, owner: Owner) -> None:
        super().__init__(reactor, connected)
        self._owner = owner
        self._writing = Writing.OPEN
        self._pipe: Pipe | None = None
        self._recv = connected.recv
        self._send = connected.send
        self.other: End | None = None
        self.received = 0
        self.has_ended = False

    # Called by the dispatcher

    def doRead(self) -> None:
        other = self.other
        if other is None or other.waiting or self.has_ended:
            # Something earlier in the batch has changed what is asked for.
            return
        if self._pipe is not None:
            self._read_bulk(other, self._pipe)
            return
        try:
            data = self._recv(SMALL, NOW)
        except OSError as error:
            self._read_failed(error)
            return
        if not data:
            self._hear_the_end()
            return
        size = len(data)
        self.received += size
        try:
            sent = other._send(data, NOW)
        except OSError as error:
            sent = other._send_failed(error)
        if sent != size:
            other._keep(data[sent:])
        elif size == SMALL:
            self._begin_bulk(other)

    def ready(self, event: int) -> None:
        """
        Something other than bytes alone has come.
        """
        if event & OUT:
            self._write_on()
        if self.number < 0:
            return
        if event & IN and not self.has_ended:
            self.doRead()
        elif event & select.EPOLLERR:
            self._be_reset()
        elif self.other is None and event & (PEER_ENDED | select.EPOLLHUP):
            # What the peer sent before its end is read when there is somebody to take it.
            self._ask_nothing(event)
            self._owner.peer_ended(self)
        elif event & select.EPOLLHUP:
            self._ask_nothing(event)

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor has stopped, or calling this end has failed.
        """
        self._be_reset()

    # Called by the owner

    def join(self, other: "End", first: bytes) -> None:
        """
        Relay between both, from now on.

        :param first: what the other end is sent before anything that comes from this one.
        """
        self.other, other.other = other, self
        if first:
            try:
                sent = other._send(first, NOW)
            except OSError as error:
                sent = other._send_failed(error)
            if sent < len(first):
                other._keep(first[sent:])
        self.arm()
        other.arm()

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

    def outlive(self, other: "End | None") -> None:
        """
        Take what waits, and throw away what still comes.

        :param other: the other end, which is closed.
        """
        self.other = other
        self.finish()
        if self.is_open:
            self._owner.lingers(self)
            self.arm()

    # Ours

    def arm(self) -> None:
        """
        Ask the kernel for what is of use now.
        """
        other = self.other
        events = OUT if self.waiting else 0
        if not self.has_ended and (other is None or not other.waiting):
            events |= IN
        self._ask(events)

    def _begin_bulk(self, other: "End") -> None:
        """
        A full chunk has come: more may follow.
        """
        self._pipe = shared_pipe()
        # MSG_DONTWAIT has no counterpart for a pipe.
        for each in (self, other):
            if each.number >= 0:
                each.socket.setblocking(False)

    def _read_bulk(self, other: "End", pipe: Pipe) -> None:
        """
        Pass on as much as there is.
        """
        try:
            size = pipe.take(self.number, MOST_KEPT)
        except OSError as error:
            self._read_failed(error)
            return
        if not size:
            self._hear_the_end()
            return
        self.received += size
        try:
            sent = pipe.give(other.number, size)
        except OSError as error:
            sent = other._send_failed(error)
        if sent != size:
            other._keep(pipe.rest(size - sent))
        if size < SMALL:
            self._pipe = None

    def _keep(self, data: bytes) -> None:
        """
        This end does not take it now.
        """
        if self.number < 0:
            return
        self.waiting = data
        self.arm()
        if self.other is not None:
            self.other.arm()

    def _write_on(self) -> None:
        waiting = self.waiting
        if not waiting:
            return
        try:
            sent = self._send(waiting, NOW)
        except OSError as error:
            sent = self._send_failed(error)
        if self.number < 0:
            return
        self.waiting = waiting[sent:]
        if self.waiting:
            return
        if self._writing is Writing.FINISHING:
            self._send_the_end()
        self.arm()
        if self.other is not None:
            self.other.arm()

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
        if error.errno not in _LATER:
            self._be_reset()

    def _send_failed(self, error: OSError) -> int:
        """
        :return: how much was sent: nothing.
        """
        if error.errno not in _LATER:
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
