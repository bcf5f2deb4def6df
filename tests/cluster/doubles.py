"""
Processes of a cluster that are none: what they say, and when they end, is the test's.
"""

from collections.abc import Sequence
from typing import Any

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure


class Process:
    """
    One of them.

    :ivar signals: those that it was sent.
    """

    def __init__(self, protocol: ProcessProtocol, command: Sequence[str], pid: int) -> None:
        self.protocol = protocol
        self.command = command
        self.pid: int | None = pid
        self.signals: list[str] = []

    # Called by the crew

    def signalProcess(self, name: str) -> None:
        if self.pid is None:
            raise ProcessExitedAlready
        self.signals.append(name)

    # Called by the test

    def say(self, *lines: str) -> None:
        """
        Write lines to its standard output.
        """
        for line in lines:
            self.protocol.outReceived(f"{line}\n".encode())

    def end(self, code: int = 0) -> None:
        """
        End by itself.
        """
        self.pid = None
        self.protocol.processEnded(Failure(ProcessTerminated(code) if code else ProcessDone(0)))


class Machine(Clock):
    """
    A reactor with time, and processes that are none.

    :ivar refuses: what starting one raises, if that is not possible now.
    :ivar all: those that were started, in their order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.refuses: OSError | None = None
        self.all: list[Process] = []

    def spawnProcess(self, protocol: ProcessProtocol, executable: str, args: Sequence[str], env: Any) -> Process:
        if self.refuses is not None:
            raise self.refuses
        process = Process(protocol, args, 1_000 + len(self.all))
        self.all.append(process)
        protocol.makeConnection(process)
        return process

    @property
    def running(self) -> list[Process]:
        """
        Those that have not ended.
        """
        return [process for process in self.all if process.pid is not None]
