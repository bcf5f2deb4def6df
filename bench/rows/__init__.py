"""
What is measured: a module for each kind of work, each with the rows that it brings. The numbers are those of the
project's list of goals.
"""

from bench.row import Row
from bench.rows import connections, durable, echo, fanout, growth, handshakes, memory, relay

ROWS: tuple[Row, ...] = tuple(
    sorted(
        (
            *echo.ROWS,
            *fanout.ROWS,
            *durable.ROWS,
            *relay.ROWS,
            *connections.ROWS,
            *memory.ROWS,
            *growth.ROWS,
            *handshakes.ROWS,
        ),
        key=lambda row: row.number,
    )
)
