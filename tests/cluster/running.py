"""
A cluster of real processes for tests, and clients of it.
"""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.trial.unittest import SkipTest, TestCase

from echochat.client.core import News
from echochat.client.protocol import Client, connect
from echochat.daemon.asking import ask
from tests.ports import free_port
from tests.processes import Server, program_beside, start_server

reactor: Any = _reactor

_READY = rb"the cluster is ready"


class Cluster:
    """
    A cluster on ephemeral ports, with a folder of its own.

    :ivar server: the supervisor.
    :ivar port: where clients connect.
    """

    server: Server

    def __init__(
        self, test: TestCase, *options: str, workers: int = 2, drain: float = 2.0, terminal: bool = False
    ) -> None:
        if program_beside("nats-server") is None:
            raise SkipTest("nats-server is not installed")
        # Not the test's own folder, whose path is too long for sockets.
        self.folder = Path(tempfile.mkdtemp(prefix="echochat-"))
        test.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.port = -1
        self._test = test
        self._terminal = terminal
        self._options = ("--data", str(self.folder), "--workers", str(workers), "--drain", str(drain), *options)

    async def start(self, *options: str) -> None:
        """
        Start it, where it was before if it ran before, and wait until it is ready.
        """
        if self.port < 0:
            # Not any port: a balancer that is started again has to have the same.
            self.port = free_port()
        listen = f"tcp:{self.port}:interface=127.0.0.1"
        self.server = start_server(
            self._test,
            *("--listen", listen, *self._options, *options),
            service="echochat-cluster",
            terminal=self._terminal,
        )
        await self.server.until(_READY)

    async def status(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """
        What operators see: the cluster, and by name its processes.
        """
        items, _ = await self.tell("/status")
        described = [(what, json.loads(values)) for what, _, values in (item.partition(" ") for item in items)]
        cluster = next(values for what, values in described if what == "cluster")
        return cluster, {values["name"]: values for what, values in described if what == "process"}

    def tell(self, command: str) -> "Deferred[tuple[list[str], str]]":
        """
        Give an operator's command.
        """
        return Deferred.fromCoroutine(ask(reactor, reactor, f"unix:{self.folder / 'run' / 'control'}", command))

    async def pid(self, name: str) -> int:
        """
        The process of this name.
        """
        _, processes = await self.status()
        pid: int = processes[name]["pid"]
        return pid

    async def client(self, on_news: Callable[[News], None] | None = None) -> Client:
        """
        A client, which is closed when the test ends.
        """
        endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{self.port}")
        client = await connect(endpoint, reactor, on_news=on_news)
        self._test.addCleanup(client.close)
        return client
