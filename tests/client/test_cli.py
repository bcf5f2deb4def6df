"""
The ``echochat`` command itself.
"""

import sys

from twisted.trial.unittest import TestCase

from echochat import __version__
from echochat.client.cli import main
from tests.client.click_runner import make_runner
from tests.client.processes import start_client, start_program


class CommandTests(TestCase):
    """
    The command says what it is and what it can do.
    """

    async def test_version(self) -> None:
        """
        The version is the package's, in the long form and the short one.
        """
        for option in ("--version", "-V"):
            client = start_client(option)
            self.assertEqual(await client.ends(), 0)
            self.assertEqual(client.output, f"echochat {__version__}\n".encode())

    async def test_help_and_version_are_quick(self) -> None:
        """
        Neither imports Twisted, which would take longer than everything else they do.
        """
        for option in ("--version", "--help"):
            program = (
                "import sys\n"
                "from echochat.client.cli import main\n"
                f"try: main(['{option}'])\n"
                "finally: print('twisted' in sys.modules, 'prompt_toolkit' in sys.modules, file=sys.stderr)\n"
            )
            client = start_program((sys.executable, "-c", program))
            self.assertEqual(await client.ends(), 0)
            self.assertEqual(client.errors, b"False False\n")

    async def test_help_of_each_subcommand(self) -> None:
        """
        Every subcommand that the help lists is there.
        """
        client = start_client("--help")
        await client.ends()
        listed = client.output.decode().partition("Commands:\n")[2].split("\n")
        names = [line.split()[0] for line in listed if line.strip()]
        self.assertIn("chat", names)
        for name in names:
            about = make_runner().invoke(main, [name, "--help"], prog_name="echochat")
            self.assertEqual(about.exit_code, 0)
            self.assertIn(f"Usage: echochat {name}", about.stdout)

    async def test_unknown_subcommand(self) -> None:
        """
        A slip is a usage error.
        """
        client = start_client("chta")
        self.assertEqual(await client.ends(), 2)
        self.assertIn(b"No such command 'chta'", client.errors)

    async def test_unreadable_server(self) -> None:
        """
        A server that cannot be one is a usage error that says why.
        """
        client = start_client("chat", "localhost:70000")
        self.assertEqual(await client.ends(), 2)
        self.assertIn(b"70000 is not a port", client.errors)
