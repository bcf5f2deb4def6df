"""
A database connection that fails when it is told to.
"""

import sqlite3
from typing import Any


def sqlite_error(code: int) -> sqlite3.Error:
    """
    What SQLite's module raises for this result code.
    """
    kind = (
        sqlite3.DatabaseError if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) else sqlite3.OperationalError
    )
    error = kind("injected")
    error.sqlite_errorcode = code
    return error


class Faults:
    """
    Decides which statements fail, for all connections of :meth:`connection`'s class.

    :ivar before: a statement that contains such a text is not run, but fails.
    :ivar after: it is run, and fails all the same: the disk has it, and said that it has not.
    :ivar opened: how many connections were, and ``closed`` likewise.
    :ivar executed: which connection (numbered as they were opened) ran what.
    """

    def __init__(self) -> None:
        self.before: dict[str, BaseException] = {}
        self.after: dict[str, BaseException] = {}
        self.executed: list[tuple[int, str]] = []
        self.opened = 0
        self.closed = 0

    def connection(self) -> type[sqlite3.Connection]:
        faults = self

        class Faulty(sqlite3.Connection):
            def __init__(self, *arguments: Any, **named: Any) -> None:
                super().__init__(*arguments, **named)
                faults.opened += 1
                self.number = faults.opened

            def close(self) -> None:
                faults.closed += 1
                super().close()

            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                faults.executed.append((self.number, sql))
                _raise_if(faults.before, sql)
                cursor = super().execute(sql, *parameters)
                _raise_if(faults.after, sql)
                return cursor

        return Faulty


def _raise_if(faults: dict[str, BaseException], sql: str) -> None:
    for text, error in faults.items():
        if text in sql:
            raise error
