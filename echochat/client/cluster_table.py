"""
A cluster's processes as a table in a terminal, or in a pipe.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from echochat.client.harmless import harmless
from echochat.client.state_table import make_console, print_states
from echochat.wire.figures import duration

_COLUMNS: Final = ("process", "state", "for", "pid", "connections", "history", "restarts", "why")


def print_cluster(cluster: Mapping[str, Any], processes: Sequence[Mapping[str, Any]]) -> None:
    """
    Print them, and one line on the cluster itself.
    """
    console = make_console()
    print_states(console, _COLUMNS, ("for", "pid", "connections", "restarts"), map(_row, processes))
    where = cluster["broker"] or f"the broker here, {cluster['data']}"
    roll = f"; roll: {cluster['roll']}" if cluster["roll"] else ""
    console.print(Text(harmless(f"listening on {', '.join(cluster['listen'])}; history: {where}{roll}")))


def _row(process: Mapping[str, Any]) -> dict[str, str]:
    cells = (
        process["name"],
        process["state"],
        duration(process["uptime"]),
        "" if process["pid"] is None else process["pid"],
        "" if process["connections"] is None else process["connections"],
        process["history"] or "",
        process["restarts"],
        process["why"],
    )
    return {name: str(cell) for name, cell in zip(_COLUMNS, cells, strict=True)}
