"""
What the programs of a run wrote, kept beside what they wrote it about.
"""

from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.processes import Program


def keep_output(test: TestCase, path: Path, program: Program) -> None:
    """
    When the test ends, add what the program wrote to a file.
    """

    def keep() -> None:
        with path.open("ab") as file:
            file.write(b"\n--- started\n" + program.output)

    test.addCleanup(keep)
