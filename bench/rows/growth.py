"""
Row 12: what a delivery costs the server as there are more subscribers, and as there are more topics.
"""

import socket
from collections.abc import Callable

from bench.loadgen import NoFigure
from bench.row import Entry, Goal, Row
from bench.rows.fanout import IN_MEMORY, Fan
from bench.running import Running

_PATIENCE = 30.0
"""Seconds that a server may take to come to rest after its clients have gone."""

_FLAT = 1.25
"""A delivery at the largest size may cost so many times what it costs at the smallest, before it counts as growth."""


def _fill(port: int, topics: int) -> None:
    """
    Publish one event to each of so many topics, and wait until the last one is acknowledged.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=120) as talk, talk.makefile("rb") as answers:
        for start in range(0, topics, 1000):
            names = range(start, min(start + 1000, topics))
            talk.sendall("".join(f"/pub fill{name} x\n" for name in names).encode())
            for _ in names:
                if not answers.readline().startswith(b"/ok pub"):
                    raise NoFigure("a publish was refused")


def _nanoseconds_each(subscribers: int, topics: int) -> Callable[[Running, float], float]:
    """
    Nanoseconds of the server's processor time for one delivery, when it has so many subscribers and topics.

    That is the difference between a long run and a short one: what it costs to connect, to subscribe and to leave is
    in both, and so in neither.
    """
    fan = Fan(subscribers, size=64, in_flight=100)

    def trial(server: Running, seconds: float) -> float:
        _fill(server.port, topics - 1)
        used, delivered = [server.at_rest(_PATIENCE)], []
        messages = fan.burst()
        for _ in range(2):
            figures = fan.publish(server, messages)
            used.append(server.at_rest(_PATIENCE))
            delivered.append(figures["delivered"])
            messages = messages + fan.filling(figures["deliveries_per_s"], seconds)
        return ((used[2] - used[1]) - (used[1] - used[0])) / (delivered[1] - delivered[0]) * 1e9

    return trial


def _row(what: str, sizes: tuple[int, ...], load: Callable[[int], Callable[[Running, float], float]]) -> Row:
    names = [f"echochat, {what}: {size:,}" for size in sizes]
    return Row(
        12,
        f"what a delivery costs the server, by {what}",
        "ns",
        tuple(Entry(name, IN_MEMORY, load(size)) for name, size in zip(names, sizes, strict=True)),
        (Goal(names[-1], _FLAT, names[0], at_most=True),),
        enough=3,
    )


ROWS = (
    _row("subscribers", (10, 100, 1000, 9000), lambda subscribers: _nanoseconds_each(subscribers, topics=1)),
    _row("topics", (1, 100, 10_000, 100_000), lambda topics: _nanoseconds_each(100, topics)),
)
