"""
Tests for L{tests.checker.cluster.disk}: a power cut keeps what was synced, and nothing else.
"""

import os
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, TestCase

from tests.checker.cluster.brokers import CHECKOUT
from tests.checker.cluster.disk import cut
from tests.processes import start_program

WRITE = """
import os, signal, sys
os.chdir(sys.argv[1])
here = os.getcwd()
{}
print("written", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


class CutTests(TestCase):
    """
    A program that writes files, and the power is cut.
    """

    timeout = 60

    async def left(self, *program: str) -> dict[str, str]:
        """
        :return: the files that are there after this program and a power cut, and what they hold.
        """
        folder, kept = Path(self.mktemp()).resolve(), Path(self.mktemp()).resolve()
        folder.mkdir()
        watching = (sys.executable, "-m", "tests.checker.cluster.disk", str(folder), str(kept))
        running = start_program(
            self,
            *(*watching, os.path.realpath(sys.executable), "-c", WRITE.format("\n".join(program)), str(folder)),
            environment={"PYTHONPATH": CHECKOUT},
        )
        await running.end()
        if b"cannot be simulated" in running.output:
            raise SkipTest(running.output.decode())
        self.assertEqual(running.output, b"written\n")
        cut(str(folder), str(kept))
        return {path.name: path.read_text() for path in folder.iterdir()}

    async def test_synced(self) -> None:
        """
        What was written before a sync is kept, what was written after it is not.
        """
        self.assertEqual(
            await self.left(
                "file = open(f'{here}/file', 'w', buffering=1)",
                "file.write('one\\n')",
                "os.fsync(file.fileno())",
                "file.write('two\\n')",
            ),
            {"file": "one\n"},
        )

    async def test_never_synced(self) -> None:
        """
        A file that was never synced is not there.
        """
        self.assertEqual(await self.left("open(f'{here}/file', 'w').write('one')"), {})

    async def test_synced_with_each_write(self) -> None:
        """
        What is written to a file that was opened so is kept, also under the name that it gets.
        """
        self.assertEqual(
            await self.left(
                "for name in ('a', 'b.new'):",
                "    file = os.open(f'{here}/{name}', os.O_WRONLY | os.O_CREAT | os.O_SYNC, 0o600)",
                "    os.write(file, name.encode())",
                "os.rename(f'{here}/b.new', f'{here}/b')",
            ),
            {"a": "a", "b": "b.new"},
        )

    async def test_rename_of_unsynced(self) -> None:
        """
        A new file that takes the place of one leaves that one's content, unless it was synced.
        """
        self.assertEqual(
            await self.left(
                "for name in ('one', 'two'):",
                "    file = open(f'{here}/new', 'w', buffering=1)",
                "    file.write(name)",
                "    file.flush()",
                "    if name == 'one': os.fsync(file.fileno())",
                "    os.rename(f'{here}/new', f'{here}/file')",
            ),
            {"file": "one"},
        )
