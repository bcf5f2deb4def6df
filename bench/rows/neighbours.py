"""
Rows 13 and 14: what clients notice of what others do on the same server, and what those cost that do not read.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from bench.balancers import ECHO
from bench.echoes import echochat
from bench.loadgen import NoFigure, lg, rate
from bench.neighbourly import PATIENCE, echo, fill
from bench.row import Entry, Goal, Row
from bench.running import Running

# Who stopped must still be there at the end of the trial.
_SERVER = echochat("--history", "sqlite:history.sqlite3", "--stall", "600")

_STOPPED = 1_000
_FILLING, _BATCH, _SIZE = 2_000, 50, 4_000
"""What those who stopped have not read: 8 MB, in batches, which is more than the kernel takes for a small buffer."""

_MESSAGES = 500
"""A second, to one subscriber that reads."""

_SLACK = 3.0
"""Seconds that a fan-out goes on for, beside those of the echo that is measured meanwhile."""

_FAN, _FAN_MESSAGES = 100, 10_000
"""Subscribers, and messages a second to each: a million deliveries."""


class _Stopped:
    """
    Subscribers that read nothing after the reply to their subscription.
    """

    def __init__(self, port: int, held: ExitStack) -> None:
        self._connections = [held.enter_context(_small(port)) for _ in range(_STOPPED)]
        for each in self._connections:
            each.sendall(b"/sub bench\n")
        for each in self._connections:
            # Byte by byte: a buffered reader would take events, too.
            answer = b""
            while not answer.endswith(b"\n"):
                answer += each.recv(1)
            if not answer.startswith(b"/ok sub "):
                raise NoFigure("a subscription was refused")

    def read_again(self, events: int) -> None:
        """
        One of them reads on.

        :raises NoFigure: it was not given so many events, each once, in their order.
        """
        again = self._connections[0]
        again.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        with again.makefile("rb") as told:
            positions = [int(told.readline().split(b" ", 3)[2]) for _ in range(events)]
        if positions != list(range(positions[0], positions[0] + events)):
            raise NoFigure("one that read again was not given everything in its order")


@contextmanager
def _small(port: int) -> Iterator[socket.socket]:
    with socket.socket() as connection:
        connection.settimeout(PATIENCE)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect(("127.0.0.1", port))
        yield connection


def _delay(server: Running, seconds: float) -> float:
    """
    Microseconds from a publish to its delivery that one in a hundred exceeds.
    """
    return 1_000 * lg("rate", server.port, server.proto, 1, _MESSAGES, 64, seconds)["p99_ms"]


def _delay_alone(server: Running, seconds: float) -> float:
    fill(server.port, _FILLING, _BATCH, _SIZE)
    server.at_rest(PATIENCE)
    return _delay(server, seconds)


def _delay_beside_the_stopped(server: Running, seconds: float) -> float:
    with ExitStack() as held:
        stopped = _Stopped(server.port, held)
        fill(server.port, _FILLING, _BATCH, _SIZE)
        server.at_rest(PATIENCE)
        delay = _delay(server, seconds)
        stopped.read_again(_FILLING + int(_MESSAGES * seconds))
    return delay


def _memory_of_the_stopped(server: Running, seconds: float) -> float:
    """
    Bytes of the server's memory for each that stopped, all that is kept of what was published included.
    """
    with ExitStack() as held:
        stopped = _Stopped(server.port, held)
        server.at_rest(PATIENCE)
        before = server.memory()
        fill(server.port, _FILLING, _BATCH, _SIZE)
        server.at_rest(PATIENCE)
        grown = server.memory() - before
        stopped.read_again(_FILLING)
    return grown / _STOPPED


@contextmanager
def _subscribed(port: int) -> Iterator[Callable[[], None]]:
    """
    One more subscriber, and a function that waits for its first event, after which it leaves.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as talk, talk.makefile("rb") as told:
        talk.sendall(b"/sub bench\n")
        if not told.readline().startswith(b"/ok sub "):
            raise NoFigure("a subscription was refused")

        def wait_for_an_event() -> None:
            if not told.readline().startswith(b"/event bench "):
                raise NoFigure("the fan-out did not begin")
            talk.shutdown(socket.SHUT_RDWR)

        yield wait_for_an_event


def _beside_a_fan(measure: Callable[[Running, float], float]) -> Callable[[Running, float], float]:
    def trial(server: Running, seconds: float) -> float:
        load = (server.proto, _FAN, _FAN_MESSAGES, 64, seconds + _SLACK)
        with _subscribed(server.port) as wait_for_an_event, rate(server.port, *load) as still_runs:
            wait_for_an_event()
            delay = measure(server, seconds)
            if not still_runs():
                raise NoFigure("the fan-out was over before the echo")
        return delay

    return trial


def _echo_of_another_process(connections: int) -> Callable[[Running, float], float]:
    """
    The same, of a program in C that only echoes: what the machine gives when the server does not echo itself.
    """

    def measure(_: Running, seconds: float) -> float:
        with ECHO.running() as other:
            return echo(connections)(other, seconds)

    return measure


def _echo_row(connections: int) -> Row:
    plural = "connection" if connections == 1 else "connections"
    return Row(
        14,
        f"echo on {connections} {plural}, 99th percentile, beside a fan-out of "
        f"{_FAN * _FAN_MESSAGES:,} durable deliveries a second",
        "µs",
        (
            Entry("idle", _SERVER, echo(connections)),
            Entry("beside the fan-out", _SERVER, _beside_a_fan(echo(connections))),
            Entry("another process beside it", _SERVER, _beside_a_fan(_echo_of_another_process(connections))),
        ),
        (Goal("beside the fan-out", 3, "idle", at_most=True),),
    )


ROWS = (
    Row(
        13,
        f"a durable delivery, 99th percentile, beside {_STOPPED:,} subscribers of the topic that stopped reading",
        "µs",
        (
            Entry("alone", _SERVER, _delay_alone),
            Entry("beside the stopped", _SERVER, _delay_beside_the_stopped),
        ),
        (Goal("beside the stopped", 1.2, "alone", at_most=True),),
    ),
    Row(
        13,
        f"memory of a subscriber that stopped reading, {_STOPPED:,} of them",
        "bytes",
        (Entry("echochat", _SERVER, _memory_of_the_stopped),),
        (Goal("echochat", 262_144, at_most=True),),
        enough=2,
    ),
    _echo_row(1),
    _echo_row(50),
)
