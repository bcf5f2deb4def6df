"""
Row 19: what others notice while many read what was published before they came.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from select import select
from typing import IO

from bench.echoes import echochat
from bench.loadgen import NoFigure
from bench.machine import ROOT
from bench.neighbourly import PATIENCE, echo, fill
from bench.row import Entry, Goal, Row
from bench.running import Running

_CLIENTS, _EVENTS, _BATCH, _SIZE = 100, 100_000, 1_000, 64
"""Who reads, and what: events of so many bytes, published in batches. It is all that a topic keeps unless told."""

_SERVER = echochat("--history", "sqlite:history.sqlite3")


def _beside_replays(measure: Callable[[Running, float], float]) -> Callable[[Running, float], float]:
    def trial(server: Running, seconds: float) -> float:
        fill(server.port, _EVENTS, _BATCH, _SIZE)
        with _replaying(server.port) as told:
            delay = measure(server, seconds)
            if select([told], (), (), 0)[0]:
                _expect(told, b"given")
                raise NoFigure("all had been read before the echo was measured")
        return delay

    return trial


def _events_a_second(server: Running, seconds: float) -> float:
    fill(server.port, _EVENTS, _BATCH, _SIZE)
    with _replaying(server.port) as told:
        began = time.monotonic()
        _expect(told, b"given")
        return _CLIENTS * _EVENTS / (time.monotonic() - began)


@contextmanager
def _replaying(port: int) -> Iterator[IO[bytes]]:
    """
    The clients, for as long as the block runs, which is given what they tell.
    """
    command = (sys.executable, "-m", "bench.replay", str(port), str(_CLIENTS), str(_EVENTS))
    # Unbuffered: a line that has been read by the way could not be waited for.
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, bufsize=0) as clients:
        try:
            assert clients.stdout is not None
            _expect(clients.stdout, b"subscribed")
            yield clients.stdout
        finally:
            clients.kill()


def _expect(told: IO[bytes], what: bytes) -> None:
    if not select([told], (), (), PATIENCE)[0] or told.readline().strip() != what:
        raise NoFigure("those who replay were not served")


def _echo_row(connections: int) -> Row:
    plural = "connection" if connections == 1 else "connections"
    return Row(
        19,
        f"echo on {connections} {plural}, 99th percentile, while {_CLIENTS} clients replay {_EVENTS:,} events each",
        "µs",
        (
            Entry("idle", _SERVER, echo(connections)),
            Entry("beside the replays", _SERVER, _beside_replays(echo(connections))),
        ),
        (Goal("beside the replays", 2, "idle", at_most=True),),
    )


ROWS = (
    Row(
        19,
        f"{_CLIENTS} clients replay {_EVENTS:,} events each",
        "events/s",
        (Entry("echochat", _SERVER, _events_a_second),),
        (),
    ),
    _echo_row(1),
    _echo_row(50),
)
