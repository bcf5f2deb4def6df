"""
The load generator: built when it is first needed, and called.
"""

import select
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import ROOT

WORK = ROOT / ".bench"
"""What the benchmarks build and write goes here: on the checkout's disk, because a temporary folder may be memory."""

_SOURCE = Path(__file__).with_name("lg.c")
_PROGRAM = WORK / "lg"
_PATIENCE = 180
"""Seconds that one call of the load generator may take in all."""


class NoFigure(Exception):
    """
    A trial gave no figure; the first argument says why. The row goes on without it, and the table says so.
    """


def build() -> Path:
    """
    Compile the load generator, if it is not there or is older than its source.

    :raises SystemExit: there is no C compiler; nothing can be measured without one.
    """
    if _PROGRAM.exists() and _PROGRAM.stat().st_mtime >= _SOURCE.stat().st_mtime:
        return _PROGRAM
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise SystemExit("bench: the load generator (bench/lg.c) needs a C compiler: neither gcc nor cc is installed")
    WORK.mkdir(exist_ok=True)
    subprocess.run([compiler, "-O2", "-w", "-o", str(_PROGRAM), str(_SOURCE)], check=True)
    return _PROGRAM


def lg(mode: str, port: int, *arguments: object) -> dict[str, float]:
    """
    One call of the load generator against a server on loopback, and the figures that it printed.

    :raises NoFigure: it failed: the server closed connections, stalled, or took more than three minutes.
    """
    with _started(mode, port, *arguments) as load:
        return _figures(load)


@contextmanager
def fan(port: int, *arguments: object) -> Iterator[Callable[[], None]]:
    """
    A fan-out while the block runs. The block is given a function that waits until all has been delivered: the
    subscribers are still connected then.

    :raises NoFigure: it failed.
    """
    with _started("fan", port, *arguments) as load:

        def wait_until_delivered() -> None:
            assert load.stdout is not None
            select.select([load.stdout], [], [], _PATIENCE)

        try:
            yield wait_until_delivered
        except NoFigure:
            load.kill()
            raise
        _figures(load)


def _started(mode: str, port: int, *arguments: object) -> subprocess.Popen[str]:
    command = [str(build()), mode, "127.0.0.1", str(port), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _figures(load: subprocess.Popen[str]) -> dict[str, float]:
    try:
        output, complaint = load.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        load.kill()
        raise NoFigure(f"no end after {_PATIENCE} s") from None
    if load.returncode:
        raise NoFigure(complaint.strip().splitlines()[-1] if complaint.strip() else "the load generator failed")
    pairs = (pair.partition("=") for pair in output.split())
    return {name: float(figure) for name, _, figure in pairs}


@contextmanager
def idle(port: int, connections: int, proto: str) -> Iterator[None]:
    """
    Hold connections open for as long as the block runs; each has subscribed, in the words of ``proto``.

    :raises NoFigure: they could not all be opened.
    """
    with _started("idle", port, connections, _PATIENCE, proto) as holder:
        try:
            assert holder.stdout is not None
            if not holder.stdout.readline():
                raise NoFigure(f"{connections} connections could not be opened")
            yield
        finally:
            holder.kill()
