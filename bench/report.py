"""
Results for a person: a table on the screen, and the same as a section of a page that is kept.
"""

import re
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import machine
from bench.row import Effort, Goal, Measured, Row, reached

_HEAD = (
    "# Results\n\nWhat `make bench ARGS=--record` measured. Notes go outside the marked sections, which it rewrites.\n"
)


def _cells(row: Row, results: list[Measured]) -> list[tuple[str, str, str, str, str]]:
    """
    The table's lines: name, version, median, range, ratio to the row's anchor.
    """
    anchor_name = row.anchor
    anchor = next((result.middle for result in results if result.entry.name == anchor_name), None)
    lines = []
    for result in results:
        middle, spread, ratio = "-", "", ""
        if result.middle is not None:
            middle = f"{result.middle:,.0f}"
            spread = f"{min(result.figures):,.0f} - {max(result.figures):,.0f}"
            ratio = f"{result.middle / anchor:.2f} ×" if anchor else ""
        lines.append((result.entry.name, result.entry.server.version(), middle, spread, ratio))
    return lines


def _remarks(row: Row, results: list[Measured]) -> list[str]:
    """
    What to read below the table: who is missing from it and why, and the goals.
    """
    return [
        *(f"{result.entry.name}: skipped, {result.skipped}" for result in results if result.skipped),
        *(f"{result.entry.name}: FAILED, {result.failed}" for result in results if result.failed),
        *(_verdict(row, goal, results) for goal in row.goals),
    ]


def _verdict(row: Row, goal: Goal, results: list[Measured]) -> str:
    bound = "at most" if goal.at_most else "at least"
    wanted = f"{goal.factor:g} × {goal.against}" if goal.against else f"{goal.factor:,.0f} {row.unit}"
    found = reached(goal, results)
    if found is None:
        return f"goal: {goal.of} {bound} {wanted}: not measured"
    figure = f"{found[0]:.2f} ×" if goal.against else f"{found[0]:,.0f}"
    return f"goal: {goal.of} {bound} {wanted}: {figure}, {'reached' if found[1] else 'NOT reached'}"


def _columns(row: Row) -> tuple[str, ...]:
    anchor = row.anchor
    return ("server", "version", row.unit, "lowest - highest", f"to {anchor}" if anchor else "")


def show(console: Console, row: Row, results: list[Measured]) -> None:
    """
    The row on the screen.
    """
    table = Table(title=f"{row.number}. {row.title}", title_justify="left", title_style="bold")
    for column in _columns(row):
        table.add_column(column, justify="left" if column in ("server", "version") else "right")
    for line in _cells(row, results):
        table.add_row(*line)
    console.print(table)
    for remark in _remarks(row, results):
        console.print(remark, highlight=False, markup=False, soft_wrap=True)
    console.print()


def section(row: Row, results: list[Measured], effort: Effort) -> str:
    """
    The row in Markdown, with what it was measured on and when.
    """
    columns = _columns(row)
    lines = [
        f"## {row.number}. {row.title}",
        "",
        f"| {' | '.join(columns)} |",
        "| --- | --- | --: | --: | --: |",
        *(f"| {' | '.join(line)} |" for line in _cells(row, results)),
        "",
        *(f"- {remark}" for remark in _remarks(row, results)),
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine.describe()}; medians of {min(effort.runs, row.enough)} runs in turns"
        f" of {effort.seconds:g} s.",
    ]
    return "\n".join(lines)


def record(page: Path, row: Row, text: str) -> None:
    """
    Put the row's section in its place on the page: where its markers are, or at the end.
    """
    begin, end = f"<!-- measured: {row.title} -->", f"<!-- end: {row.title} -->"
    marked = f"{begin}\n{text}\n{end}"
    old = page.read_text() if page.exists() else _HEAD
    place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    new, found = place.subn(lambda _: marked, old)
    page.write_text(new if found else f"{old}\n{marked}\n")
