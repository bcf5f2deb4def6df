"""
What a row of the benchmark is, and how it is measured: in turns, so that what else the machine does hits all alike.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from bench.loadgen import NoFigure
from bench.running import Running, Server


@dataclass(frozen=True)
class Effort:
    """
    How much is measured: seconds of load in one trial, and how many trials each entry gets.
    """

    seconds: float
    runs: int


@dataclass(frozen=True)
class Entry:
    """
    One line of a row's table: a server under a load, which gives one figure.
    """

    name: str
    server: Server
    measure: Callable[[Running, float], float]
    """The trial, given the server and the seconds of load. Raises ``NoFigure`` where there is none."""


@dataclass(frozen=True)
class Goal:
    """
    What one entry is to reach: a factor of another's figure (or a figure of its own, without ``against``), at least
    or at most.
    """

    of: str
    factor: float
    against: str | None = None
    at_most: bool = False


@dataclass(frozen=True)
class Row:
    """
    A kind of work, everybody who does it, and what is to be reached. ``number`` is the row's in the list of goals.
    """

    number: int
    title: str
    unit: str
    entries: tuple[Entry, ...]
    goals: tuple[Goal, ...]
    enough: int = 100
    """More trials than this tell nothing new."""

    @property
    def anchor(self) -> str | None:
        """
        The entry that the others are compared with, if there is one.
        """
        return self.goals[0].against if self.goals else None


@dataclass(frozen=True)
class Measured:
    """
    An entry's figures, one a trial. Where there are fewer, ``skipped`` or ``failed`` says why.
    """

    entry: Entry
    figures: tuple[float, ...] = ()
    skipped: str = ""
    failed: str = ""

    @property
    def middle(self) -> float | None:
        """
        The median, the figure that counts.
        """
        return median(self.figures) if self.figures else None


def measure(row: Row, effort: Effort, tell: Callable[[str], None]) -> list[Measured]:
    """
    Every entry of the row in turn, again and again: A B C, A B C, ...

    :param tell: is given a line for a person before each trial.
    """
    skipped = {entry.name: entry.server.absent() or "" for entry in row.entries}
    failed = dict.fromkeys(skipped, "")
    figures: dict[str, list[float]] = {entry.name: [] for entry in row.entries}
    runs = min(effort.runs, row.enough)
    for run in range(runs):
        for entry in row.entries:
            if skipped[entry.name] or failed[entry.name]:
                continue
            tell(f"row {row.number}, run {run + 1} of {runs}: {entry.name}")
            try:
                with entry.server.running() as running:
                    figures[entry.name].append(entry.measure(running, effort.seconds))
            except NoFigure as reason:
                failed[entry.name] = str(reason)
    return [
        Measured(entry, tuple(figures[entry.name]), skipped[entry.name], failed[entry.name]) for entry in row.entries
    ]


def reached(goal: Goal, results: list[Measured]) -> tuple[float, bool] | None:
    """
    The ratio (or the figure) that the goal is about, and whether it is good enough; ``None`` where it was not measured.
    """
    middles = {result.entry.name: result.middle for result in results}
    figure, anchor = middles.get(goal.of), 1.0 if goal.against is None else middles.get(goal.against)
    if figure is None or not anchor:
        return None
    ratio = figure / anchor
    return ratio, ratio <= goal.factor if goal.at_most else ratio >= goal.factor
