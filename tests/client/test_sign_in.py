"""
Signing in on the command line, as a user meets it: to a real server that wants to know who one is.
"""

import os
import signal
from pathlib import Path

from click.testing import Result
from twisted.trial.unittest import TestCase

from echochat.client.cli import main
from echochat.identity.account_edits import set_account
from echochat.identity.keys import create_key
from echochat.identity.passwords import hash_password
from tests.client.click_runner import make_runner
from tests.client.processes import Program, start_client, stop_program
from tests.processes import start_server

COMMANDS = (
    ("pub", "lobby", "hi"),
    ("history", "lobby"),
    ("sub", "lobby", "--after", "0", "--count", "1"),
    ("chat",),
)


class SignInTestCase(TestCase):
    """
    A server where guests may only log in, with one account: alice, whose password is "sec ret".
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.accounts = str(self.folder / "accounts")
        self.port = 1

    async def serve(self) -> None:
        if not os.path.exists(self.accounts):
            set_account(self.accounts, "alice", hash_password(b"sec ret"), None)
            create_key(str(self.folder / "key"))
        key = str(self.folder / "key")
        server = start_server(self, "--history", "memory:", "--auth", f"argon2:{self.accounts}", "--tokens", key)
        self.port = await server.port()

    def file(self, content: bytes, mode: int = 0o600) -> str:
        """
        A file with a secret in it.
        """
        path = self.folder / f"secret-{len(os.listdir(self.folder))}"
        path.write_bytes(content)
        path.chmod(mode)
        return str(path)

    def start(self, *arguments: str, password_file: str = "", in_terminal: bool = False) -> Program:
        environment = {
            "ECHOCHAT_SERVER": f"127.0.0.1:{self.port}",
            "ECHOCHAT_PASSWORD_FILE": password_file,
            "XDG_STATE_HOME": str(self.folder),
            "PROMPT_TOOLKIT_NO_CPR": "1",
            "TERM": "xterm",
        }
        client = start_client(*arguments, environment=environment, in_terminal=in_terminal)
        self.addCleanup(stop_program, client)
        return client

    def refused(self, *arguments: str) -> Result:
        """
        Run a client that asks no server, in this process: it has to refuse.
        """
        environment = {"ECHOCHAT_SERVER": f"127.0.0.1:{self.port}", "ECHOCHAT_PASSWORD_FILE": ""}
        result = make_runner().invoke(main, arguments, env=environment)
        self.assertIsInstance(result.exception, SystemExit, arguments)
        return result

    async def run_client(self, *arguments: str, text: bytes = b"", password_file: str = "") -> Program:
        """
        Run a client to its end, which must be a success without a word of error.
        """
        client = self.start(*arguments, password_file=password_file)
        client.types(text)
        client.transport.closeStdin()
        self.assertEqual((await client.ends(), client.errors), (0, b""))
        return client


class FileTests(SignInTestCase):
    """
    With the password or a token in a file, for programs.
    """

    async def test_password(self) -> None:
        """
        Each command acts as the account; the file is told on the command line or in the environment.
        """
        await self.serve()
        secret = self.file(b"sec ret\n")
        options = ("--login", "alice", "--password-file", secret)
        await self.run_client("pub", "lobby", "one", *options)
        await self.run_client("pub", "lobby", "--login", "Alice", text=b"two\n", password_file=secret)
        for command in (("history", "lobby"), ("sub", "lobby", "--after", "0", "--count", "2")):
            client = await self.run_client(*command, *options)
            said = [line.split(" ")[3:] for line in client.output.decode().splitlines()]
            self.assertEqual(said, [["alice", "one"], ["alice", "two"]])
        chat = await self.run_client("chat", *options, text=b"hello\n/whoami\n")
        self.assertEqual((chat.output, chat.errors), (b"HELLO\n/ok whoami alice password\n", b""))

    async def test_token(self) -> None:
        """
        So does a token, in all of them.
        """
        await self.serve()
        made = await self.run_client("token", str(self.folder / "key"), "bob")
        options = ("--token-file", self.file(made.output))
        await self.run_client("pub", "lobby", "one", *options)
        for command in (("history", "lobby"), ("sub", "lobby", "--after", "0", "--count", "1")):
            client = await self.run_client(*command, *options)
            self.assertRegex(client.output, rb"\Alobby \d+ \S+ bob one\n\Z")
        chat = await self.run_client("chat", *options, text=b"/whoami")
        self.assertEqual((chat.output, chat.errors), (b"/ok whoami bob token\n", b""))

    async def test_wrong_password(self) -> None:
        """
        A wrong password is one line and no success, and nothing of the input is sent.
        """
        secret = self.file(b"sacret")
        for command in COMMANDS:
            # A server of its own for each: an address that has just failed has to wait.
            await self.serve()
            client = self.start(*command, "--login", "alice", "--password-file", secret)
            self.assertEqual(await client.ends(), 1)
            self.assertEqual(client.output, b"")
            self.assertRegex(client.errors.decode(), rf"\Aechochat: 127.0.0.1:{self.port}: login-failed: .*\n\Z")

    async def test_too_soon(self) -> None:
        """
        Whoever tries again at once is told to wait, and not that the server is not there.
        """
        await self.serve()
        for secret, told in ((self.file(b"sacret"), "login-failed"), (self.file(b"sec ret"), "slow-down")):
            client = self.start("pub", "lobby", "x", "--login", "alice", "--password-file", secret)
            self.assertEqual(await client.ends(), 1)
            self.assertRegex(client.errors.decode(), rf"\Aechochat: [^\n]*{told}: .*\n\Z")

    async def test_guest(self) -> None:
        """
        Whoever does not log in is told to, with the options of the command, and not with what one types in a chat.
        """
        await self.serve()
        told = "not-logged-in: log in with --login NAME, or with --token-file FILE"
        named = f"127.0.0.1:{self.port}"
        for command in COMMANDS[:3]:
            for options, refuses in (((), "lobby"), (("--name", "bob"), named)):
                client = self.start(*command, *options)
                self.assertEqual(await client.ends(), 1)
                self.assertEqual((client.output, client.errors), (b"", f"echochat: {refuses}: {told}\n".encode()))

    def test_unusable_file(self) -> None:
        """
        A file that others can read, that is not there, or has no secret in it, is told in one line that does not have
        what is in it, before any server is asked.
        """
        for option, secret, reason in (
            ("--password-file", self.file(b"sacret", 0o644), "chmod 600"),
            ("--password-file", str(self.folder / "absent"), "No such file"),
            ("--password-file", self.file(b""), "empty"),
            ("--password-file", self.file(b"sacret\n/quit"), "one line"),
            ("--password-file", self.file(b"sacret\xff"), "UTF-8"),
            ("--token-file", self.file(b"sacret", 0o644), "chmod 600"),
            ("--token-file", self.file(b"sacret\n/quit\n"), "one word"),
            ("--token-file", self.file(b"\n"), "one word"),
            ("--token-file", self.file("säcret".encode()), "one word"),
        ):
            login = ("--login", "alice") if option == "--password-file" else ()
            result = self.refused("pub", "lobby", "x", *login, option, secret)
            self.assertEqual((result.exit_code, result.stdout), (1, ""))
            self.assertRegex(result.stderr, rf"\AError: [^\n]*{secret}[^\n]*{reason}[^\n]*\n\Z")
            self.assertNotIn("cret\n", result.stderr)
            self.assertNotIn("sacret", result.stderr)

    async def test_usage(self) -> None:
        """
        What does not go together, a password that nobody can be asked for, and one on the command line are usage
        errors; a file in the environment is not in the way of who is a guest.
        """
        for options in (
            ("--login", "alice"),
            ("--login", "no name"),
            ("--login", "alice", "--name", "bob"),
            ("--login", "alice", "--token-file", "t"),
            ("--name", "alice", "--token-file", "t"),
            ("--password-file", "p"),
            ("--login", "alice", "--password", "secret"),
        ):
            self.assertEqual(self.refused("pub", "lobby", "x", *options).exit_code, 2, options)
        client = self.start("pub", "lobby", "x", password_file="p")
        self.assertEqual(await client.ends(), 1)
        self.assertIn(b"cannot reach", client.errors)


class TerminalTests(SignInTestCase):
    """
    With a person at a terminal.
    """

    async def asked(self, *arguments: str, password: bytes = b"sec ret") -> Program:
        """
        Answer the prompt.
        """
        client = self.start(*arguments, "--login", "alice", in_terminal=True)
        await client.says(b"Password for alice: ")
        client.types(password + b"\n")
        return client

    async def test_prompt(self) -> None:
        """
        The password is asked for, and not shown.
        """
        await self.serve()
        for command in COMMANDS[:3]:
            client = await self.asked(*command)
            self.assertEqual(await client.ends(), 0, client.output)
            self.assertNotIn(b"sec", client.output)
        self.assertIn(b"hi", client.output)

    async def test_chat(self) -> None:
        """
        A chat begins when the password was accepted.
        """
        await self.serve()
        client = await self.asked("chat")
        await client.says(rb"Connected to.*>.*\x1b\[\?25h")
        client.types(b"/whoami\r")
        await client.says(rb"whoami alice password")
        client.types(b"\x04")
        self.assertEqual(await client.ends(), 0)
        self.assertNotIn(b"sec", client.output)

    async def test_named_guest(self) -> None:
        """
        A chat that would have a name as a guest does not begin, and says with which options it would.
        """
        await self.serve()
        client = self.start("chat", "--name", "bob", in_terminal=True)
        self.assertEqual(await client.ends(), 1)
        self.assertIn(b"not-logged-in: log in with --login NAME, or with --token-file FILE\r\n", client.output)

    async def test_wrong_password(self) -> None:
        """
        A wrong one is told, and ends it, in a chat too.
        """
        for command in (COMMANDS[0], COMMANDS[3]):
            await self.serve()
            client = await self.asked(*command, password=b"sacret")
            self.assertEqual(await client.ends(), 1)
            self.assertRegex(client.output, rb"echochat: 127.0.0.1:\d+: login-failed: .*\r\n\Z")

    async def test_input_is_data(self) -> None:
        """
        Where what is typed is to be published, no password is asked for in between.
        """
        client = self.start("pub", "lobby", "--login", "alice", in_terminal=True)
        self.assertEqual(await client.ends(), 2)
        self.assertIn(b"--password-file", client.output)

    async def test_interrupted(self) -> None:
        """
        Whoever does not answer the prompt has not succeeded.
        """
        client = self.start("sub", "lobby", "--login", "alice", in_terminal=True)
        await client.says(b"Password for alice: ")
        client.signal(signal.SIGINT)
        self.assertNotEqual(await client.ends(), 0)
