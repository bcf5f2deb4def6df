"""
A balancer's backends as a table in a terminal, or in a pipe.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from echochat.client.harmless import harmless
from echochat.wire.figures import duration, size

_STYLES: Final = {
    "up": "green",
    "starting": "cyan",
    "draining": "yellow",
    "drained": "yellow",
    "leaving": "yellow",
    "down": "bold red",
}

_WIDTH_OF_A_PIPE: Final = 240

_COLUMNS: Final = (
    "backend",
    "state",
    "active",
    "weight",
    "new/s",
    "in/s",
    "out/s",
    "total",
    "failed",
    "last check",
)

_WIDTH_OF_ALL: Final = 110

_MOST_WANTED: Final = ("backend", "state", "active", "weight", "new/s", "failed", "last check")
"""
What there is room for in a narrower terminal.
"""


def print_backends(balancer: Mapping[str, Any], backends: Sequence[Mapping[str, Any]]) -> None:
    """
    Print them, and one line on the balancer itself.
    """
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE, highlight=False)
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    columns = _COLUMNS if console.width >= _WIDTH_OF_ALL else _MOST_WANTED
    for name in columns:
        is_text = name in ("backend", "state", "last check")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=name != "last check", overflow="fold")
    for each in backends:
        row = _row(each)
        table.add_row(*(row[name] for name in columns))
    console.print(table)
    summary = "{serving} of {backends} backends serve, {active} connections, {waiting} waiting, up for {up}"
    console.print(Text(summary.format(**balancer, up=duration(balancer["uptime"]))))
    if balancer["shortage"] is not None:
        console.print(Text(f"clients are refused: {harmless(balancer['shortage'])}", style="bold red"))


def _row(backend: Mapping[str, Any]) -> dict[str, Text]:
    state = str(backend["state"])
    limit = f"/{backend['max']}" if backend["max"] else ""
    ago = "" if backend["checked"] is None else f", {duration(backend['checked'])} ago"
    cells = (
        f"{backend['name']}{' (backup)' * bool(backend['backup'])}",
        state,
        f"{backend['active']}{limit}",
        str(backend["weight"]),
        f"{backend['connections_per_second']:g}",
        size(backend["bytes_in_per_second"]),
        size(backend["bytes_out_per_second"]),
        str(backend["connections"]),
        str(backend["failures"]),
        f"{backend['why']}{ago}",
    )
    row = {name: Text(harmless(cell)) for name, cell in zip(_COLUMNS, cells, strict=True)}
    row["state"].stylize(_STYLES.get(state, ""))
    return row
