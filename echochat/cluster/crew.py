"""
The processes of a cluster: started, watched, started again when they end, stopped.

Twisted's process monitor does most of it. What it lacks, and is added here: it does not know when a process is ready,
nor tell anybody that one has ended; a process that is removed while it waits to be started again would be started, and
fail; and its log of what they write is another one (see :mod:`echochat.cluster.log_lines`).
"""

import os
import re
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.python.failure import Failure
from twisted.runner.procmon import LoggingProtocol, ProcessMonitor
from txaio.tx import make_logger

from echochat.cluster.log_lines import Lines, last_words, read_line


class State(Enum):
    """
    How a child is.
    """

    STARTING = "starting"
    UP = "up"
    # It ended, and is started again soon.
    WAITING = "waiting"
    STOPPING = "stopping"
    GONE = "gone"


class ChildFailed(Exception):
    """
    A child ended before it was ready. The message is what it said last.
    """


@dataclass(eq=False)
class Child:
    """
    One process, or the place of one that is about to be started again.

    :param name: as in the log, and for operators.
    :param command: what starts it.
    :param is_ready: searched for in what it writes.
    :ivar since: when its state began.
    :ivar restarts: how often it was started again.
    :ivar said: its last lines.
    """

    name: str
    command: Sequence[str]
    is_ready: re.Pattern[bytes]
    state: State = State.STARTING
    since: float = 0.0
    pid: int | None = None
    restarts: int = 0
    said: deque[str] = field(default_factory=lambda: deque(maxlen=20))
    ready: "Deferred[None]" = field(default_factory=Deferred)
    ended: "list[Deferred[None]]" = field(default_factory=list)

    @property
    def last_words(self) -> str:
        """
        Why it has ended, as far as it has said so.
        """
        return last_words(self.said)


