"""
``echochat`` as a user runs it, in a pipe or in a terminal; the server's side is :mod:`tests.processes`.

Output and errors are apart here, because that is what the client promises.
"""

import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterable, Mapping

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IProcessTransport, IReactorProcess, IReactorTime
from twisted.internet.process import Process
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

DEADLINE = 30.0

_CLIENT = (sys.executable, "-c", "from echochat.client.cli import main; main(prog_name='echochat')")


class Program(ProcessProtocol):
    """
    A process, what it has written so far, and its end.
    """

    transport: IProcessTransport

    def __init__(self) -> None:
        self.output = b""
        self.errors = b""
        self._code: int | None = None
        self._until_ended: list[Deferred[int]] = []
        self._awaited: list[tuple[re.Pattern[bytes], Deferred[re.Match[bytes]]]] = []

    # Called by Twisted

    def outReceived(self, data: bytes) -> None:
        self.output += data
        self._look()

    def errReceived(self, data: bytes) -> None:
        self.errors += data
        self._look()

    def processEnded(self, reason: Failure) -> None:
        self._code = 0 if reason.check(ProcessDone) else _exit_code(reason)
        ended, self._until_ended = self._until_ended, []
        awaited, self._awaited = self._awaited, []
        for waiting in ended:
            waiting.callback(self._code)
        for _, waiter in awaited:
            waiter.errback(AssertionError(f"ended with {self._code}: {self.output!r} {self.errors!r}"))

    # Ours

    def says(self, pattern: bytes) -> Deferred[re.Match[bytes]]:
        """
        Fire when output or errors match, also if they did before.
        """
        waiter: Deferred[re.Match[bytes]] = Deferred()
        self._awaited.append((re.compile(pattern, re.DOTALL), waiter))
        self._look()
        return waiter.addTimeout(DEADLINE, _clock(), self._complain)

    def types(self, text: bytes) -> None:
        self.transport.write(text)

    def is_not_read(self) -> None:
        """
        Take nothing of what it writes, until :meth:`is_read`.
        """
        assert isinstance(self.transport, Process)
        self.transport.pauseProducing()

    def is_read(self) -> None:
        """
        Go on after :meth:`is_not_read`.
        """
        assert isinstance(self.transport, Process)
        self.transport.resumeProducing()

    def ends(self) -> Deferred[int]:
        """
        Fire with the exit code; a signal's number is negative.
        """
        if self._code is not None:
            return succeed(self._code)
        waiter: Deferred[int] = Deferred()
        self._until_ended.append(waiter)
        return waiter.addTimeout(DEADLINE, _clock(), self._complain)

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessExitedAlready):
            self.transport.signalProcess(number.name.removeprefix("SIG"))

    def _look(self) -> None:
        for awaited in list(self._awaited):
            pattern, waiter = awaited
            matched = pattern.search(self.output) or pattern.search(self.errors)
            if matched is not None:
                self._awaited.remove(awaited)
                waiter.callback(matched)

    def _complain(self, result: object, seconds: float) -> Failure:
        return Failure(AssertionError(f"nothing for {seconds} s; so far {self.output!r} {self.errors!r}"))


def _exit_code(reason: Failure) -> int:
    code = getattr(reason.value, "exitCode", None)
    return code if code is not None else -int(getattr(reason.value, "signal", 0))


def _clock() -> IReactorTime:
    return IReactorTime(reactor)


def start_program(
    arguments: Iterable[str], environment: Mapping[str, str] | None = None, *, in_terminal: bool = False
) -> Program:
    """
    Start a process with pipes, or as the foreground of a terminal of its own.
    """
    program = Program()
    words = list(arguments)
    everything = {**os.environ, **(environment or {})}
    IReactorProcess(reactor).spawnProcess(program, words[0], words, everything, usePTY=in_terminal)
    return program


def start_client(*arguments: str, environment: Mapping[str, str] | None = None, in_terminal: bool = False) -> Program:
    """
    Start ``echochat`` with these arguments.
    """
    return start_program((*_CLIENT, *arguments), environment, in_terminal=in_terminal)


async def stop_program(program: Program) -> None:
    """
    End a process of ours, if it has not ended yet.
    """
    program.signal(signal.SIGKILL)
    await program.ends()
