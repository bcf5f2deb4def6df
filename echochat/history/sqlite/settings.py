"""
What a history in SQLite is told from outside.
"""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from echochat.history.records import Deduplication, Retention


@dataclass(frozen=True, slots=True)
class Settings:
    """
    Which database, how it is kept, and what of the world outside it depends on.

    :param path: absolute, without symbolic links: its lock is found by this name.
    :param synchronous: ``FULL``. ``OFF`` acknowledges what is not on disk: for tests that must find the loss.
    :param now: the time of day in seconds; asked for when the log is opened.
    :param monotonic: seconds that only grow, for the dedupe window and retention by age.
    :param connection: what to open the database with; a test's may fail.
    """

    path: str
    retention: Retention = field(default_factory=Retention)
    deduplication: Deduplication = field(default_factory=Deduplication)
    synchronous: str = "FULL"
    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    connection: type[sqlite3.Connection] = sqlite3.Connection
