"""
The database as its one writer sees it. Synchronous: all of it happens in the writer's thread.

A store is one set of open files. After a failure it is abandoned and another one opened; nothing is tried again on the
same handles, because the kernel reports a failed ``fsync`` once and then takes the lost pages for clean.

Opening is recovering: the write-ahead log is replayed from its file, then copied into the database, synced and begun
anew. After a failed fsync the log's pages may be in the kernel's cache and not on the disk; were the next commits put
behind them, a power cut would lose those too, though each was synced and acknowledged. Once the log has been emptied
nothing depends on such pages any more. For the same reason the last handle to be closed after a failure is a read-only
one: the last that can write would copy from the log by itself, unverified.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from echochat.history.errors import HistoryRefused
from echochat.history.records import Draft
from echochat.history.sqlite.bundles import MAX_EVENTS, SELECT_BUNDLES, Bundle, Damaged, Row, make_rows, open_bundle
from echochat.history.sqlite.label_rows import DamagedLabels, decode_labels, encode_labels
from echochat.history.sqlite.schema import (
    connect_reader,
    connect_writer,
    identify,
    migrate,
    new_epoch,
)
from echochat.history.sqlite.settings import Settings
from echochat.history.sqlite.statements import Statement, by_topic, inserts
from echochat.history.sqlite.topics import TopicTable

# Copying this much from the log into the database takes about 20 ms, in which nothing is committed.
CHECKPOINT_BYTES: Final = 16 << 20

# How many bundles at the end of the log are verified when it is opened.
_ENDS: Final = 64


class Store:
    """
    One set of handles on the database, from opening to :meth:`close` or :meth:`abandon`.

    Every method may raise :class:`sqlite3.Error`, and must not be called again after one did, except
    :meth:`abandon`.
    """

    def __init__(self, settings: Settings) -> None:
        """
        :raises HistoryRefused: when this is not a log that can be gone on with.
        """
        self.settings = settings
        self.label_rows = 0
        self._log_bytes = 0
        self._log_scale = 1.0
        self.last_rows = 0
        identify(settings.path)
        self.database = connect_writer(settings.path, settings.connection)
        self._anchor: sqlite3.Connection | None = None
        try:
            migrate(self.database, settings.path)
            self._anchor = connect_reader(settings.path, settings.connection)
            self._anchor.execute("SELECT count(*) FROM meta").fetchone()
            self.emptied = self.checkpoint("TRUNCATE")
            self._verify_end()
            self.database.execute(f"PRAGMA synchronous={settings.synchronous}")
            self.topics = TopicTable(self.database)
            self.head = self._read_head()
            self._file = os.stat(settings.path)
            self._opened_monotonic = settings.monotonic()
            self._opened = max(settings.now(), self._last_time() / 1000)
            self.epoch: str = self.database.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()[0]
        except BaseException:
            self.abandon()
            raise

    def labels(self) -> Iterator[dict[str, int]]:
        """
        :return: what each commit with labels put into the window, oldest first, as far as it has not been forgotten.
        :raises HistoryRefused: when one of them is damaged: without it, an event might be doubled.
        """
        for row, crc, keys in self.database.execute("SELECT id, crc, keys FROM labels ORDER BY id"):
            self.label_rows = row
            try:
                yield decode_labels(row, crc, keys)
            except DamagedLabels as error:
                raise HistoryRefused(f"{self.settings.path} is corrupt: row {row} of labels") from error

    def commit(self, drafts: Sequence[Draft], positions: Sequence[int], labels: Mapping[str, int]) -> None:
        """
        Make these durable, together.
        """
        time = self.time()
        groups = by_topic(drafts, positions)
        topics = self.topics.load(groups)
        new: list[tuple[int, str]] = []
        rows: list[Row] = []
        # Retention removes whole bundles: before this there may be none to remove.
        too_many = self.settings.retention.events + MAX_EVENTS
        for name, (its_positions, its_drafts) in groups.items():
            topic = topics[name]
            if not topic.stored:
                topic.stored = True
                new.append((topic.id, name))
            rows += make_rows(name, topic.id, topic.last, topic.number, time, its_positions, its_drafts)
            topic.last = its_positions[-1]
            topic.number += len(its_drafts)
            if topic.number - topic.removed >= too_many:
                self.topics.grown.add(topic.id)
        rows.sort()  # so that each is put behind the table's last
        statements = [
            *inserts("INSERT INTO topics (id, name)", new),
            *inserts("INSERT INTO bundles", rows),
        ]
        if labels:
            self.label_rows += 1
            row = encode_labels(self.label_rows, labels)
            statements.extend(inserts("INSERT INTO labels", [row]))
            self.wrote(len(row[-1]), 1)
        self._transact(statements)
        self.head = positions[-1]
        self.last_rows = len(rows)
        self.wrote(sum([len(row[-1]) for row in rows]), len(rows) + len(new))

    @property
    def log_bytes(self) -> int:
        """
        How long the write-ahead log is, about.
        """
        return int(self._log_bytes * self._log_scale)

    def wrote(self, size: int, rows: int) -> None:
        """
        So much was added to the log, if each row had dirtied two pages of its own.
        """
        self._log_bytes += size + 8192 * (rows + 1)

    def checkpoint(self, mode: str = "RESTART") -> bool:
        """
        Copy the write-ahead log into the database, and begin it anew.

        :return: whether all was copied and the log is empty; another program that reads may prevent it for now.
        """
        # Our own readers need a moment; another program's may need for ever.
        self.database.execute("PRAGMA busy_timeout=100")
        busy, pages, _ = self.database.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        self.database.execute("PRAGMA busy_timeout=5000")
        if not busy:
            # How far off the estimate was depends on how many topics are written to, and it is off alike next time.
            if pages > 0:
                self._log_scale = min(4.0, max(0.01, pages * 4096 / max(self._log_bytes, 4096)))
            self._log_bytes = 0
        return not busy

    def time(self) -> int:
        """
        The log's own time, in milliseconds: the time of day when the log was opened, and what has passed since.

        It does not go back, and does not follow a clock that jumps: neither may make a week's events old at once.
        """
        return int((self._opened + self.settings.monotonic() - self._opened_monotonic) * 1000)

    def is_replaced(self) -> bool:
        """
        Tell whether the path leads to another file than it did, or to none.
        """
        try:
            return not os.path.samestat(os.stat(self.settings.path), self._file)
        except FileNotFoundError:
            return True

    def size(self) -> int:
        """
        :return: bytes in use: free pages, which the next events will take, are not.
        """
        pages, free, page_size = (
            self.database.execute(f"PRAGMA {what}").fetchone()[0]
            for what in ("page_count", "freelist_count", "page_size")
        )
        size: int = (pages - free) * page_size
        return size

    def prove_writable(self, size: int) -> None:
        """
        Write that many bytes through to the database, and take them back: a full disk has room for some page or other
        for a long time.
        """
        self.database.execute("INSERT OR REPLACE INTO meta VALUES ('probe', zeroblob(?))", [size])
        self.checkpoint()
        self.database.execute("DELETE FROM meta WHERE key = 'probe'")

    def events_after(self, position: int) -> tuple[list[Draft], list[int]]:
        """
        :return: every event of the log behind this position, in order.
        """
        rows = self.database.execute(
            f"{SELECT_BUNDLES} JOIN topics t ON t.id = b.topic WHERE b.last > ?",
            [position],
        ).fetchall()
        events: list[tuple[int, Draft]] = []
        for name, *row in rows:
            contents = open_bundle(Bundle(*row), name)
            events.extend(
                (its_position, contents.draft(index, name)) for index, its_position in enumerate(contents.positions)
            )
        events.sort(key=lambda event: event[0])
        return [draft for _, draft in events], [its_position for its_position, _ in events]

    def rename_log(self) -> None:
        """
        Give the log another epoch, because it is not the one that was acknowledged from.
        """
        self.database.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", [new_epoch()])

    def close(self) -> None:
        """
        Leave a database that is complete without its log.
        """
        self.checkpoint("TRUNCATE")
        if self._anchor is not None:
            self._anchor.close()
        self.database.close()

    def abandon(self) -> None:
        """
        Let go of all handles without writing.
        """
        self.database.close()
        if self._anchor is not None:
            self._anchor.close()

    def _transact(self, statements: Sequence[Statement]) -> None:
        if len(statements) == 1:
            # A transaction of its own, with three calls fewer in which another thread takes Python's lock.
            self.database.execute(*statements[0])
            return
        self.database.execute("BEGIN IMMEDIATE")
        for statement in statements:
            self.database.execute(*statement)
        self.database.execute("COMMIT")

    def _read_head(self) -> int:
        # The floors, because retention may have removed the newest events: positions never go back.
        head: int = self.database.execute(
            "SELECT max(coalesce((SELECT max(last) FROM bundles), 0), coalesce((SELECT max(floor) FROM topics), 0))"
        ).fetchone()[0]
        return head

    def _last_time(self) -> int:
        row = self.database.execute("SELECT time FROM bundles ORDER BY last DESC LIMIT 1").fetchone()
        return row[0] if row else 0

    def _verify_end(self) -> None:
        """
        Look where the next event will go, and whether all of the file is there.
        """
        path = self.settings.path
        pages = self.database.execute("PRAGMA page_count").fetchone()[0]
        page_size = self.database.execute("PRAGMA page_size").fetchone()[0]
        if self.emptied and os.path.getsize(path) < pages * page_size:
            raise HistoryRefused(f"{path} is corrupt: it is shorter than it says")
        rows = self.database.execute(
            f"{SELECT_BUNDLES} LEFT JOIN topics t ON t.id = b.topic ORDER BY b.last DESC LIMIT ?", [_ENDS]
        ).fetchall()
        for name, *row in rows:
            try:
                open_bundle(Bundle(*row), name)
            except Damaged as error:
                raise HistoryRefused(f"{path} is corrupt at position {row[0]}: {error}") from error
