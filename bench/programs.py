"""
Programs of the machine: where they are, and which version.
"""

import functools
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def find(program: str) -> str | None:
    """
    The program's path: from the environment that the benchmarks run in, else from the machine.
    """
    beside = Path(sys.executable).with_name(program)
    places = ("/usr/sbin", "/usr/local/sbin")  # where Debian puts servers, and an ordinary user's PATH does not look
    return str(beside) if beside.exists() else shutil.which(program) or shutil.which(program, path=":".join(places))


@functools.cache
def version(program: str, *question: str) -> tuple[int, ...]:
    """
    The first version that it tells when it is asked; nothing where it is not installed.
    """
    path = find(program)
    if path is None:
        return ()
    asked = subprocess.run([path, *question], capture_output=True, text=True, check=False)
    found = re.search(r"\d+(\.\d+)+", asked.stdout + asked.stderr)
    return tuple(map(int, found.group().split("."))) if found else ()


def dotted(version: tuple[int, ...]) -> str:
    """
    A version as people write it.
    """
    return ".".join(map(str, version))


def absent(program: str, its_version: Callable[[], tuple[int, ...]], floor: tuple[int, ...] = ()) -> str | None:
    """
    Why it cannot be measured here, or ``None``.
    """
    if find(program) is None:
        return f"{program} is not installed"
    if its_version() < floor:
        return f"{program} is {dotted(its_version())}, and this needs {dotted(floor)}"
    return None


def program_path(name: str) -> str:
    """
    The path of a program that is there.
    """
    path = find(name)
    assert path is not None, "an absent peer is not started"
    return path