class _Watched(LoggingProtocol):
    """
    Whose lines go into the cluster's log.
    """

    service: "Crew"

    def __init__(self, child: Child) -> None:
        self._child = child
        self._out, self._err = Lines(), Lines()

    # Called by Twisted

    def connectionMade(self) -> None:
        self._child.pid = self.transport.pid  # type: ignore[union-attr]  # it has begun

    def outReceived(self, data: bytes) -> None:
        self._say(self._out.take(data))

    def errReceived(self, data: bytes) -> None:
        self._say(self._err.take(data))

    def processEnded(self, reason: Failure) -> None:
        self._say([lines.rest for lines in (self._out, self._err) if lines.rest])
        self.service.child_ended(self._child, reason)

    # Ours

    def _say(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            self.service.child_said(self._child, line)


class Crew(ProcessMonitor):
    """
    The children of this process.

    One that was ready and ends is started again: at once if it ran for a second, else after a time that doubles from
    0.5 s to 20 s. One that ends before it was ready is gone, and whoever started it is told why.

    :param reactor: starts processes, and has the time.
    :param kill_after: seconds that a child which was told to stop has to end.
    """

    log = make_logger()

    threshold = 1
    minRestartDelay = 0.5  # type: ignore[assignment]  # Twisted's are whole seconds
    maxRestartDelay = 20

    def __init__(self, reactor: Any, kill_after: float) -> None:
        super().__init__(reactor)
        self.killTime = kill_after  # type: ignore[assignment]  # as above
        self._spawner = reactor
        self._children: dict[str, Child] = {}
        self._hurries = False
        self.running = 1

    # Called by the cluster

    @property
    def children(self) -> list[Child]:
        """
        All there are, in the order in which they were started.
        """
        return list(self._children.values())

    def start(self, name: str, command: Sequence[str], is_ready: bytes) -> Child:
        """
        Start a child.

        :param is_ready: a regular expression, searched for in each line that it writes.
        :return: its ``ready`` fires when it is, and fails with :exc:`ChildFailed` if it ends before.
        """
        child = Child(name, command, re.compile(is_ready))
        self._children[name] = child
        self.addProcess(name, list(command), env=dict(os.environ))
        return child

    def stop(self, name: str) -> "Deferred[None]":
        """
        Stop a child for good.

        :return: fires when it has ended; it is killed if it takes too long.
        """
        child = self._children.get(name)
        if child is None:
            return succeed(None)
        waiting = self.restart.pop(name, None)
        if waiting is not None and waiting.active():
            waiting.cancel()
        if name not in self.protocols:
            self._processes.pop(name, None)
            self._gone(child, f"{name} was stopped")
            return succeed(None)
        ended: Deferred[None] = Deferred()
        child.ended.append(ended)
        if child.state is not State.STOPPING:
            self._enter(child, State.STOPPING)
            self.removeProcess(name)
            if self._hurries:
                self._tell_again(name)
        return ended

    def hurry(self) -> None:
        """
        Tell those that stop a second time, and those that are stopped later at once: they wait for nobody then.
        """
        self._hurries = True
        for child in self._children.values():
            if child.state is State.STOPPING:
                self._tell_again(child.name)

    # Called by Twisted's part

    def startProcess(self, name: str) -> None:
        if name in self.protocols:
            return
        child = self._children[name]
        if child.state is State.WAITING:
            child.restarts += 1
        self._enter(child, State.STARTING)
        protocol = _Watched(child)
        protocol.service, protocol.name = self, name
        self.protocols[name] = protocol
        self.timeStarted[name] = self._clock.seconds()
        try:
            self._spawner.spawnProcess(protocol, child.command[0], list(child.command), env=dict(os.environ))
        except OSError as error:
            # Too many processes or descriptors, or too little memory: that may pass.
            child.said.append(f"cannot be started: {error.strerror}")
            self._ended(child, None, child.said[-1])

    # Called by the children's protocols

    def child_said(self, child: Child, line: bytes) -> None:
        """
        A child has written a line.
        """
        said = read_line(line)
        is_repeated = said.is_repeated(child.said)
        child.said.append(said.text)
        if is_repeated:
            return
        getattr(self.log, said.level)("[{child}] {line}", child=child.name, line=said.text)
        if child.state is State.STARTING and child.is_ready.search(line) is not None:
            self._enter(child, State.UP)
            if not child.ready.called:
                child.ready.callback(None)

    def child_ended(self, child: Child, reason: Failure) -> None:
        """
        A child's process is gone.
        """
        child.pid = None
        self._ended(child, reason, "ended" if reason.check(ProcessDone) else _how(reason))

    # Ours

    def _ended(self, child: Child, reason: Failure | None, how: str) -> None:
        is_wanted = child.name in self._processes
        if is_wanted and not child.ready.called:
            # Whoever started it decides what becomes of that: it would end so again.
            del self._processes[child.name]
        self._monitoredProcessExited(child.name, reason)
        if not is_wanted:
            self.log.info("{child} has ended", child=child.name)
            self._gone(child, f"{child.name} was stopped")
            return
        if child.name not in self._processes:
            self.log.error("{child} {how} before it was ready", child=child.name, how=how)
            self._gone(child, f"{child.name}: {child.last_words}")
            return
        self._enter(child, State.WAITING)
        self.log.error(
            "{child} {how}; it is started again in {seconds:g} s",
            child=child.name,
            how=how,
            seconds=max(0.0, self.restart[child.name].getTime() - self._clock.seconds()),
        )

    def _tell_again(self, name: str) -> None:
        transport = self.protocols[name].transport
        if transport is not None:
            # Another signal: a second one that is the same as the first may come before that was looked at, and is
            # lost then.
            with suppress(ProcessExitedAlready):
                transport.signalProcess("INT")

    def _enter(self, child: Child, state: State) -> None:
        child.state, child.since = state, self._clock.seconds()

    def _gone(self, child: Child, why: str) -> None:
        self._enter(child, State.GONE)
        if self._children.get(child.name) is child:
            del self._children[child.name]
        if not child.ready.called:
            child.ready.errback(ChildFailed(why))
        waiting, child.ended = child.ended, []
        for ended in waiting:
            ended.callback(None)


def _how(reason: Failure) -> str:
    error = reason.value
    if isinstance(error, ProcessTerminated) and error.signal is not None:
        return f"was ended by signal {error.signal}"
    code = getattr(error, "exitCode", None)
    return f"ended with exit code {code}"


def in_time(waiting: "Deferred[None]", clock: Any, seconds: float, late: Callable[[], str]) -> "Deferred[None]":
    """
    Fail with :exc:`ChildFailed` when a child is not ready within some seconds.
    """

    def too_late(result: Failure | None, _: float) -> Failure:
        return Failure(ChildFailed(late()))

    limited: Deferred[None] = Deferred()
    waiting.chainDeferred(limited)
    return limited.addTimeout(seconds, clock, too_late)
