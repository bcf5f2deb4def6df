"""
``echochat status``, ``reload``, ``kick``, ``ban``, ``unban``, ``move`` and ``drain`` as an operator meets them: with a
real server, and with sockets that are none.
"""

import json
import os
import secrets
import socket
import stat
import tempfile
import threading
from contextlib import closing

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat import __version__
from echochat.client import operator
from echochat.client.cli import main
from tests.client.click_runner import make_runner
from tests.client.processes import start_client, stop_program
from tests.processes import Server, start_server
from tests.server.talking import Talker, talk_to

COMMANDS = (
    ("status",),
    ("status", "--json"),
    ("reload",),
    ("kick", "alice"),
    ("ban", "alice"),
    ("ban", "alice", "60"),
    ("unban", "alice"),
    ("move", "5"),
    ("move", "5", "--count", "3"),
    ("drain",),
)


class OperatorTests(TestCase):
    """
    With a server.
    """

    timeout = 120

    def setUp(self) -> None:
        # Of a UNIX socket's path there may be 108 bytes.
        self.path = os.path.join(tempfile.gettempdir(), f"echochat-{secrets.token_hex(8)}")
        self.folder = os.path.abspath(self.mktemp())
        os.makedirs(self.folder)

    def start(self, *options: str) -> Server:
        """
        Start a server that has a control socket.
        """
        control = ("--control", f"unix:{self.path}")
        return start_server(self, "--history", "memory:", *control, *options, directory=self.folder)

    def operate(self, *command: str, code: int = 0) -> tuple[str, str]:
        """
        Run an operator's command in this process, with the control socket in the environment.

        :return: its output and its errors.
        """
        environment = {"ECHOCHAT_CONTROL": f"unix:{self.path}"}
        result = make_runner().invoke(main, [*command], prog_name="echochat", env=environment)
        self.assertEqual(result.exit_code, code, result.output)
        return result.stdout, result.stderr

    async def operate_apart(self, *command: str) -> tuple[str, str]:
        """
        The same as its user runs it, as a process; it has to be a success.
        """
        client = start_client(*command, environment={"ECHOCHAT_CONTROL": f"unix:{self.path}"})
        self.addCleanup(stop_program, client)
        self.assertEqual(await client.ends(), 0, client.output + client.errors)
        return client.output.decode(), client.errors.decode()

    async def talk(self, port: int, *lines: bytes) -> Talker:
        """
        A client who says something.
        """
        talker = await talk_to(port)
        for line in lines:
            self.assertRegex(await talker.ask(line), rb"\A/ok ")
        return talker

    async def test_a_day(self) -> None:
        """
        Each command with a server that runs: what it prints, and what becomes of the clients.
        """
        rules = os.path.join(self.folder, "rules")
        with open(rules, "w") as file:
            file.write('[[rule]]\nwho = "*"\nmay = ["read", "publish"]\ntopics = "*"\n')
        server = self.start("--rules", "rules", "--drain", "0")
        port = await server.port()
        mallory = await self.talk(port, b"/nick mallory", b"/pub t x")
        alice = await self.talk(port, b"/nick alice")

        output, errors = await self.operate_apart("status")
        self.assertEqual(errors, "")
        shown = dict(line.split("  ", 1) for line in output.splitlines())
        shown = {name.strip(): value.strip() for name, value in shown.items()}
        self.assertEqual(shown["version"], __version__)
        self.assertEqual((shown["connections"], shown["publishes"], shown["history"]), ("2", "1", "available"))
        values = json.loads(self.operate("status", "--json")[0])
        self.assertEqual((values["connections"], values["process"], values["history"]), (2, server.pid, "available"))
        self.assertEqual(set(values), set(shown))

        output, _ = self.operate("reload")
        self.assertIn("the access rules: reloaded\n", output)
        self.assertTrue(output.endswith("\nreloaded\n"))
        with open(rules, "a") as file:
            file.write("[[rule]]\nwho = 1\n")
        output, errors = self.operate("reload", code=1)
        self.assertRegex(output, r"\nthe access rules: kept as it was: [^\n]*rules:5: [^\n]+\n")
        self.assertRegex(errors, r"\Aechochat: [^\n]+\n\Z")
        self.assertRegex(await alice.ask(b"/pub t x"), rb"\A/ok pub t 2\Z")

        self.assertEqual(self.operate("kick", "nobody"), ("0 connections closed\n", ""))
        self.assertEqual(self.operate("kick", "Mallory"), ("1 connection closed\n", ""))
        self.assertRegex(await mallory.hear(), rb"\A/bye (banned|restarted) ")
        mallory = await self.talk(port, b"/nick mallory")
        self.assertEqual(self.operate("ban", "mallory", "3600"), ("1 connection closed\n", ""))
        self.assertRegex(await mallory.hear(), rb"\A/bye banned ")
        again = await self.talk(port)
        self.assertRegex(await again.ask(b"/nick MALLORY"), rb"\A/err name-taken ")
        self.assertEqual(self.operate("unban", "mallory"), ("unbanned\n", ""))
        self.assertEqual(await again.ask(b"/nick mallory"), b"/ok nick mallory")
        output, errors = self.operate("unban", "mallory", code=1)
        self.assertEqual((output, errors), ("", "echochat: that is not banned\n"))

        self.assertEqual(self.operate("ban", "127.0.0.1"), ("2 connections closed\n", ""))
        refused = await talk_to(port)
        self.assertRegex(await refused.hear(), rb"\A/bye banned ")
        self.assertEqual(self.operate("unban", "127.0.0.1"), ("unbanned\n", ""))
        last = await self.talk(port, b"/ping")

        self.assertEqual(self.operate("move", "--count", "0", "9"), ("0 clients will be asked\n", ""))
        self.assertEqual(self.operate("move", "0"), ("1 client will be asked\n", ""))
        self.assertEqual(await last.hear(), b"/drain 0")
        self.assertEqual(await last.ask(b"/ping"), b"/ok ping")

        self.assertEqual(self.operate("drain"), ("draining\n", ""))
        self.assertRegex(await last.hear(), rb"\A/bye draining ")
        for talker in (mallory, alice, again, refused, last):
            talker.end()
        self.assertEqual(await server.end(), 0)
        self.assertNotIn(b"Traceback", server.output)
        self.assertFalse(os.path.exists(self.path))

    async def test_drain_without_clients(self) -> None:
        """
        An operator is answered even when there is nothing to wait for, and the server is gone at once.
        """
        server = self.start()
        await server.port()
        self.assertEqual(self.operate("drain"), ("draining\n", ""))
        self.assertEqual(await server.end(), 0)

    async def test_only_the_owner_may_open_it(self) -> None:
        """
        The socket is its owner's, whatever the mask; and one that a killed server has left is in nobody's way.
        """
        server = self.start()
        await server.port()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        await server.stop(9)
        self.assertTrue(os.path.exists(self.path))
        _, errors = self.operate("status", code=1)
        self.assertRegex(errors, r"\Aechochat: [^\n]*Connection refused[^\n]*\n\Z")
        server = self.start()
        await server.port()
        self.operate("status")
        self.assertEqual(await server.stop(), 0)


