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

import select
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from echochat.net.lean.endings import LATER, Ending, Owner, Writing
from echochat.net.lean.pipes import Pipe, shared_pipe
from echochat.net.lean.watched import IN, NOW, OUT, PEER_ENDED

FEW: Final = 479
"""
What is read from an end at most until a chunk is as large. Python has memory for so much at hand; for more the C
library is asked, which took a fiftieth of the time of a line.
"""

SMALL: Final = 16_384
"""
What is read from an end at most while its chunks are not full.
"""

MOST_KEPT: Final = 262_144
"""
What is taken from any end at once, and so what is kept for the other at most.
"""


class End(Ending):
    """
    One socket of a pair.

    :param reactor: a :class:`echochat.net.lean.LeanReactor`.
    :param connected: a socket; it may be one that blocks.
    :ivar other: the other socket; None: there is none yet.
    :ivar received: bytes that came from its peer.
    :ivar has_ended: its peer sends nothing more.
    """

    __slots__ = ("_most", "_pass_on", "_pipe", "_recv", "_send", "received")

    other: "End | None"

    def __init__(self, reactor: Any, connected: socket.socket, owner: Owner) -> None:
        Ending.__init__(self, reactor, connected, owner)
        self._pipe: Pipe | None = None
        self._most = FEW
        self._recv = connected.recv
        self._send = connected.send
        # How the other end is sent to, while that is all that is to be done with what comes.
        self._pass_on: Callable[[bytes, int], int] | None = None
        self.received = 0

    # Called by the dispatcher

    def doRead(self) -> None:
        pass_on = self._pass_on
        if pass_on is None:
            self._read_otherwise()
            return
        recv = self._recv
        try:
            data = recv(self._most, NOW)
        except OSError as error:
            if error.errno not in LATER:
                self._be_reset()
            return
        size = len(data)
        if not size:
            self._hear_the_end()
            return
        self.received += size
        try:
            sent = pass_on(data, NOW)
        except OSError as error:
            assert self.other is not None
            sent = self.other._send_failed(error)
        if sent != size or size >= FEW:
            self._look_at(data, sent)

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
        if self.waiting or other.waiting or other.number < 0:
            self.arm()
            other.arm()
            return
        # As they would do, without asking what is known.
        self._pass_on, other._pass_on = other._send, self._send
        self._ask(IN)
        other._ask(IN)

    def look_once(self, look: Callable[[bytes], object]) -> None:
        """
        Show somebody the first chunk that comes, unless something else is to be considered with it. After that it is as
        if nobody had looked.
        """
        if self._pass_on is not None:
            # What is looked for should not be cut off.
            self._most = SMALL
            self._pass_on = partial(self._show, look)

    def is_over(self) -> None:
        self._pass_on = None
        super().is_over()

    def part(self) -> None:
        self._pass_on = None
        super().part()

    def arm(self) -> None:
        other = self.other
        events = OUT if self.waiting else 0
        self._pass_on = None
        if not self.has_ended and (other is None or not other.waiting):
            events |= IN
            if other is not None and self._pipe is None:
                self._pass_on = other._send
        self._ask(events)

    # Ours

    def _show(self, look: Callable[[bytes], object], data: bytes, flags: int) -> int:
        assert self.other is not None
        self._most, self._pass_on = FEW, self.other._send
        look(data)
        return self._pass_on(data, flags)

    def _read_otherwise(self) -> None:
        """
        There is something to read, and something else to be considered.
        """
        other, pipe = self.other, self._pipe
        # Something earlier in the batch may have changed what is asked for.
        if other is not None and pipe is not None and not other.waiting and not self.has_ended:
            self._read_bulk(other, pipe)

    def _look_at(self, data: bytes, sent: int) -> None:
        """
        A chunk was not taken, or is a large one.
        """
        other, size = self.other, len(data)
        if other is None:
            return
        if sent != size:
            other._keep(data[sent:])
        elif size == SMALL:
            self._begin_bulk(other)
        self._most = SMALL

    def _begin_bulk(self, other: "End") -> None:
        """
        A full chunk has come: more may follow.
        """
        self._pipe = shared_pipe()
        # MSG_DONTWAIT has no counterpart for a pipe.
        for each in (self, other):
            if each.number >= 0:
                each.socket.setblocking(False)
        self.arm()

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
            self.arm()

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
