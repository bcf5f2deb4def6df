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
- Connections may be answered in passing (see :mod:`.interlude`) while a batch is run, too. What was answered is not
  there any more when its own event is reached: then there is nothing to read.
- An exception belongs to one connection: it is logged, that connection is lost with it, and the batch goes on.
- A socket that is closed during a batch is closed by its end. To tell a process on this machine of a reset wakes it,
  which costs as much as the rest of the close when it sleeps: so it is told when it has just been sent something else.

Rejected: replacing the reactor (the user chooses it, and libraries that need an asyncio reactor must work);
edge-triggered epoll (a transport that reads 64 KiB a turn for fairness would need a list of those not finished).
"""

import select
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableDescriptor, IReadDescriptor
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure
from txaio.tx import make_logger
from zope.interface import implementer

from echochat.net.lean.watchlist import IN, OUT, Watchlist

_GONE: Final = select.EPOLLHUP | select.EPOLLERR

# Made once: a Failure costs more than the rest of a connection's end.
_REASONS: Final[dict[type[BaseException], Failure]] = {
    type(each): Failure(each) for each in (CONNECTION_DONE, CONNECTION_LOST)
}

ROUNDS: Final = 4
BATCH: Final = 512

PASSING: Final = 32
"""
Connections that are looked at in passing: a third of a millisecond, if each has said a line; one and a half at worst.
Those that are still there come next time.
"""


@implementer(IReadDescriptor)
class Dispatcher(Watchlist):
    """
    Watch descriptors in an epoll of its own, and be watched by the outer reactor while there are any.

    :param outer: the reactor under which this runs.
    """

    log = make_logger()

    # Called by Twisted

    def fileno(self) -> int:
        return -1 if self._epoll.closed else self._epoll.fileno()

    def logPrefix(self) -> str:
        return "echochat"

    def doRead(self) -> None:
        fresh = self._fresh
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
            self._doomed = []
            try:
                self._run(batch)
            finally:
                doomed, self._doomed = self._doomed, None
                for each in doomed:
                    each.close()

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

    # Called by an interlude

    def answer_in_passing(self, left_out: set[int]) -> int:
        """
        Have connections that something was said on say whether they can answer it with nothing else changed, and do.

        :param left_out: numbers of descriptors that are not asked; those that cannot answer are added to it.
        :return: how many have answered.
        """
        if self._epoll.closed:
            return 0
        try:
            batch = self._epoll.poll(0, PASSING)
        except InterruptedError:
            return 0
        answered = 0
        for number, event in batch:
            if number in left_out:
                continue
            reader = self._readers.get(number) if event == IN else None
            # Of the class: a transport that wraps another one has its attributes, too.
            answer = getattr(type(reader), "answer_in_passing", None)
            if answer is not None and self._has_answered(answer, reader):
                answered += 1
            else:
                left_out.add(number)
        return answered

    # Ours

    def _has_answered(self, answer: Callable[[Any], bool], reader: Any) -> bool:
        try:
            return answer(reader)
        except Exception:
            self.log.failure("a connection failed and is closed")
            # Its end is told in a turn of its own: now others are in the middle of something.
            reader.abortConnection()
            return False

    def _run(self, batch: list[tuple[int, int]]) -> None:
        readers, fresh = self._readers, self._fresh
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
