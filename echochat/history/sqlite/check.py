"""
The thorough check of a history's file, for ``echochat history check``: everything that is stored is read.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from echochat.history.errors import HistoryRefused
from echochat.history.sqlite.bundles import SELECT_BUNDLES, Bundle, Damaged, open_bundle
from echochat.history.sqlite.faults import explain
from echochat.history.sqlite.label_rows import DamagedLabels, decode_labels
from echochat.history.sqlite.schema import APPLICATION_ID, STEPS, connect_reader

# After this many there is no point in listing more.
MAX_PROBLEMS: Final = 100


@dataclass(slots=True)
class Report:
    """
    What was found.

    :param schema: the version of the tables.
    :param head: the last position in the log.
    :param labels: commits whose labels are remembered.
    :param size: bytes of the database and its write-ahead log.
    :param problems: one sentence for each; none: all is well.
    """

    path: str
    schema: int = 0
    epoch: str = ""
    topics: int = 0
    bundles: int = 0
    events: int = 0
    labels: int = 0
    head: int = 0
    size: int = 0
    problems: list[str] = field(default_factory=list)

    def found(self, problem: str) -> None:
        """
        Note a problem, unless there are too many already.
        """
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)


def check(path: str, progress: Callable[[int, int], object] = lambda done, total: None) -> Report:
    """
    Check the structure of the database (``PRAGMA integrity_check``), and of all that is in it: the checksum of each
    bundle of events and each row of labels, that positions and counts follow on one another in every topic from what
    retention removed to the end, and that nothing belongs to a topic that does not exist.

    Changes nothing, and can be run while a server uses the file; until it is done, that server's write-ahead log grows.
    Blocks: not for the reactor's thread.

    :param progress: called now and then, with the bundles that have been checked and all.
    :raises HistoryRefused: when the file is not a history that this version can read.
    """
    if not os.path.isfile(path):
        raise HistoryRefused(f"{path} does not exist, or is not a file")
    path = os.path.realpath(path)
    report = Report(path)
    report.size = sum(os.path.getsize(file) for file in (path, f"{path}-wal") if os.path.exists(file))
    try:
        database = connect_reader(path)
    except sqlite3.Error as error:
        raise HistoryRefused(f"{path}: {explain(error)} ({error})") from error
    try:
        _identify(database, report)
        # One transaction: all of it is looked at as it was at one moment.
        database.execute("BEGIN")
        _check_structure(database, report)
        try:
            _check_bundles(database, report, progress)
            _check_labels(database, report)
        except sqlite3.Error as error:
            report.found(f"the rest cannot be read: {explain(error)} ({error})")
        except TypeError:
            report.found("the rest cannot be read: a row has something else than numbers and text")
    finally:
        database.close()
    return report


def _identify(database: sqlite3.Connection, report: Report) -> None:
    try:
        application = database.execute("PRAGMA application_id").fetchone()[0]
        report.schema = database.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise HistoryRefused(f"{report.path}: {explain(error)} ({error})") from error
    if application != APPLICATION_ID:
        raise HistoryRefused(f"{report.path} is not a history of echochat")
    if report.schema != len(STEPS):
        raise HistoryRefused(f"{report.path} has schema {report.schema}, this version of echochat knows {len(STEPS)}")


def _check_structure(database: sqlite3.Connection, report: Report) -> None:
    try:
        for (line,) in database.execute(f"PRAGMA integrity_check({MAX_PROBLEMS})"):
            if line != b"ok":
                report.found(f"structure: {line.decode(errors='replace')}")
        report.epoch = database.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()[0].decode()
        report.topics = database.execute("SELECT count(*) FROM topics").fetchone()[0]
    except (sqlite3.Error, TypeError) as error:
        report.found(f"structure: {explain(error)} ({error})")


def _check_bundles(database: sqlite3.Connection, report: Report, progress: Callable[[int, int], object]) -> None:
    total = database.execute("SELECT count(*) FROM bundles").fetchone()[0]
    for topic, floor, floor_number, bundles in _by_topic(database):
        known, number = floor, floor_number
        for bundle in bundles:
            report.bundles += 1
            report.head = max(report.head, bundle.last)
            if report.bundles % 1000 == 0:
                progress(report.bundles, total)
            try:
                _check_bundle(bundle, topic, known, number, report)
            except TypeError:
                # SQLite keeps whatever it is given in whatever column.
                report.found(f"{topic}, events up to {bundle.last}: the row has something else than numbers and text")
            known, number = bundle.last, bundle.number
        report.head = max(report.head, floor)
    if report.bundles != total:
        report.found(f"{total - report.bundles} of {total} bundles of events belong to no topic")
    progress(total, total)


def _check_bundle(bundle: Bundle, topic: str, known: int, number: int, report: Report) -> None:
    """
    :param known: where the bundle before it ended.
    :param number: how many events the topic had had by then.
    """
    where = f"{topic}, events behind {bundle.previous} up to {bundle.last}"
    report.events += bundle.count
    if bundle.previous != known:
        report.found(f"{where}: what comes before ends at {known}")
    elif bundle.number - bundle.count != number:
        report.found(f"{where}: {bundle.number - bundle.count} events should come before, and {number} do")
    try:
        positions = open_bundle(bundle, topic).positions
    except Damaged as error:
        report.found(f"{where}: {error}")
        return
    if list(positions) != sorted({*positions}) or positions[0] <= bundle.previous:
        report.found(f"{where}: the positions do not ascend")


def _by_topic(database: sqlite3.Connection) -> Iterator[tuple[str, int, int, Iterator[Bundle]]]:
    """
    :return: each topic, its floor and how many events were removed, and its bundles.
    """
    topics = database.execute("SELECT name, id, floor, floor_number FROM topics ORDER BY id").fetchall()
    for name, topic, floor, floor_number in topics:
        rows = database.execute(
            f"{SELECT_BUNDLES} JOIN topics t ON t.id = b.topic WHERE b.topic = ? ORDER BY b.last", [topic]
        )
        yield name.decode(errors="replace"), floor, floor_number, (Bundle(*row) for _, *row in rows)


def _check_labels(database: sqlite3.Connection, report: Report) -> None:
    for row, crc, keys in database.execute("SELECT id, crc, keys FROM labels ORDER BY id"):
        report.labels += 1
        try:
            decode_labels(row, crc, keys.decode(errors="replace"))
        except DamagedLabels:
            report.found(f"labels, row {row}: its checksum is wrong")
