"""
A cluster's processes as a table in a terminal, or in a pipe.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from echochat.client.harmless import harmless
from echochat.wire.figures import duration

_STYLES: Final = {
    "up": "green",
    "starting": "cyan",
    "leaving": "yellow",
    "stopping": "yellow",
    "waiting": "bold red",
}

_WIDTH_OF_A_PIPE: Final = 240

_COLUMNS: Final = ("process", "state", "for", "pid", "connections", "history", "restarts", "why")


def print_cluster(cluster: Mapping[str, Any], processes: Sequence[Mapping[str, Any]]) -> None:
    """
    Print them, and one line on the cluster itself.
    """
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE, highlight=False)
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for name in _COLUMNS:
        is_number = name in ("for", "pid", "connections", "restarts")
        table.add_column(name, justify="right" if is_number else "left", no_wrap=name != "why", overflow="fold")
    for process in processes:
        table.add_row(*_row(process))
    console.print(table)
    where = cluster["broker"] or f"the broker here, {cluster['data']}"
    roll = f"; roll: {cluster['roll']}" if cluster["roll"] else ""
    console.print(Text(harmless(f"listening on {', '.join(cluster['listen'])}; history: {where}{roll}")))


def _row(process: Mapping[str, Any]) -> list[Text]:
    state = str(process["state"])
    cells = (
        process["name"],
        state,
        duration(process["uptime"]),
        "" if process["pid"] is None else process["pid"],
        "" if process["connections"] is None else process["connections"],
        process["history"] or "",
        process["restarts"],
        process["why"],
    )
    row = [Text(harmless(str(cell))) for cell in cells]
    row[_COLUMNS.index("state")].stylize(_STYLES.get(state, ""))
    return row
