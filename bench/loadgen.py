"""
The load generator, and what it says.
"""

import select
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.compiling import compiled

_PATIENCE = 180
"""Seconds that one call of the load generator may take in all."""


class NoFigure(Exception):
    """
    A trial gave no figure; the first argument says why. The row goes on without it, and the table says so.
    """


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


@contextmanager
def rate(port: int, *arguments: object) -> Iterator[Callable[[], bool]]:
    """
    Messages at a steady rate while the block runs, and until all have arrived. The block is given a function that tells
    whether that goes on still.

    :raises NoFigure: it failed, or the server did not keep up with it.
    """
    with _started("rate", port, *arguments) as load:
        try:
            yield lambda: load.poll() is None
        except NoFigure:
            load.kill()
            raise
        _figures(load)


def _started(mode: str, port: int, *arguments: object) -> subprocess.Popen[str]:
    command = [str(compiled("lg")), mode, "127.0.0.1", str(port), *map(str, arguments)]
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
