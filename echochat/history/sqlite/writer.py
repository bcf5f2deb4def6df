"""
The thread that writes: group commit, and what to do when it fails.

While one commit waits for the disk, all that is appended gathers in a queue; the next takes everything, up to a bound,
and makes it durable with one sync. The more comes, the larger the commits and the less each event costs: a single event
is on disk after 0.2 ms here, and 1,000 at a time reach 500,000 a second.

The invariants:

- Positions are given here and nowhere else, and only what is on disk counts: ``_head`` and the labels move after a
  commit.
- The reactor's thread is told of each commit by one call, in the order of commits.
- After the first failure nothing more is written with the same store. Whatever waits, and whatever comes, is told so,
  until another store was opened, verified, and proved to be writable. What a failed commit left behind is then given to
  the receiver like anything else: it is on disk now, a reader would find it, so a live subscriber must see it too.

In a process with its own lock the busy reactor would not slow the writer (see bundles.py), but then each event is
serialised twice, and two processes have to end together. A thread for each of encoding and writing gains nothing, since
encoding needs Python's lock anyway.
"""

import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from twisted.python.failure import Failure

from echochat.history.errors import HistoryRefused
from echochat.history.labels import LabelWindow
from echochat.history.numbering import Numbered, number
from echochat.history.records import Stored
from echochat.history.sqlite.bundles import Damaged
from echochat.history.sqlite.faults import HistoryLost, explain, is_corrupt
from echochat.history.sqlite.lockfile import LockFile
from echochat.history.sqlite.readers import Readers
from echochat.history.sqlite.reports import Append, Reports, Work
from echochat.history.sqlite.retention import Retainer
from echochat.history.sqlite.schema import create, look_at
from echochat.history.sqlite.settings import Settings
from echochat.history.sqlite.store import CHECKPOINT_BYTES, Store

# Beyond this a larger commit is no cheaper for an event, and the first one waits longer.
COMMIT_BOUND: Final = 32_768

# What must be writable before a failed history is available again.
_PROOF_BYTES: Final = 1 << 20


