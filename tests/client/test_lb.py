"""
``echochat lb`` as an operator meets it: with a real balancer and real servers, and with sockets that are none.
"""

import json
import os
import re
import secrets
import signal
import socket
import tempfile
import threading
from contextlib import closing

from click.testing import Result
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.client.cli import main
from tests.client.click_runner import make_runner
from tests.client.processes import start_client, stop_program
from tests.net import authority as certificates
from tests.processes import Server, start_server
from tests.server.talking import Talker, talk_to

COMMANDS = (
    ("status",),
    ("status", "--json"),
    ("drain", "a"),
    ("drain", "a", "5"),
    ("ready", "a"),
    ("down", "a"),
    ("weight", "a", "5"),
    ("add", "a=tcp:localhost:1", "--weight", "2", "--max", "3", "--backup", "--check", "ping"),
    ("remove", "a"),
    ("kick", "127.0.0.1"),
    ("kick", "backend", "a"),
    ("reload",),
)


class BalancerTests(TestCase):
    """
    With a balancer and two servers.
    """

    timeout = 120

    def setUp(self) -> None:
        # Of a UNIX socket's path there may be 108 bytes.
        self.path = os.path.join(tempfile.gettempdir(), f"echochat-{secrets.token_hex(8)}")
        self.folder = os.path.abspath(self.mktemp())
        os.makedirs(self.folder)
        self.config = os.path.join(self.folder, "lb.toml")

    async def start(self) -> Server:
        """
        Start servers a and b, of which a has a control socket, and a balancer.
        """
        servers = [
            start_server(self, "--history", "memory:", "--control", f"unix:{self.path}-a"),
            start_server(self, "--history", "memory:"),
        ]
        self.ports = [await server.port() for server in servers]
        self.configure(f'control = "unix:{self.path}-a"\n')
        control = ("--control", f"unix:{self.path}")
        return start_server(self, "--config", self.config, *control, service="echochat-lb")

    def configure(self, of_a: str) -> None:
        """
        Write the configuration, with this for server a.
        """
        with open(self.config, "w") as file:
            file.write('check = "none"\n')
            for name, port in zip("ab", self.ports, strict=True):
                file.write(f'[backends.{name}]\nendpoint = "tcp:127.0.0.1:{port}"\n{of_a if name == "a" else ""}')

    def operate(self, *command: str, code: int = 0) -> tuple[str, str]:
        """
        Run an operator's command in this process, with the control socket in the environment.

        :return: its output and its errors.
        """
        environment = {"ECHOCHAT_LB_CONTROL": f"unix:{self.path}"}
        result = make_runner().invoke(main, ["lb", *command], prog_name="echochat", env=environment)
        self.assertEqual(result.exit_code, code, result.output)
        return result.stdout, result.stderr

    async def operate_apart(self, *command: str) -> tuple[str, str]:
        """
        The same as its user runs it, as a process; it has to be a success.
        """
        client = start_client("lb", *command, environment={"ECHOCHAT_LB_CONTROL": f"unix:{self.path}"})
        self.addCleanup(stop_program, client)
        self.assertEqual(await client.ends(), 0, client.output + client.errors)
        return client.output.decode(), client.errors.decode()

    async def test_a_day(self) -> None:
        """
        Each command with a balancer that runs: what it prints, and what becomes of the clients.
        """
        balancer = await self.start()
        port = await balancer.port()
        talkers: list[Talker] = [await talk_to(port) for _ in range(4)]
        for talker in talkers:
            self.assertEqual(await talker.ask(b"/ping"), b"/ok ping")

        output, errors = await self.operate_apart("status")
        self.assertEqual(errors, "")
        lines = output.splitlines()
        self.assertEqual([line.split()[:4] for line in lines[1:3]], [["a", "up", "2", "1"], ["b", "up", "2", "1"]])
        self.assertRegex(lines[3], r"\A2 of 2 backends serve, 4 connections, 0 waiting, up for ")
        values = json.loads(self.operate("status", "--json")[0])
        self.assertEqual((values["balancer"]["process"], values["balancer"]["active"]), (balancer.pid, 4))
        self.assertEqual([(each["name"], each["active"]) for each in values["backends"]], [("a", 2), ("b", 2)])

        output, _ = self.operate("drain", "a", "0")
        self.assertEqual(
            output, "sessions of backend a that are asked to move within 0 s: 2\na drains: it has 2 connections\n"
        )
        # Those of the server whose turn was the first and the third.
        for talker in (talkers[0], talkers[2]):
            self.assertEqual(await talker.hear(), b"/drain 0")
        output, _ = self.operate("drain", "b")
        self.assertIn("the sessions of backend b are not asked to move: it has no control setting\n", output)
        self.assertEqual(self.operate("ready", "b"), ("b is ready\n", ""))
        self.assertEqual(self.operate("down", "a"), ("a is down: it has 2 connections\n", ""))
        self.assertEqual(self.operate("weight", "b", "7"), ("b has weight 7\n", ""))
        self.assertEqual(self.operate("add", "c=tcp:127.0.0.1:1", "--backup"), ("c was added\n", ""))
        _, errors = self.operate("add", "c=tcp:127.0.0.1:1", code=1)
        self.assertEqual(errors, "echochat: there is a backend c already\n")
        _, errors = self.operate("remove", "d", code=1)
        self.assertEqual(errors, "echochat: there is no backend d; there are: a, b, c\n")
        self.assertEqual(self.operate("remove", "c"), ("c was removed: it has 0 connections\n", ""))

        self.configure("weight = 3\n")
        output, _ = self.operate("reload")
        self.assertIn("backend a: weight 1 -> 3\n", output)
        self.assertTrue(output.endswith("\nreloaded\n"), output)
        with open(self.config, "a") as file:
            file.write("what is this")
        output, errors = self.operate("reload", code=1)
        self.assertRegex(output, r"(?m)^the configuration: kept as it was: [^\n]*lb.toml is not TOML")
        self.assertNotIn("backend a", output)
        self.assertRegex(errors, r"\Aechochat: [^\n]+\n\Z")

        for talker in talkers:
            self.assertEqual(await talker.ask(b"/ping"), b"/ok ping")
        self.assertEqual(self.operate("kick", "backend", "b"), ("2 connections closed\n", ""))
        self.assertEqual(self.operate("kick", "1"), ("1 connection closed\n", ""))
        self.assertEqual(self.operate("kick", "127.0.0.1"), ("1 connection closed\n", ""))
        for talker in talkers:
            talker.end()
        self.assertEqual(await balancer.stop(), 0)
        self.assertNotIn(b"Traceback", balancer.output)
        self.assertEqual(balancer.output.count(b": killed; "), 4)

    async def test_sighup(self) -> None:
        """
        SIGHUP reads the backends again: sessions of one that is removed are asked to move, those of the others notice
        nothing; and a file that is broken changes nothing.
        """
        balancer = await self.start()
        port = await balancer.port()
        first, second = [await talk_to(port) for _ in range(2)]
        for talker in (first, second):
            self.assertEqual(await talker.ask(b"/ping"), b"/ok ping")
        with open(self.config, "w") as file:
            file.write(
                f'check = "none"\ndrain = 0\n[backends.b]\nendpoint = "tcp:127.0.0.1:{self.ports[1]}"\nmax = 7\n'
            )
        balancer.send_signal(signal.SIGHUP)
        await balancer.until(rb"the configuration has changed backend b: max 0 -> 7\n")
        # It has the times of the file before, as it was removed before they changed.
        self.assertRegex(await first.hear(), rb"\A/drain \d\Z")
        values = json.loads(self.operate("status", "--json")[0])
        described = [(each["name"], each["state"], each["active"], each["max"]) for each in values["backends"]]
        self.assertEqual(described, [("b", "up", 1, 7), ("a", "leaving", 1, 0)])
        first.end()
        await balancer.until(rb"connection 1 from [^\n]* ended")
        self.assertEqual(await second.ask(b"/ping"), b"/ok ping")
        with open(self.config, "a") as file:
            file.write("[backends.c]\n")
        balancer.send_signal(signal.SIGHUP)
        await balancer.until(rb"not reloaded, the configuration: [^\n]*\[backends.c\] has no endpoint")
        values = json.loads(self.operate("status", "--json")[0])
        self.assertEqual([(each["name"], each["active"]) for each in values["backends"]], [("b", 1)])
        second.end()
        self.assertEqual(await balancer.stop(), 0)
        self.assertNotIn(b"Traceback", balancer.output)

    async def test_file_that_is_missing(self) -> None:
        """
        A file that an endpoint names and that cannot be read is one line at the start, at ``add`` and at a reload, and
        changes nothing of what else is asked for; when it is lost afterwards the operator can do everything as before.
        """
        balancer = await self.start()
        await balancer.port()
        authority = f"{self.folder}/ca.pem"
        _, errors = self.operate("add", f"c=tls:127.0.0.1:1:ca={authority}", code=1)
        self.assertRegex(errors, rf"\Aechochat: backend c: [^\n]*{authority}[^\n]*\n\Z")
        with open(authority, "wb") as file:
            file.write(certificates.authority().pem)
        self.assertEqual(self.operate("add", f"c=tls:127.0.0.1:1:ca={authority}")[0], "c was added\n")
        os.unlink(authority)
        self.assertEqual(self.operate("drain", "c")[0], "c drains: it has 0 connections\n")
        self.assertEqual(self.operate("ready", "c")[0], "c is ready\n")
        self.assertEqual(self.operate("down", "c")[0], "c is down: it has 0 connections\n")
        before = self.described()
        self.configure("weight = 3\n")
        with open(self.config, "a") as file:
            file.write(f'[backends.d]\nendpoint = "tls:127.0.0.1:1:ca={authority}"\n')
        output, errors = self.operate("reload", code=1)
        self.assertRegex(output, rf"(?m)^the configuration: kept as it was: backend d: [^\n]*{authority}[^\n]*$")
        self.assertEqual((self.described(), errors.count("\n")), (before, 1))
        self.assertEqual(await balancer.stop(), 0)
        self.assertNotIn(b"Traceback", balancer.output)
        wrong = start_server(self, "--backend", f"d=tls:127.0.0.1:1:ca={authority}", service="echochat-lb")
        self.assertEqual(await wrong.end(), 1)
        self.assertEqual((wrong.output.count(b"\n"), b"echochat: backend d: " in wrong.output), (1, True))

    def described(self) -> list[tuple[str, str, int]]:
        """
        What the status says of each backend that only a command or a reload changes.
        """
        values = json.loads(self.operate("status", "--json")[0])
        return [(each["name"], each["state"], each["weight"]) for each in values["backends"]]

    async def test_control_socket_of_a_backend_that_is_gone(self) -> None:
        """
        A drain goes on when the backend cannot be told, and one line says why it cannot.
        """
        balancer = await self.start()
        self.configure(f'control = "unix:{self.path}-nobody"\n')
        talker = await talk_to(await balancer.port())
        self.assertEqual(await talker.ask(b"/ping"), b"/ok ping")
        self.operate("reload")
        output, _ = self.operate("drain", "a")
        why = f"not asked to move: unix:{self.path}-nobody cannot be reached: No such file or directory"
        self.assertIn(f"the sessions of backend a are {why}\n", output)
        await balancer.until(re.escape(why).encode())
        self.assertEqual(balancer.output.count(why.encode()), 1)
        values = json.loads(self.operate("status", "--json")[0])
        self.assertEqual(values["backends"][0]["state"], "draining")
        talker.end()
        self.assertEqual(await balancer.stop(), 0)


