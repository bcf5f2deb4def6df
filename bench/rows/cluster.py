"""
Row 18: ``echochat-cluster`` with more and more workers, to show how it scales on the processors that there are.

Beside the workers there are the load generator, the broker, and the balancer, which is out of the way once a connection
was handed over. With as many processors as workers or fewer, no more than that can be shown.
"""

import sys
from pathlib import Path

from bench.echoes import TWISTD, version_here
from bench.loadgen import lg
from bench.row import Entry, Goal, Row
from bench.rows.fanout import Fan
from bench.running import Running, Server

_WORKERS = (1, 2, 4)
_CONNECTIONS = 50
_FAN = Fan(100, 64, 100)


def _cluster(workers: int) -> Server:
    def command(port: int, folder: Path) -> list[str]:
        daemon = [sys.executable, TWISTD, "-n", "--pidfile=", f"--logfile={folder / 'log'}", "echochat-cluster"]
        where = ["--data", str(folder / "data"), "--listen", f"tcp:{port}:interface=127.0.0.1"]
        return [*daemon, *where, "--workers", str(workers), "--drain", "1"]

    return Server(f"workers: {workers}", command, version=version_here)


def _echo(server: Running, seconds: float) -> float:
    return lg("echo", server.port, _CONNECTIONS, 1, 32, seconds)["lines_per_s"]


_NO_SLOWER = (Goal("workers: 2", 1.0, "workers: 1"),)
"""Where the load generator has one of two processors, and the broker and the balancer want some of the other."""

_SERVERS = tuple(_cluster(workers) for workers in _WORKERS)

ROWS = (
    Row(
        18,
        f"echochat-cluster, echo, {_CONNECTIONS} connections, 1 in flight, 32 bytes",
        "lines/s",
        tuple(Entry(server.name, server, _echo) for server in _SERVERS),
        _NO_SLOWER,
    ),
    Row(
        18,
        "echochat-cluster, durable fan-out through the broker, 100 subscribers, 64 bytes, 100 in flight",
        "deliveries/s",
        tuple(Entry(server.name, server, _FAN.rate) for server in _SERVERS),
        _NO_SLOWER,
    ),
)
