"""
What the rows share that measure what clients notice of one another.
"""

from collections.abc import Callable
from socket import create_connection
from typing import Final

from bench.loadgen import NoFigure, lg
from bench.running import Running

PATIENCE: Final = 120.0
"""
Seconds that anything may take that is waited for.
"""


def fill(port: int, events: int, batch: int, size: int) -> None:
    """
    Have so many events of so many bytes stored in the topic ``bench``, in batches.

    :raises NoFigure: one was refused.
    """
    with create_connection(("127.0.0.1", port), timeout=PATIENCE) as talk, talk.makefile("rb") as answers:
        for _ in range(events // batch):
            talk.sendall(b"/pub bench %s\n" % (b"x" * size) * batch)
            for _ in range(batch):
                if not answers.readline().startswith(b"/ok pub"):
                    raise NoFigure("a publish was refused")


def echo(connections: int) -> Callable[[Running, float], float]:
    """
    Microseconds until the answer that one line in a hundred exceeds, when each connection has one under way.
    """
    return lambda server, seconds: lg("echo", server.port, connections, 1, 32, seconds)["p99_us"]
