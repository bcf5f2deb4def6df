"""
One end of a channel: records over a connected socket of type ``SOCK_SEQPACKET``, some of them with a descriptor.
"""

import array
import contextlib
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from echochat.net.handoff.frames import MOST_RECORD, MOST_TOGETHER, FrameError

TURN: Final = 64
"""
Records that are read in one turn: the others' turn comes then.
"""

# Numbers, and not the enumerations that Python has for them: those cost a microsecond each time.
_FLAGS: Final = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
_CUT: Final = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)
_SIZE: Final = array.array("i").itemsize
# Of more descriptors than these the kernel keeps none, and tells so.
_SPACE: Final = socket.CMSG_SPACE(MOST_TOGETHER * _SIZE)
# Of the longest kind that fit into a record.
_FRAMES: Final = MOST_RECORD // 32
_GONE: Final = (BrokenPipeError, ConnectionResetError, ConnectionRefusedError)
# Of the other side: process, user, group.
_CREDENTIALS: Final = struct.Struct("3i")


class Receiver(Protocol):
    """
    Whom a channel tells.
    """

    def received(self, record: bytes, descriptors: Sequence[int]) -> None:
        """
        A record has come. The descriptors have to be closed, sooner or later.

        :raises FrameError: it is none of ours: the channel is closed.
        """

    def turn_over(self) -> None:
        """
        For now nothing more is read.
        """

    def drained(self) -> None:
        """
        There is room again, and all that was posted is in the kernel's hands.
        """

    def lost(self, why: str) -> None:
        """
        The channel is closed. Everything that had come on it was received before.
        """


@implementer(IReadDescriptor, IWriteDescriptor)
class Records:
    """
    Sends and receives records, until it is closed or the other side closes.

    :param connected: the socket.
    :param reactor: an ``IReactorFDSet``.
    """

    def __init__(self, connected: socket.socket, reactor: Any, receiver: Receiver) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._reactor = reactor
        self._receiver = receiver
        self._open = True
        self._why = "the other side closed it"
        # Nothing can be sent any more.
        self._is_broken = False
        # What is posted and not sent yet: parts of records.
        self._waiting: list[bytes] = []

    # Called by Twisted

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "handoff"

    def doRead(self) -> None:
        for _ in range(TURN):
            if not self._receive():
                break
        if self._open:
            self._receiver.turn_over()

    def doWrite(self) -> None:
        self._reactor.removeWriter(self)
        self.flush()
        if self._open and not self._waiting:
            self._receiver.drained()

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor cannot watch it any more.
        """
        self._lose(reason.getErrorMessage())

    # Called by the owner

    @property
    def is_open(self) -> bool:
        """
        Whether it was not closed.
        """
        return self._open

    @property
    def is_drained(self) -> bool:
        """
        Whether all that was posted is in the kernel's hands.
        """
        return not self._waiting

    def start_reading(self) -> None:
        """
        Receive.
        """
        if self._open:
            self._reactor.addReader(self)

    def stop_reading(self) -> None:
        """
        Receive nothing for now: the other side is told by the kernel when it sends too much.
        """
        if self._open:
            self._reactor.removeReader(self)

    def post(self, frame: bytes) -> None:
        """
        Send this with the next :meth:`flush`, or as soon as there is room.
        """
        self._waiting.append(frame)

    def flush(self) -> None:
        """
        Send what was posted, as far as there is room.
        """
        waiting = self._waiting
        while waiting:
            count = min(len(waiting), _FRAMES)
            if not self.send(b"".join(waiting[:count])):
                return
            del waiting[:count]

    def send(self, record: bytes, descriptors: Sequence[int] = ()) -> bool:
        """
        Send a record, now.

        :return: False: there is no room, and :meth:`Receiver.drained` tells when there may be; or the other side has
            closed, and :meth:`Receiver.lost` tells soon.
        :raises OSError: the kernel does not pass these descriptors.
        """
        if not self._open or self._is_broken:
            return False
        try:
            if not descriptors:
                self._socket.send(record)
            else:
                rights = array.array("i", descriptors)
                self._socket.sendmsg([record], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        except (BlockingIOError, InterruptedError):
            self._reactor.addWriter(self)
            return False
        except _GONE:
            # Not now: whoever sends does not expect the channel to vanish, nor to receive.
            self._is_broken = True
            self._reactor.callLater(0, self.close, "the other side closed it")
            return False
        return True

    def close(self, why: str) -> None:
        """
        Receive what has come, and close. What the other side believes to have sent has been received then: from the
        beginning of this call its sends fail.
        """
        if not self._open:
            return
        # Reading finds an end from now on, as if the other side had closed.
        self._why = why
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)
        while self._receive():
            pass
        self._lose(why)

    # Ours

    def _receive(self) -> bool:
        """
        :return: whether there may be more.
        """
        if not self._open:
            return False
        try:
            record, ancillary, flags, _ = self._socket.recvmsg(MOST_RECORD, _SPACE, _FLAGS)
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionResetError:
            # The other side closed without reading everything. What it had sent before is still there to be received.
            return True
        except OSError as error:
            self._lose(f"it failed: {error.strerror}")
            return False
        descriptors = _descriptors(ancillary) if ancillary else ()
        if not record and not descriptors:
            self._lose(self._why)
            return False
        try:
            if flags & _CUT:
                close_all(descriptors)
                raise FrameError("a record is too long, or has too many descriptors")
            self._receiver.received(record, descriptors)
        except FrameError as error:
            self._lose(str(error))
        return self._open

    def _lose(self, why: str) -> None:
        if not self._open:
            return
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._open = False
        self._socket.close()
        self._receiver.lost(why)


def close_all(descriptors: Iterable[int]) -> None:
    """
    Close what came and is not wanted.
    """
    for descriptor in descriptors:
        os.close(descriptor)


def user_at(connected: socket.socket) -> int:
    """
    The user of the process at the other end of a UNIX socket, as the kernel knows it.
    """
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    user: int = _CREDENTIALS.unpack(credentials)[1]
    return user


def _descriptors(ancillary: Iterable[tuple[int, int, bytes]]) -> Sequence[int]:
    found = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(content[: len(content) - len(content) % _SIZE])
    return found
