"""
What the documentation of the balancer shows.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.balancer.scenarios.ours import ECHOCHAT
from tests.ports import free_port
from tests.processes import TWISTD, Program, start_program

_ROOT = Path(__file__).parents[2]
_COMMAND = re.compile(r"^    \$ ((?:.*\\\n)*.*)$", re.MULTILINE)


class ReadmeTests(TestCase):
    """
    The README's way from one server to a balanced pair.
    """

    timeout = 120

    def setUp(self) -> None:
        # In a folder whose path is short: that of a UNIX socket has at most 107 bytes.
        folder = tempfile.TemporaryDirectory(prefix="echochat-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def start(self, command: str, *, terminal: bool = False) -> Program:
        """
        Start what stands in the README, with the programs of this environment.
        """
        name, *words = command.replace("\\\n", " ").removesuffix(" &").split()
        program = {"twistd": TWISTD, ".venv/bin/echochat": ECHOCHAT}[name]
        environment = {"PYTHONPATH": str(_ROOT), "TERM": "xterm"}
        return start_program(self, *program, *words, environment=environment, directory=self.folder, terminal=terminal)

    async def test_pair(self) -> None:
        """
        Five commands make a balanced pair with a session, and one more has the session move, which the page shows.
        """
        section = (_ROOT / "README.rst").read_text().partition("Several servers\n")[2]
        section = section.partition("\nOne machine, all cores\n")[0]
        line, page = free_port(), free_port()
        section = section.replace(":7000", f":{line}").replace("tcp:7001", f"tcp:{page}")
        section = section.replace(
            "--control unix:lb.sock --status", f"--listen tcp:{line} --control unix:lb.sock --status"
        )
        _, first, second, balancer, session, drain = _COMMAND.findall(section)
        servers = [self.start(first), self.start(second)]
        for server in servers:
            await server.until(rb"listening on")
        await self.start(balancer).until(rb"listening on \S+ port %d" % line)
        talking = self.start(session, terminal=True)
        await talking.until(rb"Connected to")
        talking.write(b"/join lobby\r")
        await talking.until(rb"lobby>")
        talking.write(b"hello\r")
        await talking.until(rb"guest-\w+\S*  hello")
        seen = await self.look(page)
        self.assertEqual(sorted(each["active"] for each in seen.values()), [0, 1])
        name = max(seen, key=lambda each: seen[each]["active"])
        self.assertEqual(await self.start(drain.replace("drain a", f"drain {name}")).end(), 0)
        while (await self.look(page))[name]["state"] != "drained":
            pass  # each look takes a while; the time of the test is limited
        talking.write(b"and again\r")
        await talking.until(rb"guest-\w+\S*  and again")
        self.assertEqual((await self.look(page))[name]["active"], 0)

    async def look(self, page: int) -> dict[str, Any]:
        """
        What the status page says of each backend.
        """
        answer = await deferToThread(urlopen, f"http://127.0.0.1:{page}/status.json")
        return {each["name"]: each for each in json.load(answer)["backends"]}
