"""
An inner event loop that is one reader of an outer one.

The problem. Twisted's reactor looks up, wraps in a logging context and dispatches each ready descriptor through five
calls; at 50 connections with one small line in flight that was more than half of the time of an echo. What was
measured on one machine (lines/s, one line of 32 bytes in flight on each of 50 connections): Twisted as usual 70k;
with eager writes alone 101-127k; with this loop too 172-177k.

How. epoll nests: an epoll descriptor is itself readable while something in it is ready. So the outer reactor watches
one descriptor, and this loop takes hundreds of ready sockets from it and calls each transport's ``doRead`` or
``doWrite`` directly.

The invariants:

- An event is only delivered to the descriptor that asked for it. Within a batch a descriptor may be closed, and its
  number be given to a new connection, before its own event is reached: numbers that were registered during the batch
  are skipped (epoll is level-triggered here, so whatever is true is told again). A descriptor that was paused earlier
  in the batch is not in the table of readers any more, and is left alone.
- The outer reactor is never starved: a turn takes ``ROUNDS`` batches at most, then timers and other descriptors run.
- An exception belongs to one connection: it is logged, that connection is lost with it, and the batch goes on.

Rejected: replacing the reactor (the user chooses it, and libraries that need an asyncio reactor must work);
edge-triggered epoll (a transport that reads 64 KiB a turn for fairness would need a list of those not finished).
"""

import errno
import select
from typing import Any, Final

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableDescriptor, IReactorFDSet, IReadDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure
from txaio.tx import make_logger
from zope.interface import implementer

IN: Final = select.EPOLLIN
OUT: Final = select.EPOLLOUT
_GONE: Final = select.EPOLLHUP | select.EPOLLERR

# Made once: a Failure costs more than the rest of a connection's end.
_REASONS: Final[dict[type[BaseException], Failure]] = {
    type(each): Failure(each) for each in (CONNECTION_DONE, CONNECTION_LOST)
}

ROUNDS: Final = 4
BATCH: Final = 512


