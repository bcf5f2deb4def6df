"""
Balancers as the benchmarks see them: each relays to servers that are started before it.
"""

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.compiling import compiled
from bench.echoes import TWISTD, echochat, version_here
from bench.machine import raise_descriptor_limit
from bench.programs import absent, dotted, program_path, version
from bench.running import Running, Server

HANDOFF = "handoff"
"""The socket, in a server's folder, over which it is handed connections."""

_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
"""Where Debian's libnginx-mod-stream puts it."""

ECHO = Server("C echo", lambda port, _: [str(compiled("echo")), str(port), HANDOFF])
"""
A server that costs next to nothing, so that what is in front of it is what is measured. It takes connections on its
port, and such as are handed over.
"""

Relay = Callable[[int, Path, Sequence[Running]], Sequence[str]]
"""A balancer's command line, given the port to listen on, its folder, and the servers that it relays to."""


@dataclass(frozen=True, kw_only=True)
class Balanced(Server):
    """
    Servers, and a balancer in front of them that the load goes to.
    """

    relay: Relay
    behind: Sequence[Server] = (ECHO,)

    @contextmanager
    def running(self) -> Iterator[Running]:
        with ExitStack() as started:
            behind = [started.enter_context(each.running()) for each in self.behind]
            front = Server(self.name, lambda port, folder: self.relay(port, folder, behind), proto=self.proto)
            yield started.enter_context(front.running())


def balanced(kind: "Kind", name: str | None = None, *behind: Server) -> Balanced:
    """
    A balancer in front of the given servers, or of one C echo.
    """
    servers = behind or (ECHO,)
    reasons = [kind.absent, *(each.absent for each in servers)]
    return Balanced(
        name or kind.name,
        command=lambda port, folder: (),
        absent=lambda: next((why for reason in reasons if (why := reason())), None),
        version=kind.version,
        relay=kind.relay,
        behind=servers,
    )


@dataclass(frozen=True)
class Kind:
    """
    A balancer, whatever is behind it.
    """

    name: str
    relay: Relay
    absent: Callable[[], str | None]
    version: Callable[[], str]


# HAProxy

_haproxy_version = functools.partial(version, "haproxy", "-v")


def _haproxy_relay(*options: str) -> Relay:
    def relay(port: int, folder: Path, behind: Sequence[Running]) -> Sequence[str]:
        settings = [
            "global",
            "nbthread 1",
            "maxconn 4000",  # with a pipe for each direction it is at the limit of descriptors at twice that
            "defaults",
            "mode tcp",
            *(f"timeout {each} 60s" for each in ("client", "connect", "server")),
            *options,
            "listen relay",
            f"bind 127.0.0.1:{port}",
            "balance leastconn",
            *(f"server s{number} 127.0.0.1:{each.port}" for number, each in enumerate(behind)),
        ]
        (folder / "haproxy.cfg").write_text("\n".join(settings) + "\n")
        return [program_path("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]

    return relay


def _haproxy(name: str, *options: str) -> Kind:
    return Kind(
        name,
        _haproxy_relay(*options),
        lambda: absent("haproxy", _haproxy_version),
        lambda: dotted(_haproxy_version()),
    )


HAPROXY = _haproxy("HAProxy nbthread 1")
HAPROXY_SPLICE = _haproxy("HAProxy nbthread 1, splice", "option splice-request", "option splice-response")


# nginx

_nginx_version = functools.partial(version, "nginx", "-v")


def _nginx_relay(port: int, folder: Path, behind: Sequence[Running]) -> Sequence[str]:
    servers = " ".join(f"server 127.0.0.1:{each.port};" for each in behind)
    settings = [
        f"load_module {_MODULE};",
        "daemon off;",
        "worker_processes 1;",
        f"worker_rlimit_nofile {raise_descriptor_limit()};",
        f"pid {folder}/pid;",
        "events { worker_connections 16000; }",
        "stream {",
        f"upstream servers {{ least_conn; {servers} }}",
        f"server {{ listen 127.0.0.1:{port} backlog=4096; proxy_pass servers; }}",
        "}",
    ]
    (folder / "nginx.conf").write_text("\n".join(settings) + "\n")
    return [program_path("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def _nginx_absent() -> str | None:
    without_module = None if _MODULE.exists() else "libnginx-mod-stream is not installed"
    return absent("nginx", _nginx_version) or without_module


NGINX = Kind("nginx stream", _nginx_relay, _nginx_absent, lambda: dotted(_nginx_version()))


# echochat-lb


@functools.cache
def _lb_absent() -> str | None:
    asked = subprocess.run([sys.executable, TWISTD, "echochat-lb", "--help"], capture_output=True, check=False)
    return "there is no echochat-lb yet" if asked.returncode else None


def _lb_relay(endpoint: Callable[[Running, Path], str]) -> Relay:
    def relay(port: int, folder: Path, behind: Sequence[Running]) -> Sequence[str]:
        daemon = [sys.executable, TWISTD, "-n", "--pidfile=", f"--logfile={folder / 'log'}", "echochat-lb"]
        backends = [f"--backend=s{number}={endpoint(each, folder)}" for number, each in enumerate(behind)]
        return [*daemon, "--listen", f"tcp:{port}:interface=127.0.0.1", *backends]

    return relay


def _on_its_port(server: Running, folder: Path) -> str:
    return f"tcp:127.0.0.1:{server.port}"


def _on_its_socket(server: Running, folder: Path) -> str:
    # Both run in a folder of their own. Of a UNIX socket's path there may be 107 bytes.
    return f"handoff:{os.path.relpath(server.folder / HANDOFF, folder)}"


ECHOCHAT_LB = Kind("echochat-lb", _lb_relay(_on_its_port), _lb_absent, version_here)
ECHOCHAT_LB_HANDOFF = Kind("echochat-lb, handed off", _lb_relay(_on_its_socket), _lb_absent, version_here)
"""Passes the accepted socket on, to servers that listen for that."""

ECHOCHAT_WORKER = echochat("--listen", f"handoff:{HANDOFF}", "--history", "memory:", "--first-line", "0")
"""This checkout's server, for connections that come to its port and for those that are handed over."""
