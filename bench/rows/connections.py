"""
Row 8: new connections through a balancer, each with one line and its echo.

Those that are relayed go to the C echo, which costs next to nothing. Those that are handed off need processes that take
them: two of ours, in Python, whose work is counted in.
"""

from bench.balancers import ECHOCHAT_LB, ECHOCHAT_LB_HANDOFF, HANDED_ECHO, HAPROXY, NGINX, balanced
from bench.loadgen import NoFigure, lg
from bench.row import Entry, Goal, Row
from bench.running import Running

_AT_ONCE = 50
_FEW = 0.001
"""The share of connections that may fail: a few are under way when the load ends."""


def _connections(server: Running, seconds: float) -> float:
    """
    Connections a second that brought a line to the server and its echo back.
    """
    figures = lg("churn", server.port, _AT_ONCE, seconds)
    if figures["errors"] > _FEW * figures["conns_per_s"] * seconds:
        raise NoFigure(f"{figures['errors']:.0f} connections failed")
    return figures["conns_per_s"]


_HANDED = balanced(ECHOCHAT_LB_HANDOFF, None, HANDED_ECHO, HANDED_ECHO)

ROWS = (
    Row(
        8,
        f"new connections through a balancer, {_AT_ONCE} at once",
        "connections/s",
        (
            *(Entry(kind.name, balanced(kind), _connections) for kind in (ECHOCHAT_LB, HAPROXY, NGINX)),
            Entry(_HANDED.name, _HANDED, _connections),
        ),
        (Goal(ECHOCHAT_LB.name, 0.7, HAPROXY.name), Goal(_HANDED.name, 1.2, HAPROXY.name)),
    ),
)
