"""
A cluster's life: the broker, then the workers, then the balancer; and the other way round.
"""

import re
import socket
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, FirstError, gatherResults
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.cluster.crew import Child, ChildFailed, Crew, in_time
from echochat.cluster.folder import Folder
from echochat.cluster.questions import Questions
from echochat.cluster.recipes import (
    balancer_command,
    broker_address,
    broker_command,
    cluster_control,
    worker_command,
)
from echochat.cluster.rolling import Roll, RollFailed
from echochat.cluster.settings import ClusterSettings
from echochat.daemon.asking import NotAnswered
from echochat.daemon.control import ControlFactory
from echochat.daemon.ports import Ports, reachable

READY: Final = 60.0
"""
Seconds that a process has to become ready: a broker with a large store reads it first.
"""

PATIENCE: Final = 30.0
"""
Seconds beyond the drain time after which a process that was told to stop is killed.
"""

_LISTENING: Final = re.compile(r"listening on (\S+) port (\d+): balancer")

BROKER: Final = "broker"
BALANCER: Final = "balancer"


class ClusterService(Service):
    """
    Runs everything, until it is stopped.

    :param reactor: starts the processes.
    :param folder: where their files are.
    :param program: the broker's, if one is run here.
    :param fail: is told in one sentence why the cluster cannot go on.
    :ivar settings: those that the next worker is started with.
    :ivar workers: the names of those that serve.
    :ivar questions: what they can be asked.
    """

    log = make_logger()

    def __init__(
        self, reactor: Any, folder: Folder, settings: ClusterSettings, program: str | None, fail: Callable[[str], None]
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.workers: list[str] = []
        self.crew = Crew(reactor, _patience(settings))
        self.questions = Questions(reactor, folder)
        self.last_roll = ""
        self._reactor = reactor
        self._program = program
        self._fail = fail
        self._ports = Ports(reactor, fail)
        self._control: ControlFactory | None = None
        self._history = settings.broker or ""
        self._started = 0
        self._beginning: Deferred[None] | None = None
        self._roll: Roll | None = None
        self._rolling: Deferred[None] | None = None
        # Whether the settings have changed since the workers that serve, or the next ones, were started.
        self._is_outdated = False

    # Called by Twisted

    def startService(self) -> None:
        super().startService()
        if self._control is not None:
            self._ports.listen_for_operators(cluster_control(self.folder), self._control)
        self._beginning = Deferred.fromCoroutine(self._begin())
        self._beginning.addCallbacks(self._begun, self._cannot_begin)

    def stopService(self) -> "Deferred[None]":
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    # Called by the process

    def serve_operators(self, control: ControlFactory) -> None:
        """
        Whom operators talk to; before the service is started.
        """
        self._control = control

    def hurry(self) -> None:
        """
        Do not wait for clients any more while stopping.
        """
        self.crew.hurry()

    # Called by operators

    def roll(self) -> Roll:
        """
        Begin to replace all workers, unless that goes on already.

        :return: the roll that goes on now.
        :raises RollFailed: there is nothing to replace yet, or no more.
        """
        if not self.running:
            raise RollFailed("the cluster is stopping")
        if self._beginning is not None:
            raise RollFailed("the cluster is starting: try again when it is ready")
        if self._roll is None:
            self._roll = Roll(self, self.workers, self._reactor, lambda: self.settings.drain)
            self.last_roll = ""
            self._rolling = Deferred.fromCoroutine(self._roll.run())
            self._rolling.addCallbacks(self._rolled, self._not_rolled)
        return self._roll

    def change(self, settings: ClusterSettings) -> None:
        """
        Have workers of other settings. Those that serve are replaced: at once, or when the cluster has begun, or when
        the roll that goes on has ended, of which some may be of the settings as they were.
        """
        self.settings = settings
        # Never less: those that serve have the time that they were started with.
        self.crew.killTime = max(self.crew.killTime, _patience(settings))  # type: ignore[assignment]  # as in Crew
        if self._beginning is not None or self._roll is not None:
            self._is_outdated = True
        elif self.running:
            self.roll()

    @property
    def current_roll(self) -> Roll | None:
        """
        The roll that goes on, if one does.
        """
        return self._roll

    def uptime(self, child: Child) -> float:
        """
        Seconds for which a process has been as it is.
        """
        seconds: float = self._reactor.seconds() - child.since
        return seconds

    # Called by a roll

    def start_worker(self) -> Child:
        slot = self._started % self.settings.workers + 1
        generation = self._started // self.settings.workers + 1
        self._started += 1
        name = f"w{slot}" if generation == 1 else f"w{slot}.{generation}"
        command = worker_command(self.folder, self.settings, self._history, name)
        return self.crew.start(name, command, rb"listening on handoff:")

    async def ready(self, worker: Child) -> None:
        await self._in_time(worker)
        await self.questions.until_available(worker.name, READY)

    async def tell_balancer(self, workers: list[str]) -> None:
        balancer_command(self.folder, self.settings, workers)
        try:
            await self.questions.reload_balancer()
        except NotAnswered:
            # What it is started with the next time, too.
            balancer_command(self.folder, self.settings, self.workers)
            raise

    async def clients(self, worker: str) -> int:
        return int((await self.questions.status(worker)).get("connections", 0))

    def stop(self, worker: str) -> "Deferred[None]":
        return self.crew.stop(worker)

    # Ours

    async def _begin(self) -> None:
        if self._program is not None:
            port = _free_port()
            longest = int(dict(self.settings.servers).get("max-line", 0))
            self._history = broker_address(self.folder, port)
            command = broker_command(self.folder, self._program, port, longest)
            await self._in_time(self.crew.start(BROKER, command, rb"Server is ready"))
        workers = [self.start_worker() for _ in range(self.settings.workers)]
        self.workers.extend(worker.name for worker in workers)
        await gatherResults([self._in_time(worker) for worker in workers], consumeErrors=True)
        command = balancer_command(self.folder, self.settings, self.workers)
        balancer = self.crew.start(BALANCER, command, rb"listening on .*: balancer")
        await self._in_time(balancer)
        await self.questions.until_looked()
        self.log.info(
            "the cluster is ready: {workers} workers; how it is: echochat cluster status --data {data}{try_it}",
            workers=len(workers),
            data=self.settings.data,
            try_it=_invitation(balancer.said),
        )

    def _in_time(self, child: Child) -> "Deferred[None]":
        late = partial(str.format, "{}: not ready within {:g} s", child.name, READY)
        return in_time(child.ready, self._reactor, READY, late)

    def _begun(self, _: None) -> None:
        self._beginning = None
        self._catch_up()

    def _cannot_begin(self, failure: Failure) -> None:
        error = failure.value
        first = error.subFailure if isinstance(error, FirstError) else failure
        if first.check(CancelledError):
            return
        if not first.check(ChildFailed, OSError):
            self.log.failure("the cluster could not be started", first)
        if self.running:
            self._fail(first.getErrorMessage())

    def _rolled(self, _: None) -> None:
        assert self._roll is not None
        self.last_roll = f"{self._roll.done} of {self._roll.total} workers replaced"
        self.log.info("rolled: {what}", what=self.last_roll)
        self._roll = self._rolling = None
        self._catch_up()

    def _not_rolled(self, failure: Failure) -> None:
        assert self._roll is not None
        self.last_roll = f"given up after {self._roll.done} of {self._roll.total}: {failure.getErrorMessage()}"
        self._roll = self._rolling = None
        if failure.check(CancelledError):
            return
        if failure.check(RollFailed):
            self.log.error("the roll was {what}", what=self.last_roll)
        else:
            self.log.failure("the roll failed", failure)
        self._catch_up()

    def _catch_up(self) -> None:
        """
        Roll if the settings have changed meanwhile.
        """
        if self._is_outdated and self.running:
            self._is_outdated = False
            self.log.info("the settings have changed meanwhile: the workers are replaced")
            self.roll()

    async def _stop(self) -> None:
        for going_on in (self._beginning, self._rolling):
            if going_on is not None:
                going_on.cancel()
        crew = self.crew
        # Nobody comes in any more; whoever is in has a worker, which is not asked to do without its broker.
        await crew.stop(BALANCER)
        workers = [child.name for child in crew.children if child.name != BROKER]
        await gatherResults([crew.stop(name) for name in workers])
        await crew.stop(BROKER)
        await self._ports.close()
        self.folder.release()


def _invitation(said: Iterable[str]) -> str:
    """
    How one tries it, from what the balancer has said; nothing where it listens on UNIX sockets only.
    """
    for line in said:
        found = _LISTENING.match(line)
        if found is not None:
            host, target = reachable(found[1], int(found[2]))
            return f"; try it with: nc {host} {found[2]}, or: echochat chat {target}"
    return ""


def _patience(settings: ClusterSettings) -> float:
    return settings.drain + PATIENCE


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port
