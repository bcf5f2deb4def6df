"""
``python -m bench``: measure, print a table a row, and keep the results when asked to.
"""

import sys
from pathlib import Path

import click
from rich.console import Console

from bench import machine, report
from bench.compiling import compiled
from bench.row import Effort, Row, measure
from bench.rows import ROWS

_RESULTS = Path(__file__).with_name("RESULTS.md")


def _chosen(_: click.Context, __: click.Parameter, numbers: str | None) -> tuple[Row, ...]:
    if numbers is None:
        return ROWS
    known = {str(row.number) for row in ROWS}
    wanted = set(numbers.replace(" ", "").split(","))
    if wanted - known:
        raise click.BadParameter(f"{', '.join(sorted(wanted - known))}: there are {', '.join(sorted(known, key=int))}")
    return tuple(row for row in ROWS if str(row.number) in wanted)


@click.command(help="Measure echochat beside its peers, on loopback, and print the ratios.")
@click.option("--rows", metavar="N,N,...", callback=_chosen, help="Only these rows; --list tells which there are.")
@click.option("--seconds", default=2.0, show_default=True, help="Seconds of load in one trial.")
@click.option("--runs", default=3, show_default=True, help="Trials of each server; the median counts.")
@click.option("--record", is_flag=True, help=f"Write what was measured into bench/{_RESULTS.name}.")
@click.option("--list", "list_rows", is_flag=True, help="Only list the rows.")
def main(rows: tuple[Row, ...], seconds: float, runs: int, record: bool, list_rows: bool) -> None:
    if list_rows:
        for row in rows:
            click.echo(f"{row.number:3}  {row.title}: {', '.join(entry.name for entry in row.entries)}")
        return
    compiled("lg")
    machine.raise_descriptor_limit()
    effort = Effort(seconds, runs)
    console = Console()
    if not console.is_terminal:
        console.width = 120  # a pipe has no width, and a table that is wrapped cannot be read
    console.print(machine.describe(), highlight=False, soft_wrap=True)
    failed = False
    for row in rows:
        with console.status("") as status:
            results = measure(row, effort, status.update)
        report.show(console, row, results)
        if record:
            report.record(_RESULTS, row, report.section(row, results, effort))
        failed = failed or any(result.failed for result in results)
    sys.exit(failed)


if __name__ == "__main__":
    main()
