"""
Who is who, and what is kept from whom, on a real ``twistd``: as an operator sets it up, and as clients meet it.
"""

import json
import os
import re
import secrets
import shlex
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from echochat.client.operator import OperationFailed, ask
from echochat.identity.account_edits import set_account
from echochat.identity.hashing import HASHERS, WAITING
from echochat.identity.passwords import hash_password
from tests.identity.doubles import cheap_hash
from tests.net.authority import SERVERS, authority, dns, make
from tests.processes import TWIST, TWISTD, Server, start_program, start_server
from tests.server.talking import Talker, talk_to

reactor: Any = _reactor

ECHOCHAT = (sys.executable, "-c", "from echochat.client.cli import main; main(prog_name='echochat')")
"""
``echochat`` of the interpreter that runs the tests.
"""

_ROOT = Path(__file__).parents[2]


class SecurityTestCase(TestCase):
    """
    Tests in a folder of their own.
    """

    timeout = 150

    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        os.makedirs(self.folder)
        # Of a UNIX socket's path there may be 108 bytes.
        self.control = os.path.join(tempfile.gettempdir(), f"echochat-{secrets.token_hex(8)}")
        self.addCleanup(self._remove_control)
        self.talkers: list[Talker] = []

    async def run_program(self, *command: str, stdin: bytes = b"", code: int = 0) -> bytes:
        """
        Run a program to its end.

        :return: its output.
        """
        program = start_program(self, *command, directory=self.folder)
        program.write(stdin)
        program.close_input()
        self.assertEqual(await program.end(), code, program.output)
        return program.output

    async def certs(self, *arguments: str) -> str:
        """
        Have ``echochat certs`` make certificates.

        :return: their folder.
        """
        await self.run_program(*ECHOCHAT, "certs", *arguments)
        return os.path.join(self.folder, "certs")

    def write(self, name: str, content: str) -> str:
        """
        Make a file of the operator's, or change it.
        """
        path = os.path.join(self.folder, name)
        # As a careful operator does: the server may read at any moment.
        with open(os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(content)
        os.replace(f"{path}.new", path)
        return path

    def start(self, *options: str, program: Sequence[str] = TWISTD) -> Server:
        """
        Start a server on a free port.
        """
        return start_server(
            self, "--history", "memory:", "--drain", "0", *options, program=program, directory=self.folder
        )

    async def talk(self, port: int, certificates: str | None = None, client: str | None = None) -> Talker:
        """
        Connect; it is closed when the test ends.
        """
        talker = await talk_to(port, certificates, client)
        self.talkers.append(talker)
        return talker

    def operate(self, command: str) -> "Deferred[tuple[list[str], str]]":
        """
        Give the server an operator's command, as ``echochat`` does.
        """
        return deferToThread(ask, self.control, command)

    async def leave(self, server: Server) -> None:
        """
        End: everybody goes, and the server stops in order, with no traceback in its log.
        """
        for talker in self.talkers:
            talker.end()
        self.assertEqual(await server.stop(), 0)
        self.assertNotIn(b"Traceback", server.output)

    def _remove_control(self) -> None:
        for path in (self.control, f"{self.control}.lock"):
            if os.path.lexists(path):
                os.unlink(path)


class WhoIsWhoTests(SecurityTestCase):
    """
    Accounts, tokens and certificates, from the commands that make them to ``/whoami``.
    """

    async def test_accounts_tokens_certificates(self) -> None:
        """
        A password and a token are taken on loopback and over TLS, and a client certificate is a login by itself;
        without any of them nothing is done but to log in.
        """
        certificates = await self.certs("--client", "alice")
        await self.run_program(*ECHOCHAT, "passwd", "accounts", "Bob", stdin=b"correct horse\n")
        await self.run_program(*ECHOCHAT, "token", "--new-key", "token.key")
        token = (await self.run_program(*ECHOCHAT, "token", "token.key", "carol")).strip()
        tls = "tls:0:cert=certs/server.pem:key=certs/server.key:clientCA=certs/ca.pem:client=optional"
        server = self.start(
            *("--listen", "tcp:0:interface=127.0.0.1", "--listen", f"{tls}:interface=127.0.0.1"),
            *("--auth", "argon2:accounts", "--tokens", "token.key"),
        )
        plain, encrypted = await server.ports(2)
        for port, folder in ((plain, None), (encrypted, certificates)):
            guest = await self.talk(port, folder)
            self.assertIn(b"/err not-logged-in ", await guest.ask(b"hello"))
            bob = await self.talk(port, folder)
            self.assertEqual(await bob.ask(b"/login bob correct horse"), b"/ok login Bob")
            self.assertEqual(await bob.ask(b"/whoami"), b"/ok whoami Bob password")
            self.assertEqual(await bob.ask(b"hello"), b"HELLO")
            carol = await self.talk(port, folder)
            self.assertEqual(await carol.ask(b"/token " + token), b"/ok token carol")
            self.assertEqual(await carol.ask(b"/whoami"), b"/ok whoami carol token")
        alice = await self.talk(encrypted, certificates, "alice")
        self.assertEqual(await alice.ask(b"/whoami"), b"/ok whoami alice certificate")
        self.assertEqual(await alice.ask(b"hello"), b"HELLO")
        await self.leave(server)

    async def test_documented_walk(self) -> None:
        """
        The first commands of ``docs/tls.rst``, from nothing to an encrypted chat with a client certificate.
        """
        text = (_ROOT / "docs" / "tls.rst").read_text().split("::\n\n", 1)[1]
        block = re.match(r"(?:    .*\n)+", text)
        assert block is not None
        await self._walk([line.strip() for line in block[0].splitlines()])

    async def test_readme(self) -> None:
        """
        The README's section likewise.
        """
        from_there = (_ROOT / "README.rst").read_text().split("\nEncrypted, with certificates\n----", 1)[1]
        section = re.split(r"\n\n[^\n]+\n-{3,}\n", from_there)[0]
        await self._walk(re.findall(r"^    \$ (.*)$", section.replace("\\\n", ""), re.MULTILINE))

    async def _walk(self, lines: Sequence[str]) -> None:
        """
        Do what a newcomer is told to, in at most six commands, as they stand there: but the port is a free one.
        """
        self.assertLessEqual(len(lines), 6)
        commands = [shlex.split(line) for line in lines]
        server: Server | None = None
        port = 0
        for words in commands:
            if words[0] == ".":
                continue  # the environment that the tests are in
            if words[0] == "twistd":
                place = words.index("echochat")
                self.assertEqual(words[1], "-n")
                options = [
                    re.sub("^tls:7443(:interface=[0-9.]+)?", "tls:0:interface=127.0.0.1", word) for word in words
                ]
                self.assertNotEqual(options, words)
                server = start_server(self, *options[place + 1 :], directory=self.folder)
                port = await server.port()
            elif words[1] == "chat":
                where = words[-1].removesuffix(":7443")
                self.assertEqual(where, "localhost")
                said = b"/whoami\nhello\nCLOSE SOCKET\n"
                output = await self.run_program(*ECHOCHAT, *words[1:-1], f"{where}:{port}", stdin=said)
                self.assertEqual(output, b"/ok whoami alice certificate\nHELLO\n")
            else:
                self.assertEqual(words[0], "echochat")
                await self.run_program(*ECHOCHAT, *words[1:])
        self.assertEqual(commands[-1][1], "chat")
        assert server is not None
        # Whoever has no certificate gets to nothing.
        without = ("chat", "--ca", "certs/ca.pem", f"localhost:{port}")
        output = await self.run_program(*ECHOCHAT, *without, stdin=b"hello\n", code=1)
        self.assertNotIn(b"HELLO", output)
        self.assertNotIn(b"Traceback", output)
        await self.leave(server)


class ReloadTests(SecurityTestCase):
    """
    Reloading while people talk.
    """

    async def test_under_load(self) -> None:
        """
        Twenty reloads, by signal and by the operator's command, eight of them with a broken file: nobody is
        disconnected, nothing that was said is unanswered, new handshakes use the certificate of the last good reload,
        and what was broken is named.
        """
        certificates = os.path.join(self.folder, "certs")
        os.mkdir(certificates)
        self.write("certs/ca.pem", authority().pem.decode())
        self.exchange_certificate()
        accounts = {"alice": cheap_hash(b"right"), "bob": cheap_hash(b"right")}
        good = {
            "accounts": "".join(f"{name} {phc}\n" for name, phc in accounts.items()),
            "rules": '[[rule]]\nwho = "user"\nmay = ["read", "publish"]\ntopics = "*"\n',
            "config": "idle = 3600\nstall = 20\n",
        }
        broken = {
            "accounts": "alice is here\n",
            "rules": '[[rule]]\nwho = "user"\nmay = "fly"\n',
            "config": "idle = 'x'",
        }
        for name, content in good.items():
            self.write(name, content)
        server = self.start(
            *("--listen", "tcp:0:interface=127.0.0.1"),
            *("--listen", "tls:0:interface=127.0.0.1:cert=certs/server.pem:key=certs/server.key"),
            *(
                "--auth",
                "argon2:accounts",
                "--rules",
                "rules",
                "--config",
                "config",
                "--control",
                f"unix:{self.control}",
            ),
        )
        plain, encrypted = await server.ports(2)
        everybody = [await self.talk(*where) for where in ((plain,), (encrypted, certificates)) for _ in range(10)]
        self.assertEqual(
            await gatherResults([each.ask(b"/login alice right") for each in everybody]),
            [b"/ok login alice"] * len(everybody),
        )
        talking = True
        asked = [0] * len(everybody)

        async def go_on(number: int) -> None:
            while talking:
                asked[number] += 2
                if await everybody[number].ask(b"hello") != b"HELLO":
                    raise AssertionError("not an echo")
                answer = await everybody[number].ask(b"/pub t%d x" % number)
                if not answer.startswith(b"/ok pub t"):
                    raise AssertionError(answer)

        load = gatherResults([Deferred.fromCoroutine(go_on(number)) for number in range(len(everybody))], True)
        expected = await self._shown(encrypted, certificates)
        kept = 0
        for turn in range(20):
            breaks = ("certificate", "accounts", "rules", "config")[turn // 2 % 4] if turn % 5 in (2, 4) else None
            self.exchange_certificate()
            if breaks == "certificate":
                self.write("certs/server.pem", Path(certificates, "server.pem").read_text()[:-60])
            elif breaks is not None:
                self.write(breaks, broken[breaks])
            by_signal = turn % 2 == 0
            if by_signal:
                server.send_signal(signal.SIGHUP)
                done = server.output.count(b"reloaded, the certificates")
                await server.until(rb"reloaded, the certificates", done + 1)
            else:
                result = await self._reload()
                self.assertEqual(result is not None, breaks is not None, result)
            if breaks is not None:
                kept += 1
                await server.until(rb"not reloaded, [^\n]*" + breaks.encode(), 1)
                if breaks in good:
                    self.write(breaks, good[breaks])
            shown = await self._shown(encrypted, certificates)
            if breaks == "certificate":
                self.assertEqual(shown, expected, "a broken certificate replaced a good one")
            else:
                self.assertEqual(shown, self.serial_number, "the new certificate is not used")
                expected = shown
        talking = False
        await load
        self.assertEqual(kept, 8)
        self.assertEqual([each.lost for each in everybody], [False] * len(everybody))
        self.assertEqual([each.answered - 1 for each in everybody], asked)
        self.assertGreater(min(asked), 20)
        self.assertEqual(len(re.findall(rb"not reloaded, ", server.output)), 8)
        await self.leave(server)

    def exchange_certificate(self) -> None:
        """
        The operator has a new certificate for the server.
        """
        pair = make("localhost", authority(), alternatives=[dns("localhost")], purpose=SERVERS)
        self.write("certs/server.key", pair.key_pem.decode())
        self.write("certs/server.pem", pair.pem.decode())
        self.serial_number = pair.certificate.serial_number

    async def _reload(self) -> str | None:
        """
        Reload by command.

        :return: why not everything was.
        """
        try:
            await self.operate("/reload")
        except OperationFailed as failed:
            return str(failed.args)
        return None

    async def _shown(self, port: int, certificates: str) -> int:
        """
        The serial number of what the server shows in a new handshake.
        """
        talker = await self.talk(port, certificates)
        await talker.ask(b"/ping")
        number = talker.certificate().get_serial_number()
        talker.end()
        return number


class FloodTests(SecurityTestCase):
    """
    Five hundred who log in at once.
    """

    async def test_others_go_on(self) -> None:
        """
        While 500 log in at once, another connection is answered all the time, and nearly as fast as before. Each of
        the 500 is answered: as many get in as the queue of the hashes holds, the others are told to slow down.
        """
        path = os.path.join(self.folder, "accounts")
        set_account(path, "alice", hash_password(b"right"), None)
        server = self.start("--auth", "argon2:accounts", "--guests", "echo", "--control", f"unix:{self.control}")
        port = await server.port()
        flood = start_program(self, sys.executable, "-m", "bench.flood", str(port), "500")
        await flood.until(b"connected")
        before = await deferToThread(_echo_times, port, lambda count: count >= 500)
        flood.write(b"/login alice right\r\n")
        during = await deferToThread(_echo_times, port, lambda count: b"admitted" in flood.output)
        flood.close_input()
        self.assertEqual(await flood.end(), 0, flood.output)
        answers = re.search(rb"admitted (\d+), told to slow down (\d+)", flood.output)
        assert answers is not None
        admitted, slowed = map(int, answers.groups())
        p99_before, p99_during = (statistics.quantiles(times, n=100)[98] for times in (before, during))
        print(
            f"500 logins at once: {admitted} admitted in {sum(during):.1f} s, {slowed} told to slow down; echo p99 "
            f"{p99_before * 1e3:.2f} ms before, {p99_during * 1e3:.2f} ms during, longest {max(during) * 1e3:.1f} ms"
        )
        self.assertEqual(admitted + slowed, 500)
        self.assertGreaterEqual(admitted, HASHERS + WAITING)
        self.assertGreater(slowed, 0, "the queue is not bounded")
        # What it really is, the benchmarks say: this machine may be busy with anything.
        self.assertLess(p99_during, max(20 * p99_before, 1.0))
        items, _ = await self.operate("/status")
        self.assertIn("connections in all: 502", items)
        await self.leave(server)


def _echo_times(port: int, enough: Callable[[int], bool]) -> list[float]:
    """
    Send messages one after the other, on a connection of their own.

    :return: how long each answer took.
    """
    times: list[float] = []
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        while not enough(len(times)):
            began = time.perf_counter()
            connection.sendall(b"hello\n")
            answer = b""
            while not answer.endswith(b"\n"):
                data = connection.recv(4096)
                if not data:
                    raise AssertionError("the server has closed")
                answer += data
            times.append(time.perf_counter() - began)
            if answer != b"HELLO\n":
                raise AssertionError(answer)
            # Without a pause it would be a flood of its own, and take the processors from the hashes.
            time.sleep(0.002)
    return times


BREAKING = (
    "from echochat.identity.checker import AccountsChecker\n"
    "check = AccountsChecker._check\n"
    "async def break_down(self, name, password):\n"
    "    if name == 'broken':\n"
    "        raise RuntimeError('a bug that the test made')\n"
    "    return await check(self, name, password)\n"
    "AccountsChecker._check = break_down\n"
)
"""
Has checking a password for ``broken`` end in a traceback, with the password in its frames.
"""


_PORT = rb"(?:echochat chat|FILE\]) 127\.0\.0\.1:(\d+)(?=\n|\", \"log_logger)"
"""
Where the server listens, in both logs.
"""


class CanaryTests(SecurityTestCase):
    """
    Secrets are nowhere where others could see them.
    """

    def setUp(self) -> None:
        super().setUp()
        self.password = f"pass{secrets.token_hex(12)}"
        self.wrong = f"wrong{secrets.token_hex(12)}"
        self.said: list[bytes] = []

    async def test_twistd(self) -> None:
        """
        Not in the text log of ``twistd``.
        """
        await self._search(TWISTD)

    async def test_twist_json(self) -> None:
        """
        Nor in the JSON log of ``twist``, which has all fields of all events, and frames of failures.
        """
        server = await self._search(TWIST, "--log-format=json")
        events = [json.loads(line) for line in re.findall(rb"^\x1e?(\{.*\})$", server.output, re.MULTILINE)]
        self.assertGreater(len(events), 10)

    async def _search(self, program: Sequence[str], *program_options: str) -> Server:
        """
        Send secrets everywhere, and look for them in everything that is said.
        """
        certificates = await self.certs("--client", "alice")
        self.said.append(
            await self.run_program(*ECHOCHAT, "passwd", "accounts", "bob", stdin=self.password.encode() + b"\n")
        )
        self.said.append(await self.run_program(*ECHOCHAT, "token", "--new-key", "token.key"))
        good = (await self.run_program(*ECHOCHAT, "token", "token.key", "carol")).strip()
        forged = good[:-8] + b"AAAAAAAA"
        tls = (
            "tls:0:interface=127.0.0.1:cert=certs/server.pem:key=certs/server.key:clientCA=certs/ca.pem:client=optional"
        )
        command = [*program]
        command[-1] = BREAKING + command[-1]
        server = start_server(
            self,
            *("--history", "memory:", "--drain", "0", "--control", f"unix:{self.control}"),
            *("--listen", "tcp:0:interface=127.0.0.1", "--listen", tls),
            *("--auth", "argon2:accounts", "--tokens", "token.key", "--guests", "yes"),
            program=command,
            program_options=program_options or None,
            directory=self.folder,
        )
        await server.until(_PORT, 2)
        plain, encrypted = map(int, re.findall(_PORT, server.output))
        self.canaries = [
            *(self.password.encode(), self.wrong.encode(), good.split(b".")[1], good.split(b".")[2], b"AAAAAAAA"),
            Path(self.folder, "token.key").read_bytes().strip(),
            *(Path(certificates, name).read_bytes().split(b"\n")[1] for name in ("server.key", "alice.key", "ca.key")),
            re.findall(rb"\$[^$\s]+", Path(self.folder, "accounts").read_bytes())[-1],
        ]
        secret, wrong = self.password.encode(), self.wrong.encode()
        lines = (
            b"/login bob " + wrong,
            b"/login bob " + secret,  # too early
            b"/login " + secret,
            b"/login " + secret + b" ",
            b"/login b/b " + secret,
            b"/login#! bob " + secret,
            b"/login\xff bob " + secret,
            b"/login bob \xff" + secret,
            b"/logn bob " + secret,
            b"/login" + secret,
            b"/login#" + wrong + b"! bob",
            b"/whoami " + secret,
            b"/nick " + secret + b" x",
            b"/sub " + secret + b" " + secret + b"=" + secret,
            b"/help " + secret,
            b"/token " + forged,
            b"/token " + good + b"x",
            b"/token " + secret,
        )
        self.said.append(await (await self.talk(plain)).ask(b"/login broken " + secret))
        self.assertIn(b"/err unavailable ", self.said[-1])
        await server.until(b"a login could not be checked")
        for line in lines:
            talker = await self.talk(plain)
            self.said.append(await talker.ask(line))
        broken = await self.talk(plain)
        broken.say(b"/login bob " + secret * 4000)  # longer than a line
        self.said.append(await broken.hear())
        gone = await self.talk(plain)
        gone.say(b"/login bob " + secret)
        gone.transport.abortConnection()
        alice = await self.talk(encrypted, certificates, "alice")
        self.said.append(await alice.ask(b"/whoami"))
        for number, line in enumerate((b"/login bob " + secret, b"/token " + good)):
            talker = await self.talk(encrypted, certificates)
            answer = await talker.ask(line)
            if number == 0 and answer.startswith(b"/err slow-down"):
                # The failures before: wait as long as one is told.
                seconds = re.search(rb"(\d+) seconds", answer)
                assert seconds is not None
                await _later(float(seconds[1]))
                answer = await talker.ask(line)
            self.assertRegex(answer, rb"\A/ok (login bob|token carol)\Z")
            self.said += [answer, await talker.ask(b"/whoami")]
        # A password in the wrong place, and a key that is cut off.
        for name, content in (
            ("accounts", f"bob {self.password}\n"),
            ("accounts", f"{self.password}\n"),
            ("token.key", self.canaries[5].decode()[:20] + "\n"),
            ("certs/server.key", Path(certificates, "server.key").read_text()[:-40]),
        ):
            kept = Path(self.folder, name).read_text()
            self.write(name, content)
            try:
                await self.operate("/reload")
            except OperationFailed as failed:
                self.said.append(repr(failed.args).encode())
            else:
                self.fail(f"{name} is not broken")
            self.write(name, kept)
        self.assertIn(b"kept as it was", self.said[-1])
        self.said.append(await self.run_program(*ECHOCHAT, "status", "--control", self.control))
        self.said.append(repr(await self.operate("/kick bob")).encode())
        self.said += [Path(f"/proc/{server.pid}/{what}").read_bytes() for what in ("cmdline", "environ")]
        for talker in self.talkers:
            talker.end()
        self.assertEqual(await server.stop(), 0)
        # The one that was made.
        self.assertIn(b"RuntimeError", server.output)
        for place in (*self.said, server.output):
            self.assertEqual([canary for canary in self.canaries if canary in place], [], place)
        return server


def _later(seconds: float) -> "Deferred[None]":
    """
    For a server's own delay, of real seconds.
    """
    waiting: Deferred[None] = Deferred()
    reactor.callLater(seconds, waiting.callback, None)
    return waiting
