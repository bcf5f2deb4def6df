"""
What is measured: a module for each kind of work, each with the rows that it brings. The numbers are those of the
project's list of goals; 13 to 15 and 18, which have echochat alone, are what it promises to those who share a server.
"""

from bench.row import Row
from bench.rows import (
    cluster,
    connections,
    durable,
    echo,
    fanout,
    growth,
    handshakes,
    logins,
    memory,
    neighbours,
    relay,
    shared,
)

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
            *neighbours.ROWS,
            *logins.ROWS,
            *shared.ROWS,
            *cluster.ROWS,
        ),
        key=lambda row: row.number,
    )
)