class Writer(threading.Thread):
    """
    Owns the store, the numbering and the labels.

    :param tell: calls one of the reports in the reactor's thread: ``tell(reports.closed, None)``.
    :ivar durable_head: the last position that may be read. Set in this thread, read in all.
    """

    def __init__(self, settings: Settings, reports: Reports, readers: Readers, tell: Callable[..., object]) -> None:
        # A daemon: a process that ends without closing the history must not wait for it.
        super().__init__(name="history writer", daemon=True)
        self.durable_head = 0
        self._settings = settings
        self._reports = reports
        self._readers = readers
        self._tell = tell
        self._lock = LockFile(f"{settings.path}.lock")
        self._window = LabelWindow(settings.deduplication, settings.monotonic)
        self._work: queue.SimpleQueue[Append | Work] = queue.SimpleQueue()
        self._backlog: deque[Append] = deque()
        self._store: Store | None = None
        self._retainer: Retainer | None = None
        self._checkpoint_at = CHECKPOINT_BYTES
        self._why = ""
        self._closing = False

    # Called in the reactor's thread.

    def put(self, work: Append | Work) -> None:
        """
        Ask for something.
        """
        self._work.put(work)

    # Called in the thread itself.

    def run(self) -> None:
        try:
            # Beside what is another program's no lock is left.
            look_at(self._settings.path)
            self._lock.acquire()
            create(self._settings.path)
            self._use(Store(self._settings))
        except Exception as error:
            self._lock.release()
            self._tell(self._reports.refused, _refusal(error, self._settings.path))
            return
        assert self._store is not None
        self._readers.start()
        self._tell(self._reports.opened, self._store.epoch, self._store.head)
        while self._backlog or not self._closing:
            try:
                self._take_turn()
            except Exception as error:
                # A bug: were the thread to end, nobody would ever be answered again.
                self._fail([], error)
        self._close()

    def _take_turn(self) -> None:
        self._collect()
        if self._backlog:
            self._commit()
        elif self._retaining:
            self._retain()

    @property
    def _retaining(self) -> bool:
        return self._retainer is not None and self._retainer.due and not self._closing

    def _collect(self) -> None:
        """
        Take in everything that was asked for; wait for it only where there is nothing else to do.
        """
        try:
            self._take(self._work.get(block=not (self._backlog or self._retaining or self._closing)))
            while True:
                self._take(self._work.get_nowait())
        except queue.Empty:
            return

    def _take(self, work: Append | Work) -> None:
        if isinstance(work, Append):
            if self._store is None:
                self._tell(self._reports.failed, [work], self._why, None)
            else:
                self._backlog.append(work)
        elif work is Work.CLOSE:
            self._closing = True
        elif work is Work.PROBE:
            self._probe()
        elif self._store is not None:
            self._tick()

    def _tick(self) -> None:
        store, retainer = self._store, self._retainer
        assert store is not None
        assert retainer is not None
        if store.is_replaced():
            # SQLite would go on to write, and to sync, a file that nobody can open any more.
            self._fail([], HistoryLost("the file was moved or deleted"))
        else:
            retainer.tick()

    def _commit(self) -> None:
        """
        Make durable what waits, up to the bound.
        """
        store = self._store
        assert store is not None
        appends = self._next_appends()
        began = time.perf_counter()
        try:
            forgotten = self._window.forget_old()
            numbered = self._number(appends, store.head)
            if numbered.drafts:
                store.commit(numbered.drafts, numbered.positions, numbered.labels)
        except Exception as error:
            self._fail(appends, error)
            return
        if numbered.labels:
            self._window.remember(numbered.labels, store.label_rows)
        self.durable_head = store.head
        self._tell(self._reports.committed, appends, numbered, time.perf_counter() - began)
        self._tidy(forgotten)

    def _next_appends(self) -> list[Append]:
        """
        What is committed together: an append that brings its positions is alone.
        """
        appends = [self._backlog.popleft()]
        count = len(appends[0].drafts)
        while (
            self._backlog
            and appends[0].positions is None is self._backlog[0].positions
            and count + len(self._backlog[0].drafts) <= COMMIT_BOUND
        ):
            count += len(self._backlog[0].drafts)
            appends.append(self._backlog.popleft())
        return appends

    def _number(self, appends: Sequence[Append], head: int) -> Numbered:
        positions = appends[0].positions
        if positions is None:
            return number([append.drafts for append in appends], head, self._window)
        return Numbered(appends[0].drafts, positions, stored=[Stored(positions)])

    def _tidy(self, forgotten: int) -> None:
        """
        What is done after a commit, when its events have been acknowledged and none is being stored.
        """
        store, retainer = self._store, self._retainer
        assert store is not None
        assert retainer is not None
        try:
            if forgotten:
                retainer.forget_labels(forgotten)
            if store.log_bytes > self._checkpoint_at:
                # Where another program's reading prevents it, not again before as much was added.
                emptied = store.checkpoint()
                self._checkpoint_at = CHECKPOINT_BYTES if emptied else store.log_bytes + CHECKPOINT_BYTES
            if retainer.due:
                self._tell(self._reports.removed, retainer.step())
        except Exception as error:
            self._fail([], error)

    def _retain(self) -> None:
        """
        What is done when nothing is appended.
        """
        self._tidy(self._window.forget_old())

    def _fail(self, appends: Sequence[Append], error: Exception) -> None:
        """
        Acknowledge nothing more.
        """
        if self._store is not None:
            with suppress(sqlite3.Error):
                self._store.abandon()
        self._store = self._retainer = None
        self._why = f"the history cannot take it now: {explain(error)}"
        self._tell(self._reports.failed, [*appends, *self._backlog], self._why, Failure(error))
        self._backlog.clear()

    def _probe(self) -> None:
        """
        Recover, if that is possible by now.
        """
        if self._store is not None or self._closing:
            return
        store = None
        # Without any open handle the write-ahead log is read anew from its file, and what is wrong with it found.
        self._readers.suspend()
        try:
            store = Store(self._settings)
            if store.head < self.durable_head:
                store.rename_log()
                raise HistoryLost(f"up to position {self.durable_head} was acknowledged, {store.head} is left")
            if not store.emptied:
                raise sqlite3.OperationalError("another program reads the database, its log cannot be emptied")
            store.prove_writable(_PROOF_BYTES)
            drafts, positions = store.events_after(self.durable_head)
            self._use(store)
        except Exception as error:
            if store is not None:
                store.abandon()
            hopeless = is_corrupt(error) or isinstance(error, HistoryRefused | HistoryLost | Damaged)
            if hopeless:
                self._why = "the history cannot take it: its database is damaged"
            self._tell(self._reports.still_failed, self._why, Failure(error), hopeless)
        else:
            self._tell(self._reports.recovered, drafts, positions)
        finally:
            self._readers.resume()

    def _use(self, store: Store) -> None:
        self._window.clear()
        for labels in store.labels():
            self._window.remember(labels, store.label_rows)
        self._store = store
        self._retainer = Retainer(store)
        self._checkpoint_at = CHECKPOINT_BYTES
        self.durable_head = store.head

    def _close(self) -> None:
        failure = None
        self._readers.join()
        try:
            if self._store is not None:
                self._store.close()
        except sqlite3.Error:
            failure = Failure()
        finally:
            self._lock.release()
        self._tell(self._reports.closed, failure)


def _refusal(error: Exception, path: str) -> Failure:
    if isinstance(error, sqlite3.Error):
        return Failure(HistoryRefused(f"{path}: {explain(error)} ({error})"))
    if isinstance(error, OSError):
        return Failure(HistoryRefused(f"{path}: {error.strerror}"))
    return Failure(error)