@implementer(IReadDescriptor)
class Dispatcher:
    """
    Watch descriptors in an epoll of its own, and be watched by the outer reactor while there are any.

    :param outer: the reactor under which this runs.
    """

    log = make_logger()

    def __init__(self, outer: IReactorFDSet) -> None:
        self._outer = outer
        self._epoll = select.epoll()
        self._readers: dict[int, Any] = {}
        self._writers: dict[int, Any] = {}
        # Those of the readers that are told of everything themselves.
        self._ends: dict[int, Any] = {}
        # Numbers that were registered since the running batch was taken.
        self._fresh: set[int] = set()
        self._watched = False

    # Called by Twisted

    def fileno(self) -> int:
        return -1 if self._epoll.closed else self._epoll.fileno()

    def logPrefix(self) -> str:
        return "echochat"

    def doRead(self) -> None:
        readers, fresh = self._readers, self._fresh
        for _ in range(ROUNDS):
            if self._epoll.closed:
                # By the last connection's end, in the round before.
                return
            try:
                batch = self._epoll.poll(0, BATCH)
            except InterruptedError:
                return
            if not batch:
                return
            fresh.clear()
            for number, event in batch:
                if fresh and number in fresh:
                    continue
                if event == IN:
                    reader = readers.get(number)
                    if reader is None:
                        continue
                    try:
                        why = reader.doRead()
                    except Exception as error:
                        self.log.failure("a connection failed and is closed")
                        why = error
                    if why is not None:
                        self._lose(reader, why, reading=True)
                else:
                    self._dispatch(number, event)

    def connectionLost(self, reason: Failure) -> None:
        """
        The outer reactor has stopped, or cannot watch any more.
        """
        self._watched = False
        for descriptor in self.remove_all():
            try:
                descriptor.connectionLost(reason)
            except Exception:
                self.log.failure("a connection failed while it was closed")

    # Called by the lean reactor

    def add(self, table: dict[int, Any], descriptor: Any) -> None:
        number = descriptor.fileno()
        if number in table:
            return
        known = number in self._readers or number in self._writers
        table[number] = descriptor
        if known:
            self._epoll.modify(number, IN | OUT)
            return
        self._fresh.add(number)
        try:
            self._epoll.register(number, IN if table is self._readers else OUT)
        except BaseException:
            del table[number]
            raise
        if not self._watched:
            self._watched = True
            self._outer.addReader(self)

    def watch(self, end: Any, events: int) -> None:
        """
        Watch a descriptor that asks for events itself: ``doRead`` is called when there is something to read and nothing
        else, and ``ready`` with every other event.

        :param events: epoll's, such as ``EPOLLIN``.
        """
        number = end.number
        self._readers[number] = self._ends[number] = end
        self._fresh.add(number)
        self._epoll.register(number, events)
        if not self._watched:
            self._watched = True
            self._outer.addReader(self)

    def change(self, end: Any, events: int) -> None:
        """
        Watch a descriptor for other events.
        """
        self._epoll.modify(end.number, events)

    def forget(self, end: Any) -> None:
        """
        Watch it no more.
        """
        number = end.number
        if number in self._ends and self._ends[number] is end:
            self._epoll.unregister(number)
            self.closing(end)

    def closing(self, end: Any) -> None:
        """
        Watch it no more, since it is closed next: the kernel forgets it then, unless another process has it, too.
        """
        number = end.number
        if self._ends.get(number) is not end:
            return
        del self._ends[number], self._readers[number]
        if self._watched and not self._readers and not self._writers:
            self._watched = False
            self._outer.removeReader(self)

    def remove(self, table: dict[int, Any], descriptor: Any) -> None:
        number = descriptor.fileno()
        if table.get(number) is not descriptor:
            # Closed already (Twisted reports -1 then) or not watched.
            found = [key for key, value in table.items() if value is descriptor] if number < 0 else []
            if not found:
                return
            number = found[0]
        del table[number]
        self._ends.pop(number, None)
        other = self._writers if table is self._readers else self._readers
        try:
            if number in other:
                self._epoll.modify(number, OUT if table is self._readers else IN)
            else:
                self._epoll.unregister(number)
        except OSError as error:
            # The kernel forgets a descriptor when it is closed.
            if error.errno not in (errno.ENOENT, errno.EBADF):
                raise
        if self._watched and not self._readers and not self._writers:
            self._watched = False
            self._outer.removeReader(self)

    def remove_all(self) -> list[Any]:
        """
        Watch nothing any more.

        :return: what was watched.
        """
        descriptors = list({id(each): each for each in (*self._readers.values(), *self._writers.values())}.values())
        for descriptor in descriptors:
            self.remove(self._readers, descriptor)
            self.remove(self._writers, descriptor)
        return descriptors

    def close(self) -> None:
        """
        Give back the epoll descriptor.
        """
        if self._watched:
            self._watched = False
            self._outer.removeReader(self)
        self._epoll.close()

    @property
    def readers(self) -> dict[int, Any]:
        """
        By number, what is watched for reading.
        """
        return self._readers

    @property
    def writers(self) -> dict[int, Any]:
        """
        By number, what is watched for writing.
        """
        return self._writers

    # Ours

    def _dispatch(self, number: int, event: int) -> None:
        end = self._ends.get(number)
        if end is not None:
            try:
                end.ready(event)
            except Exception:
                self.log.failure("a connection failed and is closed")
                end.connectionLost(Failure())
            return
        reader = self._readers.get(number)
        writer = self._writers.get(number)
        if reader is None and writer is None:
            return
        descriptor = reader if reader is not None else writer
        reading = False
        why: Any = None
        if event & _GONE and not event & IN:
            # What had come before the end has been read: a clean end if somebody was reading, else a loss.
            reading = reader is not None
            why = CONNECTION_DONE if reading else CONNECTION_LOST
        else:
            try:
                if event & IN and reader is not None:
                    reading = True
                    why = reader.doRead()
                if why is None and event & OUT and self._writers.get(number) is writer and writer is not None:
                    reading = False
                    why = writer.doWrite()
            except Exception as error:
                self.log.failure("a connection failed and is closed")
                why = error
        if why is not None:
            self._lose(descriptor, why, reading)

    def _lose(self, descriptor: Any, why: BaseException, reading: bool) -> None:
        try:
            self.remove(self._readers, descriptor)
            reason = _REASONS.get(type(why)) or Failure(why)
            if reading and type(why) is ConnectionDone and IHalfCloseableDescriptor.providedBy(descriptor):
                descriptor.readConnectionLost(reason)
            else:
                self.remove(self._writers, descriptor)
                descriptor.connectionLost(reason)
        except Exception:
            self.log.failure("a connection failed while it was closed")