class NoServerTests(SynchronousTestCase):
    """
    With what is no server, or not one that can be reached: one line, and exit code 1.
    """

    def setUp(self) -> None:
        self.path = os.path.join(tempfile.gettempdir(), f"echochat-{secrets.token_hex(8)}")

    def operate(self, *command: str, control: str | None = None) -> Result:
        """
        Run an operator's command.
        """
        return make_runner().invoke(main, [*command, "--control", control or f"unix:{self.path}"], prog_name="echochat")

    def failed(self, result: Result, why: str) -> None:
        """
        It failed, in one line that says why.
        """
        self.assertEqual(result.exit_code, 1, result.output)
        self.assertRegex(result.stderr, rf"\Aechochat: [^\n]*{why}[^\n]*\n\Z")
        self.assertEqual(result.stdout, "")

    def answering(self, answer: bytes) -> None:
        """
        Something at the socket that says this to whoever comes, and closes.
        """
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(self.path)
        self.addCleanup(os.unlink, self.path)
        listening.listen()

        def serve() -> None:
            with closing(listening), closing(listening.accept()[0]) as connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join)

    def test_wrong_path(self) -> None:
        """
        A path where nothing is, for every command; the line names it.
        """
        for command in COMMANDS:
            why = rf"{self.path} cannot be reached: No such file or directory: is it running\?"
            self.failed(self.operate(*command), why)

    def test_no_socket(self) -> None:
        """
        A path where something else is, or that can be none.
        """
        folder = self.mktemp()
        os.makedirs(folder)
        self.failed(self.operate("status", control=f"unix:{os.path.abspath(folder)}"), "cannot be reached: ")
        self.failed(self.operate("status", control="unix:/" + "x" * 200), "cannot be reached: ")

    def test_closed_without_an_answer(self) -> None:
        """
        A server that goes away, in the middle of an answer even.
        """
        for answer in (b"", b"/info connections: 1\r\n", b"/ok stat"):
            with self.subTest(answer=answer):
                self.answering(answer)
                result = self.operate("status")
                self.assertEqual(result.exit_code, 1)
                self.assertIn("closed without an answer", result.stderr)
                self.doCleanups()

    def test_another_service(self) -> None:
        """
        A socket where another protocol is spoken.
        """
        self.answering(b"HTTP/1.1 400 Bad Request\r\n\r\n/nothing\r\n\xff\xff\r\n")
        self.failed(self.operate("kick", "alice"), "closed without an answer")

    def test_line_port(self) -> None:
        """
        A socket of the server where clients come, and not operators.
        """
        self.answering(b"/err unknown-command there is no such command: /help lists them\r\n")
        self.failed(self.operate("status"), "there is no such command")

    def test_refusal_cannot_act(self) -> None:
        """
        What is told of the answer does not act on the terminal.
        """
        self.answering(b"/err denied \x1b[2J\r\n")
        self.failed(self.operate("kick", "alice"), r"\^\[\[2J")

    def test_items_cannot_act(self) -> None:
        """
        ... nor what comes before it, with a refusal or without, nor a value of the status.
        """
        item = b"/info a: \x1b[2J\r\n"
        for answer, command in (
            (b"/err unavailable 1 of 1 kept\r\n", ("reload",)),
            (b"/ok reload 1\r\n", ("reload",)),
            (b"/ok status 1\r\n", ("status",)),
        ):
            self.answering(item + answer)
            shown = self.operate(*command).stdout
            self.assertIn("^[[2J", shown)
            self.assertNotIn("\x1b", shown)
            self.doCleanups()

    def test_usage_in_the_words_of_the_command_line(self) -> None:
        """
        Whoever types a command is not told the protocol's.
        """
        self.answering(b"/err bad-arguments type /kick WHO; WHO is a name or an address\r\n")
        self.failed(self.operate("kick", "!"), "type echochat kick WHO; WHO is a name or an address")

    def test_silence(self) -> None:
        """
        A server that does not answer is not waited for without end.
        """
        self.patch(operator, "TIMEOUT", 0.05)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(listening.close)
        listening.bind(self.path)
        self.addCleanup(os.unlink, self.path)
        listening.listen()
        self.failed(self.operate("status"), "did not answer within 0.05 seconds")

    def test_bad_usage(self) -> None:
        """
        What is missing or makes no sense is usage, exit code 2, before any server is asked.
        """
        for command in (
            ("kick",),
            ("ban",),
            ("ban", "alice", "never"),
            ("ban", "alice", "0"),
            ("unban",),
            ("move",),
            ("move", "soon"),
            ("move", "-1"),
            ("move", "5", "--count", "x"),
            ("drain", "5"),
        ):
            self.assertEqual(self.operate(*command).exit_code, 2, command)
        result = CliRunner(env={"ECHOCHAT_CONTROL": ""}).invoke(main, ["status"], prog_name="echochat")
        self.assertEqual(result.exit_code, 2)
        self.assertIn("--control", result.output)

    def test_line_breaks(self) -> None:
        """
        What would be two commands is none.
        """
        result = self.operate("kick", "alice\r\n/drain")
        self.failed(result, "a command is one line")

    def test_status_is_shown_as_it_is(self) -> None:
        """
        Whatever a value says, it is neither cut nor taken for markup.
        """
        value = "[red]the disk is full[/red] " + "x" * 200
        self.answering(b"/info connections: 1\r\n/info history: %s\r\n/ok status 2\r\n" % value.encode())
        self.assertEqual(self.operate("status").output, f"connections  1\nhistory      {value}\n")
