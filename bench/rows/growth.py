"""
Row 12: what a delivery costs the server as there are more subscribers, and as there are more topics.
"""

import socket
from collections.abc import Callable

from bench.loadgen import NoFigure, fan
from bench.row import Entry, Goal, Row
from bench.rows.fanout import IN_MEMORY, Fan
from bench.running import Running

_PATIENCE = 30.0
"""Seconds that a server may take to come to rest after its clients have gone."""

_FLAT = 1.25
"""A delivery at the largest size may cost so many times what it costs at the small ones, before it counts as growth."""


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

    What it costs to connect, to subscribe and to leave is not counted: the load generator is quiet for a second once
    all have subscribed, and the subscribers leave after the last delivery.
    """
    load = Fan(subscribers, size=64, in_flight=100)

    def trial(server: Running, seconds: float) -> float:
        _fill(server.port, topics - 1)
        warm = load.publish(server, load.burst())["deliveries_per_s"]
        server.at_rest(_PATIENCE)
        connected = server.descriptors() + subscribers
        messages = load.filling(warm, seconds)
        with fan(server.port, *load.arguments(server, messages)) as wait_until_delivered:
            server.wait_for_descriptors(connected, _PATIENCE)
            before = server.at_rest(_PATIENCE)
            wait_until_delivered()
            used = server.processor_seconds() - before
        return used / (messages * subscribers) * 1e9

    return trial


def _row(what: str, sizes: tuple[int, ...], load: Callable[[int], Callable[[Running, float], float]]) -> Row:
    names = [f"echochat, {what}: {size:,}" for size in sizes]
    return Row(
        12,
        f"what a delivery costs the server, by {what}",
        "ns",
        tuple(Entry(name, IN_MEMORY, load(size)) for name, size in zip(names, sizes, strict=True)),
        tuple(Goal(names[-1], _FLAT, name, at_most=True) for name in names[:2]),
        enough=3,
    )


ROWS = (
    _row("subscribers", (10, 100, 1000, 9000), lambda subscribers: _nanoseconds_each(subscribers, topics=1)),
    _row("topics", (1, 100, 10_000, 100_000), lambda topics: _nanoseconds_each(100, topics)),
)
