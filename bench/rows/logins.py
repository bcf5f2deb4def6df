"""
Row 15: what others notice when 500 people log in at once.
"""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from select import select
from socket import create_connection
from statistics import quantiles

from bench.echoes import echochat
from bench.loadgen import NoFigure
from bench.machine import ROOT
from bench.row import Entry, Goal, Row
from bench.running import Running
from echochat.identity.account_edits import set_account
from echochat.identity.passwords import hash_password

_LOGINS, _FLOODS = 500, 5
"""At once, and how often in a trial: one flood is over in one or two seconds, which is too little for a percentile."""

_PATIENCE = 60.0
_PAUSE = 0.002
"""Seconds between two lines: without them the echo would be a flood of its own, and take what the logins need."""

_PASSWORD = b"right"


def _with_account(port: int, folder: Path) -> list[str]:
    set_account(str(folder / "accounts"), "alice", hash_password(_PASSWORD), None)
    return [*_PLAIN.command(port, folder), "--auth", "argon2:accounts"]


_PLAIN = echochat("--history", "memory:", "--guests", "echo")
_SERVER = replace(_PLAIN, command=_with_account)


class _Echo:
    """
    One connection that sends a line, waits for its answer, rests, and so on.
    """

    def __init__(self, port: int) -> None:
        self._connection = create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        self.times: list[float] = []

    def once(self) -> None:
        """
        Send one line, and note how long its answer took.
        """
        began = time.perf_counter()
        self._connection.sendall(b"hello\n")
        if self._connection.recv(4096) != b"HELLO\n":
            raise NoFigure("an echo was not answered")
        self.times.append(time.perf_counter() - began)
        time.sleep(_PAUSE)

    def end(self) -> float:
        """
        :return: microseconds that one answer in a hundred exceeds.
        """
        self._connection.close()
        return 1e6 * quantiles(self.times, n=100)[98]


def _alone(server: Running, seconds: float) -> float:
    echo = _Echo(server.port)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        echo.once()
    return echo.end()


def _beside_a_flood(server: Running, seconds: float) -> float:
    echo = _Echo(server.port)
    for _ in range(_FLOODS):
        command = (sys.executable, "-m", "bench.flood", str(server.port), str(_LOGINS))
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as flood:
            assert flood.stdin is not None
            assert flood.stdout is not None
            flood.stdout.readline()
            # Five hundred people would have processors of their own: theirs gives way to the echo and to the server.
            os.sched_setscheduler(flood.pid, os.SCHED_IDLE, os.sched_param(0))
            flood.stdin.write(b"/login alice %s\r\n" % _PASSWORD)
            flood.stdin.flush()
            # It speaks when all are answered, and stays until it is told to go: that 500 leave at once, and a process
            # with them, is not a flood of logins.
            while not select([flood.stdout], (), (), 0)[0]:
                echo.once()
            if not flood.stdout.readline().startswith(b"admitted"):
                raise NoFigure("not everybody who logged in was answered")
    return echo.end()


ROWS = (
    Row(
        15,
        f"echo on one connection, 99th percentile, while {_LOGINS} log in at once",
        "µs",
        (Entry("alone", _SERVER, _alone), Entry("beside the logins", _SERVER, _beside_a_flood)),
        (Goal("beside the logins", 2, "alone", at_most=True),),
    ),
)
