"""
Tests of servers as people start them: by any reactor, as a daemon, from a file, on a socket of somebody else's.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from tests.net.peers import Peer
from tests.processes import TWIST, TWISTD, Server, start_server


def client(port: int) -> Peer:
    """
    A client of the server on this port.
    """
    return Peer(socket.create_connection(("127.0.0.1", port), timeout=20))


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
        why = f"cannot listen on {endpoint}: Address already in use: "
        told = f"echochat: {why}end what listens there, or name another port with --listen\n"
        self.assertEqual((said, complaints.decode(), code), (b"", told, 1))
        self.assertEqual(os.listdir(folder), ["log"])
        self.assertIn(why, Path(folder, "log").read_text())

    async def test_daemon_that_fails_otherwise(self) -> None:
        """
        Where there is no sentence of ours, it is Twisted that tells.
        """
        folder = self.mktemp()
        os.makedirs(folder)
        arguments = [*TWISTD[1:], "--logfile=log", "--pidfile=absent/pid", "echochat", "--history", "memory:"]
        arguments += ["--listen", "tcp:0:interface=127.0.0.1"]
        said, complaints, code = await getProcessOutputAndValue(TWISTD[0], arguments, os.environ, folder)
        self.assertEqual((said, code), (b"", 1))
        self.assertRegex(complaints, rb"\AAn error has occurred: .*No such file or directory.*\nPlease look at log")

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
