"""
What is measured: a module for each kind of work, each with the rows that it brings. The numbers are those of the
project's list of goals.
"""

from bench.row import Row
from bench.rows import durable, echo, fanout, growth, handshakes, memory

ROWS: tuple[Row, ...] = tuple(
    sorted(
        (*echo.ROWS, *fanout.ROWS, *durable.ROWS, *memory.ROWS, *growth.ROWS, *handshakes.ROWS),
        key=lambda row: row.number,
    )
)
