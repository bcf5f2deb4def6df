"""
Real programs for tests: a ``twistd`` with the server in it, and whatever talks to it.

A program's output is collected, and what a test waits for is the output or the end, never a length of time. Each wait
has a deadline, and one that passes fails with everything that the program had written. Use them from ``async`` tests::

    async def test_echo(self) -> None:
        server = start_server(self, "--drain", "0")
        port = await server.port()
        ...
        self.assertEqual(await server.stop(), 0)

Whatever still runs when the test ends is killed.
"""

import os
import re
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, TimeoutError, fail, succeed
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

reactor: Any = _reactor

DEADLINE = 30.0
"""
Seconds after which whatever a test waits for is not coming any more. It is long for a machine with other work.
"""

TWISTD = (sys.executable, "-c", "import gc; gc.set_threshold(50_000); from twisted.scripts.twistd import run; run()")
"""
``twistd`` of the interpreter that runs the tests, in whatever environment it is. It looks for garbage as seldom as our
services do from their start on: there are hundreds of starts, and each is a tenth quicker so.
"""

TWIST = (sys.executable, "-c", "from twisted.application.twist._twist import Twist; Twist.main()")
"""
``twist``, likewise.
"""

Started = TypeVar("Started", bound="Program")


def program_beside(name: str) -> str | None:
    """
    The path of a program that was installed with the tests' interpreter, else of the machine's; None: there is none.
    """
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


_LISTENING = rb"listening on \S+ port (\d+)"


class ProgramEnded(Exception):
    """
    A program ended before it wrote what was waited for. The message has its exit code and all its output.
    """


class Program(ProcessProtocol):
    """
    A running program.

    :ivar output: everything that it wrote so far, to its standard output and its standard error in the order in
        which it came.
    :ivar pid: its process's number.
    """

    transport: Any

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], directory: str | None, terminal: bool = False
    ) -> None:
        self.output = b""
        self.exit_code: int | None = None
        self._command = command
        self._waiting: list[tuple[bytes, int, Deferred[re.Match[bytes]]]] = []
        self._ended: list[Deferred[int]] = []
        variables = {**os.environ, **environment}
        running = reactor.spawnProcess(self, command[0], command, variables, directory, usePTY=terminal)
        self.pid: int = running.pid

    # Called by the test

    def write(self, data: bytes) -> None:
        """
        Type something.
        """
        self.transport.write(data)

    def close_input(self) -> None:
        """
        Type nothing more: the end of its standard input.
        """
        self.transport.closeStdin()

    def until(self, pattern: bytes, times: int = 1, seconds: float = DEADLINE) -> "Deferred[re.Match[bytes]]":
        """
        Wait until the output has something that matches the pattern, so many times.

        The Deferred fails with :exc:`ProgramEnded` when the program ends before that.

        :return: the last of these matches.
        """
        found = self._find(pattern, times)
        if found is not None:
            return succeed(found)
        if self.exit_code is not None:
            return fail(ProgramEnded(self._story(f"ended and did not write {pattern!r}")))
        waiting: Deferred[re.Match[bytes]] = Deferred()
        self._waiting.append((pattern, times, waiting))
        return self._within(seconds, waiting, f"did not write {pattern!r}")

    def end(self, seconds: float = DEADLINE) -> "Deferred[int]":
        """
        Wait until the program has ended and all its output has come.

        :return: its exit code, or the negative number of the signal that ended it.
        """
        if self.exit_code is not None:
            return succeed(self.exit_code)
        waiting: Deferred[int] = Deferred()
        self._ended.append(waiting)
        return self._within(seconds, waiting, "did not end")

    def send_signal(self, number: int) -> None:
        """
        Send a signal, unless it has ended.
        """
        if self.transport.pid is not None:
            os.kill(self.transport.pid, number)

    def stop(self, number: int = signal.SIGTERM, seconds: float = DEADLINE) -> "Deferred[int]":
        """
        Send a signal, and wait for the end. A process that listens may not yet be ready to take signals as it should:
        one that has answered is.

        :return: as from :meth:`end`.
        """
        self.send_signal(number)
        return self.end(seconds)

    # Called by Twisted

    def outReceived(self, data: bytes) -> None:
        self.output += data
        waiting, self._waiting = self._waiting, []
        for pattern, times, deferred in waiting:
            if deferred.called:
                continue
            found = self._find(pattern, times)
            if found is None:
                self._waiting.append((pattern, times, deferred))
            else:
                deferred.callback(found)

    def errReceived(self, data: bytes) -> None:
        self.outReceived(data)

    def processEnded(self, reason: Failure) -> None:
        value = reason.value
        if isinstance(value, ProcessDone):
            self.exit_code = 0
        else:
            number = getattr(value, "signal", None)
            self.exit_code = -number if number is not None else int(getattr(value, "exitCode", -1))
        waiting, self._waiting = self._waiting, []
        for pattern, _, deferred in waiting:
            if not deferred.called:
                deferred.errback(ProgramEnded(self._story(f"ended and did not write {pattern!r}")))
        ended, self._ended = self._ended, []
        for each in ended:
            if not each.called:
                each.callback(self.exit_code)

    # Ours

    def _find(self, pattern: bytes, times: int) -> re.Match[bytes] | None:
        return next(islice(re.finditer(pattern, self.output), times - 1, None), None)

    def _within(self, seconds: float, waiting: "Deferred[Any]", what: str) -> "Deferred[Any]":
        def late(result: object, timeout: float) -> object:
            raise TimeoutError(self._story(f"{what} within {timeout:g} s"))

        return waiting.addTimeout(seconds, reactor, late)

    def _story(self, what: str) -> str:
        code = "" if self.exit_code is None else f" (exit code {self.exit_code})"
        return f"{' '.join(self._command)} {what}{code}; its output:\n{self.output.decode(errors='replace')}"


