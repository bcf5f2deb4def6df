"""
Rows 3 and 4: one publisher, many subscribers.
"""

from dataclasses import dataclass

from bench.echoes import echochat
from bench.loadgen import lg
from bench.peers import MOSQUITTO, NATS, REDIS
from bench.row import Entry, Goal, Row
from bench.running import Running, Server

DURABLE = echochat("--history", "sqlite:history.sqlite3")
IN_MEMORY = echochat("--history", "memory:")


@dataclass(frozen=True)
class Fan:
    """
    One publisher that keeps ``in_flight`` messages of ``size`` bytes under way to all of its subscribers.
    """

    subscribers: int
    size: int
    in_flight: int

    def publish(self, server: Running, messages: int) -> dict[str, float]:
        """
        So many messages, until all have arrived: ``deliveries_per_s`` and ``delivered``.
        """
        return lg("fan", server.port, *self.arguments(server, messages))

    def arguments(self, server: Running, messages: int) -> tuple[object, ...]:
        """
        What the load generator is to be told.
        """
        return server.proto, self.subscribers, messages, self.size, self.in_flight

    def burst(self) -> int:
        """
        How many messages are a short burst, good to warm up and to tell the speed.
        """
        return max(2 * self.in_flight, 200_000 // self.subscribers)

    def filling(self, rate: float, seconds: float) -> int:
        """
        How many messages fill the time, at so many deliveries a second.
        """
        return max(self.burst(), int(rate / self.subscribers * seconds))

    def rate(self, server: Running, seconds: float) -> float:
        """
        Deliveries a second, after a burst that is not counted.
        """
        warm = self.publish(server, self.burst())["deliveries_per_s"]
        return self.publish(server, self.filling(warm, seconds))["deliveries_per_s"]


def _row(number: int, title: str, ours: Server, fan: Fan, factor: float) -> Row:
    entries = tuple(Entry(server.name, server, fan.rate) for server in (ours, REDIS, NATS, MOSQUITTO))
    return Row(number, title, "deliveries/s", entries, (Goal("echochat", factor, "Redis"),))


ROWS = (
    _row(
        3,
        "fan-out, 100 subscribers, 64 bytes, 1,000 in flight; echochat durable, the others keep nothing",
        DURABLE,
        Fan(100, 64, 1000),
        factor=2,
    ),
    _row(
        4,
        "fan-out, 1,000 subscribers, 64 bytes, one in flight; echochat's history in memory",
        IN_MEMORY,
        Fan(1000, 64, 1),
        factor=1,
    ),
)
