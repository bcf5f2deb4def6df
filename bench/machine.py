"""
What the figures were taken on: without it they mean nothing.
"""

import os
import platform
import resource
import subprocess
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""


_LOAD = os.getloadavg()[0]


def raise_descriptor_limit() -> int:
    """
    Let this process and all that it starts open as many descriptors as the machine allows; returns how many.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def processor() -> str:
    """
    The processor's name and how many of it there are.
    """
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{len(os.sched_getaffinity(0))} × {names[0] if names else platform.machine()}"


def memory() -> str:
    """
    How much memory the machine has, in GiB.
    """
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{pages / 2**30:.0f} GiB"


def describe() -> str:
    """
    One line: processor, memory, kernel, interpreter, and how busy the machine was with other things before we began.
    """
    kernel = f"{platform.system()} {platform.release()}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{processor()}, {memory()}, {kernel}, {python}, load average {_LOAD:.1f} at the start"


def distribution(name: str) -> str:
    """
    The installed version of a Python distribution, or an empty string.
    """
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def commit() -> str:
    """
    The checkout's commit, with a ``+`` where there are changes on top of it; empty outside a checkout.
    """
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip()
