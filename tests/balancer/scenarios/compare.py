"""
``python -m tests.balancer.scenarios.compare``: the scenarios on echochat-lb, HAProxy and nginx, and a table of who
passes what.

The scenarios are those of the test modules here, and are run as trial runs them. With ``--record`` the table goes into
``docs/balancer.rst``, between its two marks.
"""

import importlib
import os
import re
import tempfile
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
from twisted.trial.reporter import TestResult

from bench.machine import describe
from tests.balancer.scenarios.case import ScenarioCase
from tests.balancer.scenarios.ours import EchochatLb
from tests.balancer.scenarios.peers import HAProxy, Nginx
from tests.balancer.scenarios.proxies import Proxy

KINDS: Final = (EchochatLb, HAProxy, Nginx)
_PAGE: Final = Path(__file__).parents[3] / "docs" / "balancer.rst"
_BEGIN, _END = ".. begin: who passes what\n", ".. end: who passes what\n"


class Outcome(TestResult):
    """
    What became of one test, in a word for the table, and at length.
    """

    word = "?"
    story = ""

    def addSuccess(self, test: Any) -> None:
        self.word = "yes"

    def addFailure(self, test: Any, fail: Any) -> None:
        self.word, self.story = "no", str(fail)

    def addError(self, test: Any, error: Any) -> None:
        self.word, self.story = "no", str(error)

    def addSkip(self, test: Any, reason: str) -> None:
        self.word, self.story = "–", reason


def scenarios() -> Iterator[tuple[int, str, type[ScenarioCase], str]]:
    """
    Number, title, class and method of each scenario, in order.
    """
    found = []
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        module = importlib.import_module(f"{__package__}.{path.stem}")
        for case in vars(module).values():
            if isinstance(case, type) and issubclass(case, ScenarioCase) and case.__module__ == module.__name__:
                found += [
                    (test.scenario, test.title, case, name)
                    for name, test in vars(case).items()
                    if hasattr(test, "scenario")
                ]
    yield from sorted(found, key=lambda each: each[0])


def run(case: type[ScenarioCase], method: str, kind: type[Proxy]) -> Outcome:
    """
    Run one scenario on one balancer.
    """
    on_kind = type(f"{case.__name__}On{kind.__name__}", (case,), {"kind": kind})
    outcome = Outcome()
    test: unittest.TestCase = on_kind(method)
    test.run(outcome)
    return outcome


def table(lines: list[tuple[int, str, list[Outcome]]]) -> str:
    """
    The table as reStructuredText, and below it why something was not tried.
    """
    head = [".. list-table::", "   :header-rows: 1", "   :widths: 4 60 12 12 12", "", "   * - ", "     - scenario"]
    text = [*head, *(f"     - {kind.title}" for kind in KINDS)]
    for number, title, outcomes in lines:
        text += [f"   * - {number}", f"     - {title}", *(f"     - {each.word}" for each in outcomes)]
    reasons: dict[str, list[str]] = {}
    for number, _, outcomes in lines:
        for kind, outcome in zip(KINDS, outcomes, strict=True):
            if outcome.word == "–":
                reasons.setdefault(f"{kind.title}: {outcome.story}", []).append(str(number))
    text += ["", *(f"- {reason} ({', '.join(dict.fromkeys(numbers))})" for reason, numbers in reasons.items())]
    return "\n".join([*text, "", f"Run on {describe()}.", ""])


def record(text: str) -> None:
    """
    Put it into the page, in place of what is there between the marks.
    """
    page = _PAGE.read_text()
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    _PAGE.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{after}")


@click.command(help="Run the balancer's scenarios on echochat-lb, HAProxy and nginx, and print who passes what.")
@click.option("--only", default="", metavar="REGEX", help="Only scenarios whose method's name matches.")
@click.option("--record", "recorded", is_flag=True, help=f"Write the table into docs/{_PAGE.name}.")
def main(only: str, recorded: bool) -> None:
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for number, title, case, method in scenarios():
            if not re.search(only, method):
                continue
            outcomes = [run(case, method, kind) for kind in KINDS]
            lines.append((number, title, outcomes))
            click.echo(f"{number:2} {title}: {', '.join(each.word for each in outcomes)}")
            for kind, outcome in zip(KINDS, outcomes, strict=True):
                if outcome.word == "no":
                    click.echo(f"   {kind.title}: {outcome.story}")
        os.chdir("/")
    text = table(lines)
    click.echo(text)
    if recorded:
        record(text)


if __name__ == "__main__":
    main()
