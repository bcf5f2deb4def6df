"""
Threads that read.

One queue, first come, first served, and a page at a time: a reader that wants a million events asks again for each
page, and is behind everybody else who asked meanwhile.
"""

import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from echochat.history.errors import HistoryBusy, HistoryCorrupt, HistoryUnavailable
from echochat.history.sqlite.faults import explain, is_corrupt

Result = TypeVar("Result")

# The work is SQLite's, outside of Python's global lock, or copying: more threads than cores gain nothing.
THREADS: Final = 2

WAITING_BOUND: Final = 10_000


class Readers:
    """
    Runs functions over a read-only connection, in threads of its own.

    :param connect: opens a connection; called in a reading thread.
    """

    def __init__(self, reactor: IReactorFromThreads, connect: Callable[[], sqlite3.Connection]) -> None:
        self._reactor = reactor
        self._waiting = 0
        self._queue: queue.SimpleQueue[_Read | None] = queue.SimpleQueue()
        self._threads = [_Thread(self._queue, connect) for _ in range(THREADS)]

    # Called in the reactor's thread.

    def read(self, ask: Callable[..., Result], *arguments: object) -> Deferred[Result]:
        """
        :param ask: called with a connection and the arguments.
        :return: can be cancelled: what was not begun is then not read at all. Fails as
            :meth:`~echochat.history.interface.IHistory.read_after` does.
        """
        if self._waiting >= WAITING_BOUND:
            return fail(HistoryBusy("too many reads of the history are waiting"))
        self._waiting += 1
        read = _Read(ask, arguments, lambda result: self._reactor.callFromThread(self._answered, read, result))
        self._queue.put(read)
        return read.answer

    def stop(self) -> None:
        """
        End, after all reads that were asked for.
        """
        for _ in self._threads:
            self._queue.put(None)

    def _answered(self, read: "_Read", result: Any) -> None:
        self._waiting -= 1
        if not read.cancelled:
            read.answer.callback(result)

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

    def __init__(self, ask: Callable[..., Any], arguments: tuple[object, ...], tell: Callable[[Any], object]) -> None:
        self.ask = ask
        self.arguments = arguments
        self.tell = tell
        self.cancelled = False
        self.answer: Deferred[Any] = Deferred(self._cancel)

    def _cancel(self, answer: Deferred[Any]) -> None:
        self.cancelled = True


class _Thread(threading.Thread):
    """
    :ivar busy: held while a connection is in use.
    """

    def __init__(self, reads: "queue.SimpleQueue[_Read | None]", connect: Callable[[], sqlite3.Connection]) -> None:
        # A daemon: a process that ends without closing the history must not wait for it.
        super().__init__(name="history reader", daemon=True)
        self.busy = threading.Lock()
        self._reads = reads
        self._connect = connect
        self._database: sqlite3.Connection | None = None

    def run(self) -> None:
        while (read := self._reads.get()) is not None:
            read.tell(None if read.cancelled else self._read(read))
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
