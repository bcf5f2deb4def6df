"""
echochat itself, and the servers that answer lines in capitals as others would have written them.
"""

import functools
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from twisted.internet.endpoints import quoteStringArgument

from bench.certificates import make_certificate
from bench.machine import commit, distribution
from bench.running import Server

TWISTD = str(Path(sys.executable).with_name("twistd"))


@functools.cache
def _options() -> str:
    """
    What ``twistd echochat --help`` prints: the options that this checkout has.
    """
    asked = subprocess.run([sys.executable, TWISTD, "echochat", "--help"], capture_output=True, text=True, check=False)
    return asked.stdout


def version_here() -> str:
    """
    This checkout's version.
    """
    return f"{distribution('echochat')} {commit()}".strip()


def echochat(*options: str) -> Server:
    """
    This checkout's server. Where it does not have the options yet, it is absent and says so.
    """

    def absent() -> str | None:
        missing = [option for option in options if option.startswith("--") and f"{option}=" not in _options()]
        return f"has no {missing[0]} yet" if missing else None

    def command(port: int, folder: Path) -> list[str]:
        daemon = [sys.executable, TWISTD, "-n", "--pidfile=", f"--logfile={folder / 'log'}", "echochat"]
        return [*daemon, "--listen", f"tcp:{port}:interface=127.0.0.1", *options]

    return Server("echochat", command, absent=absent, version=version_here)


def echochat_tls() -> Server:
    """
    This checkout's server with TLS.
    """

    def command(port: int, folder: Path) -> list[str]:
        daemon = [sys.executable, TWISTD, "-n", "--pidfile=", f"--logfile={folder / 'log'}", "echochat"]
        endpoint = f"tls:{port}:interface=127.0.0.1:cert={quoteStringArgument(str(make_certificate(folder)))}"
        return [*daemon, "--history", "memory:", "--listen", endpoint]

    return replace(echochat(), command=command)


def _module(name: str) -> Callable[[int, Path], list[str]]:
    return lambda port, _: [sys.executable, "-m", f"bench.servers.{name}", str(port)]


ASYNCIO = Server("asyncio", _module("asyncio_echo"), version=platform.python_version)
UVLOOP = Server(
    "uvloop",
    _module("uvloop_echo"),
    absent=lambda: None if find_spec("uvloop") else "not installed",
    version=lambda: distribution("uvloop"),
)
LINE_ONLY_RECEIVER = Server("LineOnlyReceiver", _module("line_only_receiver"), version=lambda: distribution("Twisted"))
