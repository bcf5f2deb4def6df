"""
Rows 1 and 2: a line in, the same line back in capitals.
"""

from collections.abc import Callable

from bench.echoes import ASYNCIO, LINE_ONLY_RECEIVER, UVLOOP, echochat
from bench.loadgen import lg
from bench.row import Entry, Goal, Row
from bench.running import Running

_CONNECTIONS = 50
_SERVERS = (echochat(), UVLOOP, ASYNCIO, LINE_ONLY_RECEIVER)


def _lines(in_flight: int, size: int) -> Callable[[Running, float], float]:
    """
    Lines answered a second, when each connection always has ``in_flight`` lines of ``size`` bytes under way.
    """

    def trial(server: Running, seconds: float) -> float:
        return lg("echo", server.port, _CONNECTIONS, in_flight, size, seconds)["lines_per_s"]

    return trial


def _row(number: int, in_flight: int, size: int, factor: float) -> Row:
    return Row(
        number,
        f"echo, {_CONNECTIONS} connections, {in_flight} in flight, {size} bytes",
        "lines/s",
        tuple(Entry(server.name, server, _lines(in_flight, size)) for server in _SERVERS),
        (Goal("echochat", factor, "uvloop"),),
    )


ROWS = (_row(1, 1, 32, factor=1.2), _row(2, 64, 128, factor=18))
