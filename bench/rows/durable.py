"""
Row 5: publishing where an acknowledgement means on disk.
"""

from bench.loadgen import lg
from bench.peers import JETSTREAM_ALWAYS, REDIS_ALWAYS
from bench.row import Entry, Goal, Row
from bench.rows.fanout import DURABLE
from bench.running import Running

_CONNECTIONS, _SIZE, _IN_FLIGHT = 10, 64, 100
_BURST = 2 * _CONNECTIONS * _IN_FLIGHT


def acknowledgements(server: Running, seconds: float) -> float:
    """
    Acknowledgements a second. A short burst, which is not counted, tells how many messages fill the time.
    """
    rate = lg("pub", server.port, server.proto, _CONNECTIONS, _BURST, _SIZE, _IN_FLIGHT)["acks_per_s"]
    messages = max(_BURST, int(rate * seconds))
    return lg("pub", server.port, server.proto, _CONNECTIONS, messages, _SIZE, _IN_FLIGHT)["acks_per_s"]


ROWS = (
    Row(
        5,
        f"durable publish, {_CONNECTIONS} connections, {_IN_FLIGHT} in flight, {_SIZE} bytes, acknowledged after fsync",
        "acks/s",
        tuple(Entry(server.name, server, acknowledgements) for server in (DURABLE, REDIS_ALWAYS, JETSTREAM_ALWAYS)),
        (Goal("echochat", 0.8, REDIS_ALWAYS.name), Goal("echochat", 30, JETSTREAM_ALWAYS.name)),
    ),
)
