"""
A balancer's backends as a table in a terminal, or in a pipe.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from echochat.client.harmless import harmless
from echochat.client.state_table import make_console, print_states
from echochat.wire.figures import duration, size

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

_NUMBERS: Final = frozenset(_COLUMNS) - {"backend", "state", "last check"}

_WIDTH_OF_ALL: Final = 110

_MOST_WANTED: Final = ("backend", "state", "active", "weight", "new/s", "failed", "last check")
"""
What there is room for in a narrower terminal.
"""


def print_backends(balancer: Mapping[str, Any], backends: Sequence[Mapping[str, Any]]) -> None:
    """
    Print them, and one line on the balancer itself.
    """
    console = make_console()
    columns = _COLUMNS if console.width >= _WIDTH_OF_ALL else _MOST_WANTED
    print_states(console, columns, _NUMBERS, map(_row, backends))
    summary = "{serving} of {backends} backends serve, {active} connections, {waiting} waiting, up for {up}"
    console.print(Text(summary.format(**balancer, up=duration(balancer["uptime"]))))
    if balancer["shortage"] is not None:
        console.print(Text(f"clients are refused: {harmless(balancer['shortage'])}", style="bold red"))


def _row(backend: Mapping[str, Any]) -> dict[str, str]:
    limit = f"/{backend['max']}" if backend["max"] else ""
    ago = "" if backend["checked"] is None else f", {duration(backend['checked'])} ago"
    cells = (
        f"{backend['name']}{' (backup)' * bool(backend['backup'])}",
        str(backend["state"]),
        f"{backend['active']}{limit}",
        str(backend["weight"]),
        f"{backend['connections_per_second']:g}",
        size(backend["bytes_in_per_second"]),
        size(backend["bytes_out_per_second"]),
        str(backend["connections"]),
        str(backend["failures"]),
        f"{backend['why']}{ago}",
    )
    return dict(zip(_COLUMNS, cells, strict=True))