class Server(Program):
    """
    A ``twistd`` or ``twist`` with one of our services.
    """

    def port(self, seconds: float = DEADLINE) -> "Deferred[int]":
        """
        Wait until it listens.

        :return: on which TCP port: the first that its log tells of.
        """
        return self.until(_LISTENING, 1, seconds).addCallback(lambda found: int(found[1]))

    def ports(self, number: int, seconds: float = DEADLINE) -> "Deferred[list[int]]":
        """
        Wait until it listens on so many TCP ports.

        :return: which, in the order in which its log tells of them.
        """
        return self.until(_LISTENING, number, seconds).addCallback(
            lambda found: [int(port) for port in re.findall(_LISTENING, self.output)]
        )


def start_program(
    test: TestCase,
    *command: str,
    environment: Mapping[str, str] | None = None,
    directory: str | None = None,
    terminal: bool = False,
) -> Program:
    """
    Start a program; what is left of it when the test ends is killed.

    :param environment: what it finds in its environment besides ours.
    :param directory: where it runs; otherwise where the test does.
    :param terminal: it finds a terminal, and not pipes.
    """
    return _kill_after(test, Program(command, environment or {}, directory, terminal))


def start_in_terminal(test: TestCase, *command: str) -> Program:
    """
    Start a program in a terminal, which shows what is typed: it is in the output, too. Return is ``\\r``.
    """
    return _kill_after(test, Program(command, {"TERM": "xterm"}, None, terminal=True))


def start_server(
    test: TestCase,
    *options: str,
    service: str = "echochat",
    program: Sequence[str] = TWISTD,
    program_options: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
    directory: str | None = None,
    terminal: bool = False,
) -> Server:
    """
    Start a server, in a folder of its own; what is left of it when the test ends is killed.

    :param options: the service's; it listens on a free port of 127.0.0.1 when there is no ``--listen`` among them.
        Options that are wrong make it end: wait for :meth:`Program.end`, and look at its output.
    :param service: the name of the service.
    :param program: ``TWISTD``, ``TWIST``, or a command that does what they do.
    :param program_options: what comes before the service's name; otherwise what keeps ``twistd`` in the foreground,
        and makes ``twist`` write its log as text.
    :param terminal: it runs in a terminal of its own, and not with pipes.
    """
    if program_options is None:
        program_options = ("--log-format=text",) if program is TWIST else ("-n", "--pidfile=")
    listen = [] if any(each.startswith("--listen") for each in options) else ["--listen", "tcp:0:interface=127.0.0.1"]
    if directory is None:
        directory = test.mktemp()
        os.makedirs(directory)
    command = (*program, *program_options, service, *listen, *options)
    return _kill_after(test, Server(command, environment or {}, directory, terminal))


def _kill_after(test: TestCase, started: Started) -> Started:
    test.addCleanup(started.stop, signal.SIGKILL)
    return started
