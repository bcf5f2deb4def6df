"""
Rows 16 and 17: servers that share their history by NATS JetStream, beside clients of NATS that do without them.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.echoes import echochat
from bench.loadgen import lg
from bench.peers import JETSTREAM_ALWAYS, NATS
from bench.row import Entry, Goal, Row
from bench.rows.durable import acknowledgements
from bench.rows.fanout import Fan
from bench.running import Running, Server

_PUBLISHER = "publisher's port"
"""A file in the folder of the server that is measured: where to publish, if not there."""

_RATE = 1_000
"""Messages a second whose delay is measured."""


@dataclass(frozen=True, kw_only=True)
class Sharing(Server):
    """
    Servers of ours that share a broker, of which the last is the one that the load's subscribers go to.
    """

    servers: int
    _broker: Server = field(default=JETSTREAM_ALWAYS)

    @contextmanager
    def running(self) -> Iterator[Running]:
        with ExitStack() as started:
            broker = started.enter_context(replace(self._broker, prepare=None).running())
            ours = echochat("--history", f"nats://127.0.0.1:{broker.port}?sync=always")
            running = [started.enter_context(ours.running()) for _ in range(self.servers)]
            (running[-1].folder / _PUBLISHER).write_text(str(running[0].port))
            yield running[-1]


def _sharing(servers: int) -> Server:
    ours = echochat("--history", "nats:")
    return Sharing(
        ours.name,
        command=ours.command,
        absent=lambda: ours.absent() or JETSTREAM_ALWAYS.absent(),
        version=ours.version,
        servers=servers,
    )


def _publisher(server: Running) -> int:
    path: Path = server.folder / _PUBLISHER
    return int(path.read_text()) if path.exists() else server.port


_FAN = Fan(100, 64, 1_000)
_REPUBLISHED = replace(JETSTREAM_ALWAYS, name="JetStream, passed on when it is synced", proto="jetstream")


def _deliveries(server: Running, seconds: float) -> float:
    """
    Deliveries a second, after a burst that is not counted.
    """

    def publish(messages: int) -> float:
        return lg("fan", server.port, *_FAN.arguments(server, messages), _publisher(server))["deliveries_per_s"]

    return publish(_FAN.filling(publish(_FAN.burst()), seconds))


def _delay(figure: str) -> Callable[[Running, float], float]:
    """
    Microseconds from a publish at one server to its delivery at the other.
    """

    def trial(server: Running, seconds: float) -> float:
        arguments = (server.proto, _FAN.subscribers, _RATE, _FAN.size, seconds, _publisher(server))
        return 1_000 * lg("rate", server.port, *arguments)[figure]

    return trial


def _across(unit: str, what: str, trial: Callable[[Running, float], float], goal: Goal) -> Row:
    servers = (_sharing(2), _REPUBLISHED, NATS)
    title = f"published at one server, 100 subscribers at another, 64 bytes, {what}; NATS alone keeps nothing"
    return Row(17, title, unit, tuple(Entry(server.name, server, trial) for server in servers), (goal,))


ROWS = (
    Row(
        16,
        "durable publish through NATS, 10 connections, 100 in flight, 64 bytes, and straight to it",
        "acks/s",
        tuple(Entry(server.name, server, acknowledgements) for server in (_sharing(1), JETSTREAM_ALWAYS)),
        (Goal("echochat", 0.5, JETSTREAM_ALWAYS.name),),
    ),
    _across("deliveries/s", "1,000 in flight", _deliveries, Goal("echochat", 0.5, _REPUBLISHED.name)),
    _across("µs", "1,000 a second, delay p50", _delay("p50_ms"), Goal("echochat", 4, _REPUBLISHED.name, at_most=True)),
    _across("µs", "1,000 a second, delay p99", _delay("p99_ms"), Goal("echochat", 4, _REPUBLISHED.name, at_most=True)),
)
