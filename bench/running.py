"""
A server as the benchmarks see it: how it is started, and what can be asked of the process while it runs.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.compiling import WORK
from bench.loadgen import NoFigure
from bench.machine import ROOT

_READY = 15.0
"""Seconds that a server may take until it accepts connections."""

_LEAVE = 10.0
"""Seconds that a server may take to end after SIGTERM; after that it is killed."""

_STILL = 0.3
"""Seconds without any use of the processor that count as rest."""

_TICKS = os.sysconf("SC_CLK_TCK")


def _always_there() -> str | None:
    return None


@dataclass(frozen=True)
class Running:
    """
    A server process that accepts connections on loopback.
    """

    name: str
    pid: int
    port: int
    proto: str
    """The language it speaks, as the load generator names it."""

    folder: Path = Path()
    """What the server may write to."""

    def memory(self) -> int:
        """
        Bytes of memory that the process has written to and shares with nobody. What it shares, or has only read from
        a file, would change with what else runs on the machine.
        """
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_Dirty:"):
                return int(line.split()[1]) * 1024
        raise NoFigure("the kernel does not tell how much memory the process has")

    def processor_seconds(self) -> float:
        """
        Seconds of processor time that the process has used, its own and the kernel's on its behalf.
        """
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def at_rest(self, patience: float) -> float:
        """
        Wait until the process does nothing for a while, and tell how much processor time it has used by then.

        :raises NoFigure: it did not come to rest in so many seconds.
        """
        deadline = time.monotonic() + patience
        used, before = self.processor_seconds(), -1.0
        while used != before:
            if time.monotonic() > deadline:
                raise NoFigure(f"not at rest after {patience:.0f} s")
            time.sleep(_STILL)
            used, before = self.processor_seconds(), used
        return used

    def wait_for_descriptors(self, number: int, patience: float) -> None:
        """
        Wait until the process has at least so many descriptors open: until it has accepted its connections.

        :raises NoFigure: it had fewer after so many seconds.
        """
        deadline = time.monotonic() + patience
        while (has := self.descriptors()) < number:
            if time.monotonic() > deadline:
                raise NoFigure(f"{has} descriptors of {number} after {patience:.0f} s")
            time.sleep(0.05)

    def descriptors(self) -> int:
        """
        How many descriptors the process has open.
        """
        return len(os.listdir(f"/proc/{self.pid}/fd"))


@dataclass(frozen=True)
class Server:
    """
    Something to measure: started anew for every trial, on an ephemeral port, in an empty folder of its own.
    """

    name: str
    command: Callable[[int, Path], Sequence[str]]
    """The command line, given the port to listen on and the folder that the server may write to."""

    proto: str = "echochat"
    absent: Callable[[], str | None] = _always_there
    """Why it cannot be measured here, or ``None``."""

    version: Callable[[], str] = str
    prepare: Callable[[int], None] | None = None
    """What must be asked of it before the load, given its port."""

    def title(self) -> str:
        """
        Name and version.
        """
        return f"{self.name} {self.version()}".strip()

    @contextmanager
    def running(self) -> Iterator[Running]:
        """
        The server, listening, until the block ends.

        :raises NoFigure: it ended by itself or did not listen in time; the message has the end of its log.
        """
        WORK.mkdir(exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=WORK))
        port = _free_port()
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        try:
            with (
                (folder / "output").open("wb") as output,
                subprocess.Popen(
                    self.command(port, folder),
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                ) as process,
            ):
                try:
                    _wait_until_it_listens(process, port, folder)
                    if self.prepare is not None:
                        self.prepare(port)
                    yield Running(self.name, process.pid, port, self.proto, folder)
                finally:
                    _end(process)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = time.monotonic() + _READY
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    last = (folder / "output").read_text(errors="replace").strip().splitlines()[-1:]
    raise NoFigure(f"did not start: {last[0] if last else 'it said nothing'}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_LEAVE)
    except subprocess.TimeoutExpired:
        process.kill()
