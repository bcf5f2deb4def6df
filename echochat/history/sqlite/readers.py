"""
Threads that read.

One queue, first come, first served, and a page at a time: a reader that wants a million events asks again for each
page, and is behind everybody else who asked meanwhile.

For pages the threads take turns, and the turn of a large one is over when the reactor has taken it. To make a page of
events needs Python's global lock for as long as to send it does. So two threads that read ahead left the reactor a
third of the time, and brought it up to 100 pages at once: while 100 clients replayed 100,000 events each, the 99th
percentile of an echo was 10 ms on one connection and 80 ms on 50, instead of 0.1 and 0.8 ms. With turns it was 1 and
2 ms, and the replay took no longer. Where a turn takes longer than ``PATIENCE``, because the disk is slow or the
reactor busy, the next page is read without one.
"""

import queue
import sqlite3
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from echochat.history.errors import HistoryBusy, HistoryCorrupt, HistoryUnavailable
from echochat.history.records import Page
from echochat.history.sqlite.faults import explain, is_corrupt

Result = TypeVar("Result")

THREADS: Final = 2

PATIENCE: Final = 0.01
"""
Seconds that a thread waits for its turn; then it reads without.
"""

FEW: Final = 32
"""
Events of a page that is little work: the next one is read at once. Who subscribes while others publish often has such a
page to read.
"""

WAITING_BOUND: Final = 10_000


class Readers:
    """
    Runs functions over a read-only connection, in threads of its own.

    :param connect: opens a connection; called in a reading thread.
    :param patience: seconds that a thread waits for its turn.
    """

    def __init__(
        self, reactor: IReactorFromThreads, connect: Callable[[], sqlite3.Connection], patience: float = PATIENCE
    ) -> None:
        self._waiting = 0
        self._queue: queue.SimpleQueue[_Read | None] = queue.SimpleQueue()
        self._turn = threading.Semaphore()
        tell = partial(reactor.callFromThread, self._answered)
        self._threads = [_Thread(self._queue, connect, self._turn, patience, tell) for _ in range(THREADS)]

    # Called in the reactor's thread.

    def read(self, ask: Callable[..., Result], *arguments: object) -> Deferred[Result]:
        """
        :param ask: called with a connection and the arguments.
        :return: can be cancelled: what was not begun is then not read at all. Fails as
            :meth:`~echochat.history.interface.IHistory.read_after` does.
        """
        return self._put(_Read(ask, arguments))

    def read_page(self, ask: Callable[..., Result], *arguments: object) -> Deferred[Result]:
        """
        The same, for a Page: where it has many events the reactor is to take it before the next is read.
        """
        return self._put(_Read(ask, arguments, is_page=True))

    def stop(self) -> None:
        """
        End, after all reads that were asked for.
        """
        for _ in self._threads:
            self._queue.put(None)
        # No turns any more: the reactor's thread itself may wait until all has been read.
        self._turn.release(self._waiting + 1)

    def _put(self, read: "_Read") -> Deferred[Any]:
        if self._waiting >= WAITING_BOUND:
            return fail(HistoryBusy("too many reads of the history are waiting"))
        self._waiting += 1
        self._queue.put(read)
        return read.answer

    def _answered(self, read: "_Read", result: Any, has_turn: bool) -> None:
        self._waiting -= 1
        if not read.cancelled:
            read.answer.callback(result)
        if has_turn:
            self._turn.release()

    # Called in the writer's thread.

    def start(self) -> None:
        """
        Begin to read; what was asked for before has waited.
        """
        for thread in self._threads:
            thread.start()

    def suspend(self) -> None:
        """
        Wait until nothing is being read, and close all connections. Reads wait until :meth:`resume`.
        """
        for thread in self._threads:
            thread.busy.acquire()
            thread.disconnect()

    def resume(self) -> None:
        """
        Go on, over new connections.
        """
        for thread in self._threads:
            thread.busy.release()

    def join(self) -> None:
        """
        Wait until all have ended, after :meth:`stop`.
        """
        for thread in self._threads:
            thread.join()


class _Read:
    """
    One thing to read. A Failure is a result too.
    """

    def __init__(self, ask: Callable[..., Any], arguments: tuple[object, ...], *, is_page: bool = False) -> None:
        self.ask = ask
        self.is_page = is_page
        self.arguments = arguments
        self.cancelled = False
        self.answer: Deferred[Any] = Deferred(self._cancel)

    def _cancel(self, answer: Deferred[Any]) -> None:
        self.cancelled = True


class _Thread(threading.Thread):
    """
    :param turn: is had by one of them at a time, and by the reactor while it has much to take.
    :param patience: seconds to wait for it.
    :param tell: takes a read, its result, and whether the turn is the reactor's now.
    :ivar busy: held while a connection is in use.
    """

    def __init__(
        self,
        reads: "queue.SimpleQueue[_Read | None]",
        connect: Callable[[], sqlite3.Connection],
        turn: threading.Semaphore,
        patience: float,
        tell: Callable[[_Read, Any, bool], None],
    ) -> None:
        # A daemon: a process that ends without closing the history must not wait for it.
        super().__init__(name="history reader", daemon=True)
        self.busy = threading.Lock()
        self._reads = reads
        self._connect = connect
        self._turn = turn
        self._patience = patience
        self._tell = tell
        self._database: sqlite3.Connection | None = None

    def run(self) -> None:
        while (read := self._reads.get()) is not None:
            # One that was cancelled costs nobody a turn.
            has_turn = read.is_page and not read.cancelled and self._turn.acquire(timeout=self._patience)
            result = None if read.cancelled else self._read(read)
            if has_turn and not (isinstance(result, Page) and len(result.events) > FEW):
                self._turn.release()
                has_turn = False
            self._tell(read, result, has_turn)
        with self.busy:
            self.disconnect()

    def disconnect(self) -> None:
        """
        To be called while ``busy`` is held.
        """
        if self._database is not None:
            self._database.close()
            self._database = None

    def _read(self, read: _Read) -> Any:
        with self.busy:
            try:
                if self._database is None:
                    self._database = self._connect()
                return read.ask(self._database, *read.arguments)
            except sqlite3.Error as error:
                if is_corrupt(error):
                    return Failure(HistoryCorrupt(explain(error)))
                return Failure(HistoryUnavailable(f"the history cannot be read now: {explain(error)}"))
            except Exception:
                return Failure()
