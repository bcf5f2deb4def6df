"""
Row 10: what a connection costs that is open, has spoken once, and is idle.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from bench.echoes import ASYNCIO, LINE_ONLY_RECEIVER, UVLOOP, echochat, echochat_tls
from bench.loadgen import NoFigure, idle
from bench.machine import ROOT
from bench.peers import HAPROXY_TLS_IDLE, MOSQUITTO, NATS, REDIS
from bench.row import Entry, Goal, Row
from bench.running import Running

_FEW, _MORE = 100, 9000
_REST = 3.5
"""Seconds without a change in memory that count as rest: Redis gives back only after two what it had set aside."""

_PATIENCE = 60.0
"""Seconds that a server may take to accept all connections, and again to come to rest."""

_SERVERS = (echochat(), REDIS, NATS, MOSQUITTO, UVLOOP, ASYNCIO, LINE_ONLY_RECEIVER)

# Nothing stands behind HAProxy: it has one connection for each of the clients', and the goal was set beside such a one.
_TLS_SERVERS = (echochat_tls(), HAPROXY_TLS_IDLE)


def _at_rest(server: Running) -> int:
    """
    The server's memory once it no longer changes.
    """
    deadline = time.monotonic() + _PATIENCE
    memory, since = 0, time.monotonic()
    while time.monotonic() < deadline:
        memory, before = server.memory(), memory
        if memory != before:
            since = time.monotonic()
        elif time.monotonic() - since > _REST:
            return memory
        time.sleep(0.1)
    raise NoFigure(f"its memory still changes after {_PATIENCE:.0f} s")


@contextmanager
def _idle_with_tls(port: int, connections: int, proto: str) -> Iterator[None]:
    """
    As :func:`bench.loadgen.idle`, with TLS.
    """
    line = ("/sub bench",) if proto == "echochat" else ()
    command = [sys.executable, "-m", "bench.tls_idle", str(port), str(connections), *line]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as holder:
        try:
            assert holder.stdout is not None
            if not holder.stdout.readline():
                raise NoFigure(f"{connections} connections could not be opened")
            yield
        finally:
            holder.kill()


Hold = Callable[[int, int, str], AbstractContextManager[None]]


def _bytes_each(hold: Hold) -> Callable[[Running, float], float]:
    """
    Bytes of memory for one of 9,000 connections. The first hundred are not counted: they pay for what all share.
    """

    def trial(server: Running, seconds: float) -> float:
        server.at_rest(_PATIENCE)  # the connection that found it ready is gone by then
        at_start = server.descriptors()
        held = []
        for connections in (_FEW, _FEW + _MORE):
            with hold(server.port, connections, server.proto):
                server.wait_for_descriptors(at_start + connections, _PATIENCE)
                held.append(_at_rest(server))
        return (held[1] - held[0]) / _MORE

    return trial


ROWS = (
    Row(
        10,
        f"memory of an idle connection, {_MORE:,} of them; subscribed where the server has topics",
        "bytes",
        tuple(Entry(server.name, server, _bytes_each(idle)) for server in _SERVERS),
        (Goal("echochat", 3 * 1024, at_most=True),),
        enough=2,
    ),
    Row(
        10,
        f"memory of an idle connection with TLS, {_MORE:,} of them; subscribed where the server has topics",
        "bytes",
        tuple(Entry(server.name, server, _bytes_each(_idle_with_tls)) for server in _TLS_SERVERS),
        (Goal("echochat", 30 * 1024, at_most=True),),
        enough=2,
    ),
)
