"""
Rows 6, 7 and 9: lines that pass through a balancer to a server and back, and those of connections that a balancer has
handed to a server on the same machine, so that they need not pass through it.
"""

from collections.abc import Callable

from bench.balancers import (
    ECHOCHAT_LB,
    ECHOCHAT_LB_HANDOFF,
    ECHOCHAT_WORKER,
    HAPROXY,
    HAPROXY_SPLICE,
    NGINX,
    Kind,
    balanced,
)
from bench.loadgen import lg
from bench.row import Entry, Goal, Row
from bench.running import Running, Server


def _echo(figure: str, connections: int, size: int) -> Callable[[Running, float], float]:
    """
    What the load generator measures when each connection always has one line of ``size`` bytes under way.
    """

    def trial(server: Running, seconds: float) -> float:
        return lg("echo", server.port, connections, 1, size, seconds)[figure]

    return trial


def _entries(kinds: tuple[Kind, ...], figure: str, connections: int, size: int, *behind: Server) -> tuple[Entry, ...]:
    trial = _echo(figure, connections, size)
    return tuple(Entry(kind.name, balanced(kind, None, *behind), trial) for kind in kinds)


ROWS = (
    Row(
        6,
        "relay, 50 connections, one line of 32 bytes in flight",
        "lines/s",
        _entries((ECHOCHAT_LB, HAPROXY, NGINX), "lines_per_s", 50, 32),
        (Goal(ECHOCHAT_LB.name, 0.9, HAPROXY.name),),
    ),
    Row(
        7,
        "relay, 20 connections, one line of 64 KiB in flight",
        "MB/s",
        _entries((ECHOCHAT_LB, HAPROXY_SPLICE, HAPROXY, NGINX), "MBps", 20, 65536),
        (Goal(ECHOCHAT_LB.name, 1.0, HAPROXY_SPLICE.name),),
    ),
    Row(
        9,
        "echo by one echochat behind a balancer, 50 connections, one line of 32 bytes in flight",
        "lines/s",
        _entries((ECHOCHAT_LB_HANDOFF, HAPROXY, NGINX), "lines_per_s", 50, 32, ECHOCHAT_WORKER),
        (Goal(ECHOCHAT_LB_HANDOFF.name, 1.3, HAPROXY.name),),
    ),
)