class NoBalancerTests(SynchronousTestCase):
    """
    With what is no balancer, or not one that can be reached: one line, and exit code 1.
    """

    def setUp(self) -> None:
        self.path = os.path.join(tempfile.gettempdir(), f"echochat-{secrets.token_hex(8)}")

    def operate(self, *command: str) -> Result:
        """
        Run an operator's command.
        """
        return make_runner().invoke(main, ["lb", *command, "--control", f"unix:{self.path}"], prog_name="echochat")

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

    def test_unreachable(self) -> None:
        """
        A path where nothing is, for every command; the line names it.
        """
        for command in COMMANDS:
            self.failed(self.operate(*command), f"{self.path} cannot be reached: No such file or directory")

    def test_server(self) -> None:
        """
        The control socket of a server, which is not a balancer's.
        """
        self.answering(b"/info version: 0.1.0\r\n/info process: 1\r\n/ok status 2\r\n")
        self.failed(self.operate("status"), "something else than a balancer")

    def test_harmless(self) -> None:
        """
        What a balancer says does not act on the terminal, and is not taken for markup.
        """
        backend = {
            **dict.fromkeys(("active", "connections", "failures", "max", "checked", "weight"), 1),
            **dict.fromkeys(("connections_per_second", "bytes_in_per_second", "bytes_out_per_second"), 0),
            "name": "a",
            "state": "up",
            "backup": False,
            "why": "said \x1b[2J[red]no[/red]",
        }
        balancer = {"serving": 1, "backends": 1, "active": 1, "waiting": 0, "uptime": 90_000, "shortage": None}
        lines = (f"balancer {json.dumps(balancer)}", f"backend {json.dumps(backend)}")
        self.answering("".join(f"/info {line}\r\n" for line in lines).encode() + b"/ok status 1\r\n")
        output = self.operate("status").output
        self.assertIn("said ^[[2J[red]no[/red], 1 s ago", output)
        self.assertTrue(output.endswith("up for 1 d 1 h\n"), output)

    def test_usage_in_the_words_of_the_command_line(self) -> None:
        """
        Whoever types a command is not told the protocol's.
        """
        self.answering(b"/err bad-arguments type /kick ADDRESS, /kick NUMBER or /kick backend NAME\r\n")
        told = "type echochat lb kick ADDRESS, echochat lb kick NUMBER or echochat lb kick backend NAME"
        self.failed(self.operate("kick", "zz"), told)

    def test_clients_are_refused(self) -> None:
        """
        Why clients are refused stands below the table.
        """
        balancer = {"serving": 0, "backends": 0, "active": 0, "waiting": 0, "uptime": 1, "shortage": "all \x1bgone"}
        self.answering(f"/info balancer {json.dumps(balancer)}\r\n/ok status 0\r\n".encode())
        self.assertTrue(self.operate("status").output.endswith("\nclients are refused: all ^[gone\n"))

    def test_bad_usage(self) -> None:
        """
        What is missing or makes no sense is usage, exit code 2; what would be two words is none.
        """
        for command in (
            ("drain",),
            ("drain", "a", "soon"),
            ("weight", "a"),
            ("weight", "a", "0"),
            ("add",),
            ("add", "a=b", "--check", "look"),
            ("kick",),
            ("remove",),
            ("ready", "a", "b"),
            ("nothing",),
        ):
            self.assertEqual(self.operate(*command).exit_code, 2, command)
        for name in ("a b", "", "a\r\n/down"):
            self.failed(self.operate("drain", name), "is one (word|line)")
