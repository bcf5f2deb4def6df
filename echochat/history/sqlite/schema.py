"""
The tables, how they came to be, and how a connection is made.
"""

import os
import secrets
import sqlite3
import stat
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from echochat.history.errors import HistoryRefused

APPLICATION_ID: Final = 0x6563686F  # "echo"

OLDEST_SQLITE: Final = (3, 35, 0)  # UPDATE FROM, MATERIALIZED

_VERSION_1: Final = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    # Names are compared byte by byte: topics in different letter case are different topics.
    # What retention removed last: floor is a position, floor_number the number of events up to it.
    """CREATE TABLE topics (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        floor INTEGER NOT NULL DEFAULT 0,
        floor_number INTEGER NOT NULL DEFAULT 0
    )""",
    # In the order of the log, so that an append touches the table's last page only and retention its first ones.
    # The body comes last: what precedes it can be read without following its overflow pages.
    """CREATE TABLE bundles (
        last INTEGER PRIMARY KEY,
        topic INTEGER NOT NULL,
        previous INTEGER NOT NULL,
        number INTEGER NOT NULL,
        count INTEGER NOT NULL,
        time INTEGER NOT NULL,
        crc INTEGER NOT NULL,
        body BLOB NOT NULL
    )""",
    "CREATE INDEX bundles_of_topic ON bundles (topic, last)",
    # A row for each commit that had labels, see label_rows.py.
    "CREATE TABLE labels (id INTEGER PRIMARY KEY, crc INTEGER NOT NULL, keys TEXT NOT NULL)",
)

# Step n leads from version n to n + 1. A new file is at version 0, so to create one is to migrate it.
STEPS: Final[Sequence[Sequence[str]]] = (_VERSION_1,)

_MAGIC: Final = b"SQLite format 3\0"
"""
How a database begins, https://sqlite.org/fileformat2.html#magic_header_string.
"""


def connect_writer(path: str, connection: type[sqlite3.Connection]) -> sqlite3.Connection:
    """
    Open the database for writing, as its one writer.
    """
    database = sqlite3.connect(
        path,
        isolation_level=None,  # transactions are begun where they are meant to
        check_same_thread=False,  # made and used by the writer thread, closed by it too
        cached_statements=512,
        factory=connection,
        timeout=5.0,
    )
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    # Checkpoints are run between commits and not inside one, where they would delay its acknowledgement.
    database.execute("PRAGMA wal_autocheckpoint=0")
    database.execute(f"PRAGMA journal_size_limit={64 << 20}")
    # Removed text is overwritten when its page is used again, not at once: to overwrite it twice doubles the writes.
    database.execute("PRAGMA secure_delete=OFF")
    database.execute("PRAGMA cache_size=-16384")
    database.execute("PRAGMA temp_store=MEMORY")
    return database


def connect_reader(path: str, connection: type[sqlite3.Connection] = sqlite3.Connection) -> sqlite3.Connection:
    """
    Open the database for reading only.
    """
    database = sqlite3.connect(
        f"file:{quote(path)}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        factory=connection,
        timeout=5.0,
    )
    # Damage may have made any text undecodable; it is decoded after its checksum was verified.
    database.text_factory = bytes
    database.execute("PRAGMA cache_size=-4096")
    return database


def create(path: str) -> None:
    """
    Make sure that there is a file, and that a new one is its owner's alone.

    :raises HistoryRefused: when it cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        os.close(descriptor)
        directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)  # or a power cut may forget that there is a file
        finally:
            os.close(directory)
    except OSError as error:
        raise HistoryRefused(f"cannot open {path}: {error.strerror}") from error
    if not regular:
        raise HistoryRefused(f"{path} is not a file")


def look_at(path: str) -> None:
    """
    See by its first bytes whether the file is a database at all, and leave everything as it is: there is no history
    yet where it is empty or missing.

    :raises HistoryRefused: it is none.
    """
    try:
        with open(path, "rb") as file:
            beginning = file.read(len(_MAGIC))
    except OSError:
        # It is not there, or whoever opens it is told what is wrong.
        return
    if beginning and beginning != _MAGIC:
        raise HistoryRefused(f"{path} is not a history: it is no SQLite database, or its beginning is corrupt")


def identify(path: str) -> None:
    """
    Look what the file is before anything in it is changed; make ours its owner's alone, if it was not.

    SQLite gives the files beside it the same mode.

    :raises HistoryRefused: when it is another program's.
    """
    try:
        ours = _is_ours(connect_reader(path))
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
            raise
        # Who began to write it was killed before it had a WAL. Only a connection that may write undoes what was begun.
        ours = _is_ours(sqlite3.connect(path))
    if not ours:
        raise HistoryRefused(f"{path} is an SQLite database, but not a history of echochat")
    os.chmod(path, 0o600)


def _is_ours(database: sqlite3.Connection) -> bool:
    """
    Whether it is a history, or empty; the connection is closed.
    """
    try:
        if _pragma(database, "application_id") == APPLICATION_ID:
            return True
        return not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    finally:
        database.close()


def migrate(database: sqlite3.Connection, path: str, steps: Sequence[Sequence[str]] = STEPS) -> None:
    """
    Bring the schema to the version that this program knows, each step in a transaction of its own.

    :raises HistoryRefused: when the file is newer than this program.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise HistoryRefused(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or newer is needed")
    version = _pragma(database, "user_version")
    if version > len(steps):
        raise HistoryRefused(
            f"{path} was written by a newer version of echochat: its schema is {version}, this one knows {len(steps)}"
        )
    for number, statements in enumerate(steps[version:], version + 1):
        database.execute("BEGIN IMMEDIATE")
        for statement in statements:
            database.execute(statement)
        if number == 1:
            database.execute(f"PRAGMA application_id={APPLICATION_ID}")
            database.execute("INSERT INTO meta VALUES ('epoch', ?)", [new_epoch()])
        database.execute(f"PRAGMA user_version={number}")
        database.execute("COMMIT")


def new_epoch() -> str:
    """
    A name for a log that no other has.
    """
    return secrets.token_hex(6)


def _pragma(database: sqlite3.Connection, name: str) -> int:
    value = database.execute(f"PRAGMA {name}").fetchone()[0]
    assert isinstance(value, int)
    return value
