"""
Tests for :mod:`echochat.tap.server`: what can be written after ``echochat``, and what comes of it.
"""

import contextlib
import io
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat import __version__
from echochat.server.settings import SETTINGS, ServerSettings
from echochat.tap.server import Options
from tests.net.peers import Peer
from tests.processes import TWIST, TWISTD, Server, reactor, start_server

TWISTD_IN_FRONT = (*TWISTD, "-n", "echochat")
TWIST_AS_TEXT = (*TWIST, "--log-format=text", "echochat")

Result = tuple[str, list[str], int, list[str]]
"""
What was said and complained of, the exit code, and the files that were left.
"""


def client(port: int) -> Peer:
    """
    A client of the server on this port.
    """
    return Peer(socket.create_connection(("127.0.0.1", port), timeout=20))


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

    async def test_port_in_use(self) -> None:
        """
        A port that another process has, with its endpoint and the reason; nothing is left, no pidfile either.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            told = f"echochat: cannot listen on {endpoint}: Address already in use"
            await self.assert_one_line(told, "--listen", "tcp:0:interface=127.0.0.1", "--listen", endpoint)

    async def test_version(self) -> None:
        """
        The version is said and nothing is started.
        """
        for result in await self.run_both("--version"):
            self.assertEqual(result, (f"echochat {__version__}\n", [], 0, []))


class RunningTests(TestCase):
    """
    A server as people start it.
    """

    async def assert_serves(self, server: Server) -> None:
        """
        It echoes, delivers after a half-close, serves many, and stops as it should.
        """
        port = await server.port()
        peers = [client(port) for _ in range(30)]
        for number, peer in enumerate(peers):
            await peer.send(b"hello %d\r\n" % number)
        for number, peer in enumerate(peers):
            self.assertEqual(await peer.read(8 + len(str(number))), b"HELLO %d\r\n" % number)
        lines = b"x" * 1_000 + b"\n"
        await peers[0].send(lines * 50)
        peers[0].finish()
        self.assertEqual(await peers[0].read_to_end(), lines.upper() * 50)
        for peer in peers:
            peer.close()
        self.assertEqual(await server.stop(), 0)
        self.assertNotIn(b"Traceback", server.output)

    async def test_any_reactor(self) -> None:
        """
        It runs on whichever reactor ``twistd`` is told to use.
        """
        kinds = ("epoll", "poll", "select", "asyncio")
        servers = [start_server(self, program_options=("-n", "--pidfile=", f"--reactor={kind}")) for kind in kinds]
        for kind, server in zip(kinds, servers, strict=True):
            await self.assert_serves(server)
            self.assertIn(f"{kind}reactor".encode(), server.output)

    async def test_any_reactor_of_twist(self) -> None:
        """
        ... or ``twist``.
        """
        servers = [
            start_server(self, program=TWIST, program_options=("--log-format=text", f"--reactor={kind}"))
            for kind in ("epoll", "asyncio")
        ]
        for server in servers:
            await self.assert_serves(server)

    async def test_daemon(self) -> None:
        """
        As a daemon it writes its pid and its log, serves, and is gone without a trace but the log when it is stopped.
        """
        folder = self.mktemp()
        os.makedirs(folder)
        arguments = [*TWISTD[1:], "--pidfile=here.pid", "--logfile=here.log", "echochat"]
        arguments += ["--history", "memory:", "--listen", "tcp:0:interface=127.0.0.1"]
        result = await getProcessOutputAndValue(TWISTD[0], arguments, os.environ, folder)
        self.assertEqual(result, (b"", b"", 0))
        with open(f"{folder}/here.pid") as file:
            pid = int(file.read())
        self.addCleanup(_kill, pid)
        with open(f"{folder}/here.log") as file:
            log = file.read()
        port = int(log.partition("listening on 127.0.0.1 port ")[2].partition(":")[0])
        peer = client(port)
        await peer.send(b"hello\r\n")
        self.assertEqual(await peer.read(7), b"HELLO\r\n")
        os.kill(pid, signal.SIGTERM)
        self.assertTrue((await peer.read(8)).startswith(b"/drain 5"))
        peer.close()
        await _until_gone(pid)
        self.assertEqual(os.listdir(folder), ["here.log"])
        with open(f"{folder}/here.log") as file:
            log = file.read()
        self.assertIn("Server Shut Down", log)
        self.assertNotIn("Traceback", log)

    async def test_daemon_that_cannot_start(self) -> None:
        """
        Whoever starts a daemon is told why there is none, and nothing of it is left but the log.
        """
        folder = self.mktemp()
        os.makedirs(folder)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            arguments = [*TWISTD[1:], "--logfile=log", "echochat", "--history", "memory:", "--listen", endpoint]
            said, complaints, code = await getProcessOutputAndValue(TWISTD[0], arguments, os.environ, folder)
        self.assertEqual((said, code), (b"", 1))
        self.assertIn(f"cannot listen on {endpoint}".encode(), complaints)
        # Whoever started it is told a moment before the pidfile is removed.
        while "twistd.pid" in os.listdir(folder):
            await deferLater(reactor, 0.01)
        self.assertEqual(os.listdir(folder), ["log"])
        with open(f"{folder}/log") as file:
            self.assertIn(f"cannot listen on {endpoint}: Address already in use", file.read())

    async def test_all_in_a_file(self) -> None:
        """
        A file can say everything; the command line wins.
        """
        folder = self.mktemp()
        os.makedirs(folder)
        with open(f"{folder}/echochat.toml", "w") as file:
            file.write(
                'listen = ["tcp:0:interface=127.0.0.1", "tcp:0:interface=127.0.0.1"]\n'
                'history = "memory:"\nguests = "yes"\n'
                "max-line = 100\nmax-connections = 50\nper-address = 5\nidle = 1000\nfirst-line = 1000\nstall = 1000\n"
                "drain = 1000\n"
            )
        server = Server(
            (*TWISTD, "-n", "--pidfile=", "echochat", "--config", "echochat.toml", "--drain", "0"), {}, folder
        )
        self.addCleanup(server.stop, signal.SIGKILL)
        peers = [client(port) for port in await server.ports(2)]
        for peer in peers:
            await peer.send(b"x" * 101 + b"\r\nshort\r\n")
            self.assertEqual(await peer.read(len(b"/err line-too-long ")), b"/err line-too-long ")
        server.send_signal(signal.SIGTERM)
        for peer in peers:
            self.assertNotIn(b"/drain", await peer.read_to_end())
            peer.close()
        self.assertEqual(await server.end(), 0)

    async def test_json(self) -> None:
        """
        Where ``twist`` writes JSON, what is told of a connection's end is in fields; what users wrote is nowhere a
        format.
        """
        server = start_server(self, program=TWIST, program_options=("--log-format=json",))
        found = await server.until(rb'"port": (\d+)')
        peer = client(int(found[1]))
        await peer.send(b"{number} {peer.__class__}\r\n/nick {cause}\r\n/quit\r\n")
        await peer.read_to_end()
        peer.close()
        await server.until(rb'"lines_in"[^\x1e]*\n')
        events = [json.loads(each) for each in server.output.split(b"\x1e") if each.strip()]
        [end] = [event for event in events if "lines_in" in event]
        self.assertEqual((end["number"], end["cause"], end["lines_in"], end["lines_out"]), (1, "quit", 3, 3))
        self.assertEqual(end["peer"].partition(":")[0], "127.0.0.1")
        self.assertIsInstance(end["seconds"], float)
        self.assertEqual(end["bytes_in"], len(b"{number} {peer.__class__}\r\n/nick {cause}\r\n/quit\r\n"))
        self.assertNotIn(b"__class__", server.output.replace(b'"__class_uuid__"', b""))

    async def test_unix_socket_of_a_dead_server(self) -> None:
        """
        A server that was killed leaves its UNIX socket; the next one takes it over.
        """
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = f"{folder}/socket"
        for end in (signal.SIGKILL, signal.SIGTERM):
            server = start_server(self, "--listen", f"unix:{path}")
            await server.until(rb"listening on unix:")
            connected = socket.socket(socket.AF_UNIX)
            connected.connect(path)
            peer = Peer(connected)
            await peer.send(b"hello\n")
            self.assertEqual(await peer.read(6), b"HELLO\n")
            peer.close()
            self.assertEqual(await server.stop(end), -signal.SIGKILL if end == signal.SIGKILL else 0)
        self.assertEqual(os.listdir(folder), [])

    async def test_socket_of_systemd(self) -> None:
        """
        systemd may listen for it.
        """
        launcher = (
            "import os, socket, sys;"
            "listening = socket.create_server(('127.0.0.1', 0));"
            "os.dup2(listening.fileno(), 3);"
            "os.set_inheritable(3, True);"
            "os.environ.update(LISTEN_FDS='1', LISTEN_FDNAMES='echochat.socket', LISTEN_PID=str(os.getpid()));"
            "os.execv(sys.argv[1], sys.argv[1:])"
        )
        program = (sys.executable, "-c", launcher, *TWISTD)
        server = start_server(self, "--listen", "systemd:domain=INET:index=0", program=program)
        peer = client(await server.port())
        await peer.send(b"hello\n")
        self.assertEqual(await peer.read(6), b"HELLO\n")
        peer.close()
        self.assertEqual(await server.stop(), 0)

    async def test_descriptors(self) -> None:
        """
        A soft limit of descriptors is raised to the hard one; what is more than that allows is said to be.
        """
        limited = ("sh", "-c", 'ulimit -Sn 100; ulimit -Hn 200; exec "$@"', "sh", *TWISTD)
        program = (shutil.which(limited[0]) or "sh", *limited[1:])
        server = start_server(self, "--max-connections", "5000", program=program)
        await server.port()
        with open(f"/proc/{server.pid}/limits") as file:
            [line] = [line for line in file if line.startswith("Max open files")]
        self.assertEqual(line.split()[3:5], ["200", "200"])
        self.assertIn(b"descriptors for 100 connections, which is less than the 5000 of max-connections", server.output)

    async def test_most_connections(self) -> None:
        """
        Whoever comes when all places are taken waits, and is served when somebody leaves.
        """
        server = start_server(self, "--max-connections", "3")
        port = await server.port()
        peers = [client(port) for _ in range(5)]
        for peer in peers:
            self.addCleanup(peer.close)
            peer.socket.sendall(b"hello\n")
        for peer in peers[:3]:
            self.assertEqual(await peer.read(6), b"HELLO\n")
        # The first is served once more: meanwhile the others could have been, too.
        await peers[0].send(b"again\n")
        self.assertEqual(await peers[0].read(6), b"AGAIN\n")
        for peer in peers[3:]:
            peer.socket.setblocking(False)
            self.assertRaises(BlockingIOError, peer.socket.recv, 1)
            peer.socket.settimeout(20)
        for leaving, waiting in ((0, 3), (1, 4)):
            peers[leaving].close()
            self.assertEqual(await peers[waiting].read(6), b"HELLO\n")


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


async def _until_gone(pid: int) -> None:
    """
    Wait until a process that is no child of ours has gone.
    """
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        gone = select.poll()
        gone.register(descriptor, select.POLLIN)
        await deferToThread(gone.poll, 20_000)
        os.close(descriptor)
