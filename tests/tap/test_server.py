"""
Tests for :mod:`echochat.tap.server`: what can be written after ``echochat``, and what comes of it.
"""

import io
import os
import socket
import sys
from collections.abc import Sequence

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat import __version__
from echochat.server.settings import SETTINGS, ServerSettings
from echochat.tap.server import Options
from tests.processes import TWIST, TWISTD

TWISTD_IN_FRONT = (*TWISTD, "-n", "echochat")
TWIST_AS_TEXT = (*TWIST, "--log-format=text", "echochat")

Result = tuple[str, list[str], int, list[str]]
"""
What was said and complained of, the exit code, and the files that were left.
"""


class OptionsTests(SynchronousTestCase):
    """
    The command line and the file become settings, or one sentence.
    """

    def parsed(self, *arguments: str) -> ServerSettings:
        options = Options()
        options.parseOptions(list(arguments))
        return options.settings

    def refusal(self, *arguments: str) -> str:
        error = self.assertRaises(SystemExit, self.parsed, *arguments)
        self.assertIsInstance(error.code, str)
        self.assertNotIn("\n", str(error.code))
        return str(error.code)

    def test_nothing(self) -> None:
        """
        Nothing need be written: everybody on this machine may come.
        """
        settings = self.parsed()
        self.assertEqual(settings.listen, ("tcp:7007:interface=127.0.0.1",))
        self.assertEqual((settings.guests, settings.first_line, settings.drain), ("yes", 60.0, 5.0))

    def test_options(self) -> None:
        """
        Each option is a setting; ``--listen`` may be given several times.
        """
        settings = self.parsed("--listen", "tcp:1", "--listen=unix:/run/e", "--max-line", "100", "--stall", "0.5")
        self.assertEqual((settings.listen, settings.max_line, settings.stall), (("tcp:1", "unix:/run/e"), 100, 0.5))

    def test_file(self) -> None:
        """
        What the command line does not say the file does.
        """
        path = self.mktemp()
        with open(path, "w") as file:
            file.write('listen = ["tcp:1"]\nidle = 7\ndrain = 8\n')
        settings = self.parsed("--config", path, "--idle", "9")
        self.assertEqual((settings.listen, settings.idle, settings.drain), (("tcp:1",), 9.0, 8.0))

    def test_wrong(self) -> None:
        """
        What is wrong is one sentence that names it.
        """
        lists = " (--help lists the options)"
        for arguments, told in (
            (["--nonsense"], "option --nonsense not recognized"),
            (["--max-line"], "option --max-line requires argument"),
            (["--max-line", "many"], "--max-line is a whole number from 64 to 16777216"),
            (["--listen", ""], "--listen is not empty"),
            (["--config", "nowhere"], "the configuration file nowhere cannot be read: No such file or directory"),
            (["server"], "server is not an option"),
        ):
            self.assertEqual(self.refusal(*arguments), f"echochat: {told}{lists}")

    def test_wrong_in_the_file(self) -> None:
        """
        ... also when it is in the file.
        """
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("max-lines = 3\n")
        told = self.refusal("--config", path)
        self.assertTrue(told.startswith(f"echochat: {path}: max-lines is not a setting; there are "), told)

    def test_version(self) -> None:
        """
        The version is ours, not Twisted's.
        """
        said = io.StringIO()
        self.patch(sys, "stdout", said)
        error = self.assertRaises(SystemExit, self.parsed, "--version")
        self.assertEqual((error.code, said.getvalue()), (0, f"echochat {__version__}\n"))

    def test_help(self) -> None:
        """
        The help has every setting.
        """
        text = str(Options())
        for name in (*(setting.name for setting in SETTINGS), "config"):
            self.assertIn(f"--{name}=", text)


class OneLineTests(TestCase):
    """
    Whoever starts it wrongly is told so in one line, by ``twistd`` and by ``twist``.
    """

    def run_both(self, *arguments: str) -> "Deferred[list[Result]]":
        """
        :return: what came of it with each of the two.
        """
        both = [self.run_in_a_folder(command, *arguments) for command in (TWISTD_IN_FRONT, TWIST_AS_TEXT)]
        return gatherResults([Deferred.fromCoroutine(each) for each in both])

    async def run_in_a_folder(self, command: Sequence[str], *arguments: str) -> Result:
        folder = self.mktemp()
        os.makedirs(folder)
        all_arguments = [*command[1:], *arguments]
        out, complaints, code = await getProcessOutputAndValue(command[0], all_arguments, os.environ, folder)
        return out.decode(), complaints.decode().splitlines(), code, os.listdir(folder)

    async def assert_one_line(self, line: str, *arguments: str, left: Sequence[str] = ()) -> None:
        for said, complaints, code, files in await self.run_both(*arguments):
            self.assertEqual((complaints, code), ([line], 1))
            self.assertNotIn("Traceback", said)
            self.assertEqual([file for file in files if not file.startswith("echochat.sqlite3")], list(left))

    async def test_wrong_option(self) -> None:
        """
        An option that there is not.
        """
        told = "echochat: option --nonsense not recognized (--help lists the options)"
        await self.assert_one_line(told, "--nonsense")

    async def test_accounts_that_others_can_read(self) -> None:
        """
        What is wrong with the file of accounts is nothing unexpected.
        """
        path = os.path.abspath(self.mktemp())
        with open(path, "w"):
            os.chmod(path, 0o644)
        for _, [line], code, _ in await self.run_both("--auth", f"argon2:{path}"):
            self.assertTrue(line.startswith(f"echochat: {path} can be read or changed by others"), line)
            self.assertEqual(code, 1)

    async def test_port_in_use(self) -> None:
        """
        A port that another process has, with its endpoint, the reason, and what to do; nothing is left, no pidfile
        either.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            told = (
                f"echochat: cannot listen on {endpoint}: Address already in use: "
                "end what listens there, or name another port with --listen"
            )
            await self.assert_one_line(told, "--listen", "tcp:0:interface=127.0.0.1", "--listen", endpoint)

    async def test_version(self) -> None:
        """
        The version is said and nothing is started.
        """
        for result in await self.run_both("--version"):
            self.assertEqual(result, (f"echochat {__version__}\n", [], 0, []))
