"""
The programs in C that the benchmarks use: built when they are first needed.
"""

import os
import shutil
import subprocess
from pathlib import Path

from bench.machine import ROOT

WORK = ROOT / ".bench"
"""What the benchmarks build and write goes here: on the checkout's disk, because a temporary folder may be memory."""


def compiled(name: str) -> Path:
    """
    The program made of ``bench/NAME.c``; it is compiled if it is not there or is older than its source.

    :raises SystemExit: there is no C compiler; nothing can be measured without one.
    """
    source, program = Path(__file__).with_name(f"{name}.c"), WORK / name
    if program.exists() and program.stat().st_mtime >= source.stat().st_mtime:
        return program
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise SystemExit(f"bench: bench/{name}.c needs a C compiler: neither gcc nor cc is installed")
    WORK.mkdir(exist_ok=True)
    # Under another name first: another process may be about to run it, as when the suite runs in several.
    built = WORK / f"{name}-{os.getpid()}"
    subprocess.run([compiler, "-O2", "-w", "-o", str(built), str(source)], check=True)
    built.replace(program)
    return program
