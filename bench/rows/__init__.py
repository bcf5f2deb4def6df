"""
What is measured: a module for each kind of work, each with the rows that it brings. The numbers are those of the
project's list of goals; 13 to 15, 18 and 19 have echochat alone: what it promises to those who share a server.
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
    replays,
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
            *replays.ROWS,
            *shared.ROWS,
            *cluster.ROWS,
        ),
        key=lambda row: row.number,
    )
)
