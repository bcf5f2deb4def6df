"""
What the README shows of a cluster on one machine.
"""

import re
import shlex
import subprocess
import tempfile
from pathlib import Path

from twisted.trial.unittest import SkipTest, TestCase

from tests.balancer.scenarios.ours import ECHOCHAT
from tests.processes import TWISTD, Program, program_beside, start_program

_ROOT = Path(__file__).parents[2]
_COMMAND = re.compile(r"^    \$ (.*)$", re.MULTILINE)
_LISTEN = "tcp:0:interface=127.0.0.1"
_PORT = re.compile(rb"\[balancer\] listening on 127.0.0.1 port (\d+): balancer")


class ReadmeTests(TestCase):
    """
    "One machine, all cores".
    """

    timeout = 120

    def setUp(self) -> None:
        if program_beside("nats-server") is None:
            raise SkipTest("nats-server is not installed")
        # In a folder whose path is short: that of a UNIX socket has at most 107 bytes.
        folder = tempfile.TemporaryDirectory(prefix="echochat-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def start(self, program: tuple[str, ...], *words: str, terminal: bool = False) -> Program:
        """
        Start a program of this environment where the reader does, in the checkout: here an empty folder.
        """
        environment = {"PYTHONPATH": str(_ROOT), "TERM": "xterm"}
        return start_program(self, *program, *words, environment=environment, directory=self.folder, terminal=terminal)

    def cluster(self, target: str) -> list[str]:
        """
        What the target of the Makefile starts, after the name of ``twistd``.
        """
        make, name = target.split()
        said = subprocess.run([make, "--dry-run", name], cwd=_ROOT, capture_output=True, text=True, check=True).stdout
        (line,) = (line for line in said.splitlines() if "/twistd" in line)
        return shlex.split(line.removeprefix("exec "))[1:]

    async def test_two_terminals(self) -> None:
        """
        One command starts it all; two people in two terminals are on two workers, and read each other, also after
        every worker was replaced while they were there.
        """
        section = (_ROOT / "README.rst").read_text().partition("One machine, all cores\n")[2]
        everything, chat, status, roll = _COMMAND.findall(section.partition("\nCommands\n")[0])
        # Two workers also where there is one processor, and a port that is free.
        cluster = self.start(TWISTD, *self.cluster(everything), "--workers", "2", "--drain", "2", "--listen", _LISTEN)
        await cluster.until(rb"the cluster is ready")
        found = _PORT.search(cluster.output)
        assert found is not None
        self.assertIn(":7000", chat)
        words = chat.replace(":7000", f":{int(found[1])}").removeprefix(".venv/bin/echochat ").split()
        first, second = (self.start(ECHOCHAT, *words, terminal=True) for _ in range(2))
        for each in (first, second):
            await each.until(rb"Connected to")
            each.write(b"/join lobby\r")
            await each.until(rb"lobby>")
        first.write(b"hello there\r")
        await second.until(rb"guest-\w+\S*  hello there")
        shown = self.start(ECHOCHAT, *status.removeprefix(".venv/bin/echochat ").split())
        self.assertEqual(await shown.end(), 0)
        for worker in (rb"w1", rb"w2"):
            self.assertRegex(shown.output, rb"\n" + worker + rb" +up .* 1  available")
        rolled = self.start(ECHOCHAT, *roll.removeprefix(".venv/bin/echochat ").split())
        self.assertEqual(await rolled.end(), 0)
        second.write(b"hello yourself\r")
        await first.until(rb"guest-\w+\S*  hello yourself")
        self.assertEqual(await cluster.stop(), 0)
