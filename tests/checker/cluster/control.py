"""
A run of the control: :mod:`tests.checker.cluster.plain` on brokers of the checker.
"""

import sys
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.checker.cluster.brokers import CHECKOUT, Brokers
from tests.checker.cluster.plain import LONGEST_PUBLISH, read
from tests.checker.ledger import Ledger, Verdict
from tests.processes import start_program


class Control:
    """
    Plain publishers and subscribers.
    """

    def __init__(self, test: TestCase, folder: Path) -> None:
        self._test = test
        self._path = folder / "journal"
        self._read = 0
        self._acknowledged = 0

    async def start(self, brokers: Brokers) -> None:
        """
        Start them, and wait until they have a stream.
        """
        command = (sys.executable, "-m", "tests.checker.cluster.plain", str(self._path))
        self._program = start_program(self._test, *command, *brokers.addresses, environment={"PYTHONPATH": CHECKOUT})
        await self._program.until(b"the stream is there")

    def acknowledged(self) -> int:
        """
        :return: how many events were acknowledged so far.
        """
        with self._path.open("rb") as journal:
            journal.seek(self._read)
            text = journal.read()
        self._read += len(text)
        self._acknowledged += text.count(b'["stored"')
        return self._acknowledged

    async def finish(self, patience: float) -> Verdict:
        """
        Publish no more, let the subscribers catch up, and compare.

        :param patience: seconds that they have.
        """
        self._program.write(f"{patience}\n".encode())
        await self._program.end(patience + LONGEST_PUBLISH + 10)
        ledger = Ledger()
        read(self._path, ledger)
        return ledger.judge()
