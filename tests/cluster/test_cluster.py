"""
A cluster on one machine as its operator meets it: real processes, a real broker.
"""

import os
import shlex
import shutil
import signal
import socket
import tempfile
from typing import ClassVar

from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from echochat.client.core import News
from echochat.client.protocol import Client
from echochat.cluster.folder import Folder
from echochat.daemon.asking import NotAnswered
from echochat.wire.answers import Drain
from tests.cluster.running import Cluster, reactor
from tests.processes import DEADLINE, TWISTD, program_beside, start_program, start_server


class ClusterCase(TestCase):
    """
    One cluster.
    """

    timeout = 120
    workers: ClassVar[int] = 2

    async def begin(self, *options: str, terminal: bool = False) -> None:
        """
        Start it.

        :param terminal: in a terminal of its own, as somebody does who types the command.
        """
        self.cluster = Cluster(self, *options, workers=self.workers, terminal=terminal)
        await self.cluster.start()

    def short_folder(self) -> str:
        """
        The path of a folder that sockets fit into.
        """
        folder = tempfile.mkdtemp(prefix="echochat-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        return folder

    async def until_up(self, name: str, not_pid: int | None = None) -> int:
        """
        Wait until a process is up, and is another one than it was.
        """
        deadline = reactor.seconds() + DEADLINE
        while True:
            _, processes = await self.cluster.status()
            process = processes.get(name)
            if process is not None and process["state"] == "up" and process["pid"] != not_pid:
                pid: int = process["pid"]
                return pid
            self.assertLess(reactor.seconds(), deadline, f"{name}: {process}")
            await deferLater(reactor, 0.05)

    async def until_published(self, client: Client, text: str) -> int:
        """
        Publish under a label until it is acknowledged.
        """
        deadline = reactor.seconds() + DEADLINE
        while True:
            try:
                reply = await client.command("pub", "lobby", text, label=f"label-{text}")
                return int(reply.rest.split()[1])
            except Exception:
                self.assertLess(reactor.seconds(), deadline)
                await deferLater(reactor, 0.1)


class ServingTests(ClusterCase):
    """
    One command, and people on different workers are in the same topics.
    """

    async def test_two_workers_talk(self) -> None:
        """
        Two connections go to two workers; what one publishes the other gets. SIGTERM ends every process, with exit code
        0; started again on the same folder the history is there.
        """
        await self.begin()
        news: list[News] = []
        first, second = await self.cluster.client(), await self.cluster.client(news.append)
        await second.command("sub", "lobby")
        _, processes = await self.cluster.status()
        self.assertEqual([processes[name]["connections"] for name in ("w1", "w2")], [1, 1])
        self.assertEqual([processes[name]["history"] for name in ("w1", "w2")], ["available"] * 2)
        await first.command("pub", "lobby", "hello")
        deadline = reactor.seconds() + DEADLINE
        while not any("hello" in str(each) for each in news):
            self.assertLess(reactor.seconds(), deadline, news)
            await deferLater(reactor, 0.01)
        pids = [process["pid"] for process in processes.values()]
        self.assertEqual(await self.cluster.server.stop(), 0)
        for pid in pids:
            self.assertFalse(os.path.exists(f"/proc/{pid}"), pid)
        output = self.cluster.server.output
        order = [output.index(b"%s has ended" % name) for name in (b"balancer", b"w1", b"broker")]
        self.assertEqual(order, sorted(order))
        await self.cluster.start()
        client = await self.cluster.client()
        past = await client.command("history", "lobby")
        self.assertEqual([item.text for item in past.items], ["hello"])  # type: ignore[union-attr]  # Past
        self.assertEqual(await self.cluster.server.stop(), 0)

    async def test_control_c(self) -> None:
        """
        Ctrl-C in the terminal where it runs stops it as SIGTERM does: whoever is in is asked to leave, and can still
        publish; the balancer ends first, and the broker, once, after all that need it.
        """
        await self.begin(terminal=True)
        news: list[News] = []
        client = await self.cluster.client(news.append)
        self.cluster.server.write(b"\x03")
        deadline = reactor.seconds() + DEADLINE
        while not any(isinstance(each, Drain) for each in news):
            self.assertLess(reactor.seconds(), deadline, self.cluster.server.output)
            await deferLater(reactor, 0.01)
        await client.command("pub", "lobby", "before I go")
        await client.close()
        self.assertEqual(await self.cluster.server.end(), 0)
        output = self.cluster.server.output
        order = [output.index(b"%s has ended" % name) for name in (b"balancer", b"w1", b"broker")]
        self.assertEqual(order, sorted(order))
        self.assertNotIn(b"started again", output)


class DyingTests(ClusterCase):
    """
    Whatever process is killed, the others go on, and it comes back.
    """

    async def test_one_after_another(self) -> None:
        """
        A worker, the balancer, the broker, and in the end the cluster itself.
        """
        await self.begin()
        await self.kill_a_worker()
        await self.kill_the_balancer()
        await self.kill_the_broker()
        await self.kill_the_cluster()

    async def kill_a_worker(self) -> None:
        """
        The clients of the others notice nothing; new ones are served at once.
        """
        clients = [await self.cluster.client() for _ in range(2)]
        pid = await self.cluster.pid("w1")
        os.kill(pid, signal.SIGKILL)
        await clients[0].closed()
        self.assertEqual(await clients[1].echo("still here"), "STILL HERE")
        newcomer = await self.cluster.client()
        self.assertEqual(await newcomer.echo("me too"), "ME TOO")
        await self.until_up("w1", pid)
        self.assertEqual((await self.cluster.status())[1]["w1"]["restarts"], 1)

    async def kill_the_balancer(self) -> None:
        """
        Whoever is connected stays so, and new ones come in as soon as it is back.
        """
        client = await self.cluster.client()
        pid = await self.cluster.pid("balancer")
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(await client.echo("still here"), "STILL HERE")
        await self.until_up("balancer", pid)
        newcomer = await self.cluster.client()
        self.assertEqual(await newcomer.echo("hello"), "HELLO")

    async def kill_the_broker(self) -> None:
        """
        Echo goes on, connections stay, publishing works again when it is back, and nothing acknowledged is gone.
        """
        client = await self.cluster.client()
        first = await self.until_published(client, "one")
        pid = await self.cluster.pid("broker")
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(await client.echo("still here"), "STILL HERE")
        await self.until_up("broker", pid)
        second = await self.until_published(client, "two")
        self.assertGreater(second, first)
        past = await client.command("history", "lobby")
        self.assertEqual([item.text for item in past.items], ["one", "two"])  # type: ignore[union-attr]  # Past

    async def kill_the_cluster(self) -> None:
        """
        Killed with -9 it leaves no process behind, and can be started again on the same folder.
        """
        pids = [process["pid"] for process in (await self.cluster.status())[1].values()]
        self.assertEqual(await self.cluster.server.stop(signal.SIGKILL), -signal.SIGKILL)
        deadline = reactor.seconds() + DEADLINE
        while any(os.path.exists(f"/proc/{pid}") for pid in pids):
            self.assertLess(reactor.seconds(), deadline)
            await deferLater(reactor, 0.05)
        await self.cluster.start()
        client = await self.cluster.client()
        self.assertEqual(await client.echo("hello"), "HELLO")


class RollingTests(ClusterCase):
    """
    All workers are replaced.
    """

    async def test_new_processes_for_old(self) -> None:
        """
        SIGHUP gives every worker a successor; there is one that serves at every moment, and the old ones end.
        """
        await self.begin()
        before = (await self.cluster.status())[1]
        client = await self.cluster.client()
        self.cluster.server.send_signal(signal.SIGHUP)
        await self.cluster.server.until(rb"rolled: 2 of 2 workers replaced")
        await client.closed()
        cluster, after = await self.cluster.status()
        self.assertEqual(sorted(after), ["balancer", "broker", "w1.2", "w2.2"])
        self.assertEqual(cluster["roll"], "2 of 2 workers replaced")
        for name in ("broker", "balancer"):
            self.assertEqual(after[name]["pid"], before[name]["pid"])
        newcomer = await self.cluster.client()
        self.assertEqual(await newcomer.echo("hello"), "HELLO")

    async def test_reload(self) -> None:
        """
        What was changed is in use by all workers when they are replaced; what needs a restart is named. A configuration
        that no server starts with is told, and the old workers go on serving.
        """
        config = os.path.abspath(self.mktemp())
        with open(config, "w") as file:
            file.write("max-line = 1000\n")
        await self.begin("--config", config)
        with open(config, "w") as file:
            file.write('max-line = 2000\nstatus = "tcp:0"\n')
        error = await self.assertFailure(self.cluster.tell("/reload"), NotAnswered)
        self.assertIn("1 of 1 kept as they were", str(error))
        await self.cluster.server.until(rb"status can only change with a restart; the workers are replaced")
        await self.cluster.server.until(rb"rolled: 2 of 2 workers replaced")
        client = await self.cluster.client()
        self.assertEqual(await client.echo("x" * 1_500), "X" * 1_500)
        for name in ("w1.2", "w2.2"):
            self.assertIn("max-line = 2000", (self.cluster.folder / "run" / f"{name}.toml").read_text())
        with open(config, "w") as file:
            file.write(f'max-line = 2000\nrules = "{os.path.abspath(self.mktemp())}"\n')
        await self.cluster.tell("/reload")
        await self.cluster.server.until(rb"the roll was given up after 0 of 2: w1\.3: .*cannot be read")
        self.assertEqual(await client.echo("hello"), "HELLO")
        self.assertEqual(sorted((await self.cluster.status())[1]), ["balancer", "broker", "w1.2", "w2.2"])


class RefusingTests(ClusterCase):
    """
    What is wrong is said in one line, and ends with exit code 1. The rest of it is in :mod:`tests.tap.test_cluster`.
    """

    workers = 1

    async def refusal(self, *options: str) -> str:
        """
        The line with which it ends: the last one.
        """
        server = start_server(self, *options, service="echochat-cluster")
        self.assertEqual(await server.end(), 1)
        lines = server.output.decode().splitlines()
        complaints = [line for line in lines if line.startswith("echochat: ")]
        self.assertEqual(complaints, lines[-1:], server.output)
        self.assertNotIn(b"Traceback", server.output)
        self.assertNotIn(b"started again", server.output)
        return complaints[0]

    async def test_options(self) -> None:
        """
        Options that make no sense.
        """
        self.assertIn("--workers is a whole number", await self.refusal("--workers", "0"))
        self.assertIn("too long for sockets", await self.refusal("--data", "x" * 100))
        self.assertIn("cannot be used", await self.refusal("--data", "/proc/nothing"))

    async def test_a_folder_in_use(self) -> None:
        """
        Two clusters do not share a folder.
        """
        await self.begin()
        said = await self.refusal("--data", str(self.cluster.folder))
        self.assertIn(f"is in use by process {self.cluster.server.pid}", said)

    async def test_a_port_in_use(self) -> None:
        """
        What a process of it complains of is the cluster's own complaint.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listen = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            said = await self.refusal("--data", self.short_folder(), "--workers", "1", "--listen", listen)
        self.assertEqual(
            said,
            f"echochat: balancer: cannot listen on {listen}: Address already in use: "
            "end what listens there, or name another port with --listen",
        )

    async def test_nobody_reads(self) -> None:
        """
        A cluster that cannot start ends, with all its processes, also where whoever read its output has gone.
        """
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listen = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            folder = self.short_folder()
            options = ("--data", folder, "--workers", "1", "--listen", listen)
            command = shlex.join([*TWISTD, "-n", "--pidfile=", "echochat-cluster", *options])
            shell = start_program(self, "/bin/sh", "-c", f"{command} 2>&1 | head -n 1")
            self.assertEqual(await shell.end(), 0, shell.output)
        # Nobody has it any more.
        Folder(folder).release()

    async def test_a_worker_that_cannot_start(self) -> None:
        """
        ... and so is what a worker complains of.
        """
        where = "nats://127.0.0.1:1/no.name"
        said = await self.refusal("--data", self.short_folder(), "--workers", "1", "--broker", where)
        self.assertIn("w1: 'no.name' is no name for a stream", said)

    async def test_files(self) -> None:
        """
        A file that no worker would start with is told of before anything is started: there is no folder even.
        """
        folder = self.mktemp()
        said = await self.refusal("--data", folder, "--rules", "/nowhere/rules")
        self.assertIn("/nowhere/rules cannot be read", said)
        self.assertFalse(os.path.exists(folder))


class OperatingTests(ClusterCase):
    """
    ``echochat cluster``
    """

    workers = 1

    async def test_status_and_roll(self) -> None:
        """
        What each process says of itself as a matter of routine is not shown: the last line says how it can be tried.
        Tables for people, JSON for programs, and a roll that is waited for.
        """
        await self.begin()
        await self.cluster.server.until(rb"worker w1 is connected")
        lines = self.cluster.server.output.decode().splitlines()
        self.assertLess(len(lines), 20, lines)
        self.assertIn(f"try it with: nc 127.0.0.1 {self.cluster.port}, or: echochat chat 127.0.0.1:", lines[-1])
        self.assertNotIn("password", self.cluster.server.output.decode().lower())
        echochat = program_beside("echochat")
        assert echochat is not None
        folder = str(self.cluster.folder)
        shown = start_program(self, echochat, "cluster", "status", "--data", folder)
        self.assertEqual(await shown.end(), 0)
        for word in (b"broker", b"w1", b"balancer", b"up", b"available"):
            self.assertIn(word, shown.output)
        rolled = start_program(self, echochat, "cluster", "roll", "--data", folder)
        self.assertEqual(await rolled.end(), 0)
        self.assertIn(b"1 of 1 workers replaced\n", rolled.output)
        json = start_program(self, echochat, "cluster", "status", "--data", folder, "--json")
        self.assertEqual(await json.end(), 0)
        self.assertIn(b'"w1.2"', json.output)
        missing = start_program(self, echochat, "cluster", "status", "--data", self.mktemp())
        self.assertEqual(await missing.end(), 1)
        self.assertIn(b"make cluster", missing.output)
        self.assertEqual(missing.output.count(b"\n"), 1)

    async def test_any_folder(self) -> None:
        """
        Whatever the folder is called: paths stand in endpoints, in TOML, and in the broker's configuration.
        """
        folder = os.path.join(self.short_folder(), "déjà:vu = \U0001f600 'a' \"b\"")
        server = start_server(self, "--workers", "1", "--data", folder, service="echochat-cluster")
        await server.until(rb"the cluster is ready")
        echochat = program_beside("echochat")
        assert echochat is not None
        shown = start_program(self, echochat, "cluster", "status", "--data", folder)
        self.assertEqual(await shown.end(), 0)
        self.assertRegex(shown.output, rb"w1 +up .* available")
        self.assertEqual(await server.stop(), 0)
