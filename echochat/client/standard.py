"""
Standard input and output under Twisted, with back-pressure both ways.

Each has a thread of its own that blocks. ``twisted.internet.stdio`` would instead set ``O_NONBLOCK`` on descriptors
that belong to others as well: the shell and every other program at the same terminal or pipe would meet ``EAGAIN``
and fail. Nor can epoll watch a regular file (``echochat chat < file > file``). The threads are daemons, since
nothing can wake one that waits for a terminal; what counts has been flushed when the program ends.
"""

import os
import queue
import select
import threading
from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer, IProducer, IPushProducer, IReactorFromThreads
from zope.interface import implementer

from echochat.client.waiters import Waiters

CHUNK: Final = 65_536
HIGH_WATER: Final = 262_144
"""
Bytes waiting to be written at which whoever produces them is told to pause.
"""


@implementer(IPushProducer)
class InputStream:
    """
    Reads a descriptor: at most one chunk is ahead of its consumer, and none while that has paused it.

    :param on_data: takes each chunk.
    :param on_end: is told once that there is no more.
    """

    def __init__(
        self,
        reactor: IReactorFromThreads,
        descriptor: int,
        on_data: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._on_data = on_data
        self._on_end = on_end
        self._may_read = threading.Semaphore(1)
        self._paused = False
        self._held_back = False
        self._stopped = False

    # Called by Twisted

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        if self._held_back:
            self._held_back = False
            self._may_read.release()

    def stopProducing(self) -> None:
        self._stopped = True

    # Ours

    def start(self) -> None:
        """
        Begin to read.
        """
        threading.Thread(target=self._read, name="echochat-input", daemon=True).start()

    def _read(self) -> None:
        data = b"-"
        while data:
            self._may_read.acquire()
            try:
                data = os.read(self._descriptor, CHUNK)
            except OSError:
                # A terminal that has gone (EIO), or a descriptor that was closed for us: there is no more.
                data = b""
            self._reactor.callFromThread(self._deliver, data)

    def _deliver(self, data: bytes) -> None:
        if self._stopped:
            return
        if not data:
            self._stopped = True
            self._on_end()
            return
        self._on_data(data)
        if self._paused:
            self._held_back = True
        else:
            self._may_read.release()


@implementer(IConsumer)
class OutputStream:
    """
    Writes a descriptor.

    :param on_broken: is told once that nobody reads any more (``| head``); what is written after that is dropped.
    """

    def __init__(self, reactor: IReactorFromThreads, descriptor: int, on_broken: Callable[[], None]) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._on_broken = on_broken
        self._chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._waiting = 0
        self._producer: IPushProducer | None = None
        self._producer_paused = False
        self._until_room: Waiters[None] = Waiters()
        self._until_flushed: Waiters[None] = Waiters()
        self._started = False
        self.broken = False
        threading.Thread(target=self._watch, name="echochat-output-watch", daemon=True).start()

    # Called by Twisted

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        assert IPushProducer.providedBy(producer)
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def write(self, data: bytes) -> None:
        if self.broken or not data:
            return
        if not self._started:
            self._started = True
            threading.Thread(target=self._write, name="echochat-output", daemon=True).start()
        self._waiting += len(data)
        self._chunks.put(data)
        if self._producer is not None and not self._producer_paused and self._waiting > HIGH_WATER:
            self._producer_paused = True
            self._producer.pauseProducing()

    # Ours

    def room(self) -> Deferred[None]:
        """
        Fire when not too much waits to be written, or nobody reads it any more.
        """
        if self.broken or self._waiting <= HIGH_WATER:
            return succeed(None)
        return self._until_room.add()

    def flushed(self) -> Deferred[None]:
        """
        Fire when all that was given has been written, or nobody reads it any more.
        """
        if self.broken or not self._waiting:
            return succeed(None)
        return self._until_flushed.add()

    def _write(self) -> None:
        while True:
            data = self._chunks.get()
            left = memoryview(data)
            try:
                while left:
                    left = left[os.write(self._descriptor, left) :]
            except OSError:
                self._reactor.callFromThread(self._break)
                return
            self._reactor.callFromThread(self._wrote, len(data))

    def _wrote(self, size: int) -> None:
        self._waiting -= size
        if self._producer is not None and self._producer_paused and self._waiting <= HIGH_WATER // 2:
            self._producer_paused = False
            self._producer.resumeProducing()
        if self._waiting <= HIGH_WATER // 2:
            self._until_room.fire(None)
        if not self._waiting:
            self._until_flushed.fire(None)

    def _watch(self) -> None:
        """
        Wait until nobody reads any more, which a program that has nothing to write would else not notice.
        """
        poll = select.poll()
        poll.register(self._descriptor, 0)
        poll.poll()
        self._reactor.callFromThread(self._break)

    def _break(self) -> None:
        if self.broken:
            return
        self.broken = True
        self._until_room.fire(None)
        self._until_flushed.fire(None)
        self._on_broken()
