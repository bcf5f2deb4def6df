"""
The programs in the client's documentation.
"""

import sys
import textwrap
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.client.processes import start_program, stop_program
from tests.processes import start_server

_DOCUMENTATION = Path(__file__).parents[2] / "docs" / "client.rst"


def program_in_documentation(number: int) -> str:
    """
    The program in the documentation that comes at this place, from 0.
    """
    block = _DOCUMENTATION.read_text().split(".. code-block:: python\n\n")[number + 1]
    lines = []
    for line in block.splitlines():
        if line and not line.startswith("    "):
            break
        lines.append(line)
    return textwrap.dedent("\n".join(lines))


class DocumentationTests(TestCase):
    """
    What the documentation shows works when it is copied.
    """

    async def test_client_of_one_connection(self) -> None:
        """
        The first program talks to a real server, and prints what one would expect.
        """
        port = await start_server(self, "--history", "memory:").port()
        example = start_program((sys.executable, "-c", program_in_documentation(0), "127.0.0.1", str(port)))
        self.addCleanup(stop_program, example)
        self.assertEqual(await example.ends(), 0)
        self.assertEqual(example.output, b"HELLO\nare you there?\nbad-name\n")

    async def test_client_of_any_number_of_connections(self) -> None:
        """
        So does the second.
        """
        port = await start_server(self, "--history", "memory:").port()
        example = start_program((sys.executable, "-c", program_in_documentation(1), "127.0.0.1", str(port)))
        self.addCleanup(stop_program, example)
        self.assertEqual(await example.ends(), 0)
        self.assertRegex(example.output.decode(), r"\Astored at \d+\nTrue hello\n\Z")
