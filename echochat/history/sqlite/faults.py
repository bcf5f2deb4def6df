"""
What SQLite's errors mean for the people who meet them.
"""

import sqlite3
from typing import Final

# The primary result code is the lowest byte of an extended one: https://www.sqlite.org/rescode.html
_SENTENCES: Final = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk reported an error",
    sqlite3.SQLITE_BUSY: "another program has the database locked",
    sqlite3.SQLITE_LOCKED: "another program has the database locked",
    sqlite3.SQLITE_CORRUPT: "the database is corrupt",
    sqlite3.SQLITE_NOTADB: "the database is corrupt",
    sqlite3.SQLITE_READONLY: "the database can not be written to",
    sqlite3.SQLITE_PERM: "the database can not be opened",
    sqlite3.SQLITE_CANTOPEN: "the database can not be opened",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
}


class HistoryLost(Exception):
    """
    What was acknowledged is not there any more.
    """


def explain(error: BaseException) -> str:
    """
    :return: a piece of a sentence that may be shown to users: it names neither paths nor what was stored.
    """
    if isinstance(error, HistoryLost):
        return "its file is not the one that it was"
    return _SENTENCES.get(_code(error), "the database failed")


def is_corrupt(error: BaseException) -> bool:
    """
    Tell whether trying again can not help.
    """
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _code(error: BaseException) -> int:
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else -1
