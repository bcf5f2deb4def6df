"""
Row 8: new connections through a balancer, each with one line and its echo.

They go to the C echo, which costs next to nothing, relayed or handed off.
"""

from bench.balancers import ECHOCHAT_LB, ECHOCHAT_LB_HANDOFF, HAPROXY, NGINX, balanced
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


_KINDS = (ECHOCHAT_LB, ECHOCHAT_LB_HANDOFF, HAPROXY, NGINX)

ROWS = (
    Row(
        8,
        f"new connections through a balancer, {_AT_ONCE} at once",
        "connections/s",
        tuple(Entry(kind.name, balanced(kind), _connections) for kind in _KINDS),
        (Goal(ECHOCHAT_LB.name, 0.7, HAPROXY.name), Goal(ECHOCHAT_LB_HANDOFF.name, 1.2, HAPROXY.name)),
    ),
)
