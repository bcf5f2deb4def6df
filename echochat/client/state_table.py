"""
What a process tells of its parts, each of which has a state, as a table in a terminal, or in a pipe.
"""

import sys
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from echochat.client.harmless import harmless

_STYLES: Final = {
    "up": "green",
    "starting": "cyan",
    **dict.fromkeys(("draining", "drained", "leaving", "stopping"), "yellow"),
    **dict.fromkeys(("down", "waiting"), "bold red"),
}

_WIDTH_OF_A_PIPE: Final = 240


def make_console() -> Console:
    """
    Where it is printed: as wide as the terminal is.
    """
    return Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE, highlight=False)


def print_states(
    console: Console, columns: Sequence[str], numbers: Container[str], rows: Iterable[Mapping[str, str]]
) -> None:
    """
    Print the table. What others have said may be in it.

    :param columns: one is ``state``; the last has the words for which there may be more than one line.
    :param numbers: the columns of numbers.
    :param rows: by column.
    """
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for name in columns:
        justify = "right" if name in numbers else "left"
        table.add_column(name, justify=justify, no_wrap=name != columns[-1], overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        style = _STYLES.get(row["state"], "")
        table.add_row(*(Text(harmless(row[name]), style if name == "state" else "") for name in columns))
    console.print(table)
