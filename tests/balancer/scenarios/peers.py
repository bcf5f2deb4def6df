"""
HAProxy and nginx, in the words that their manuals have for what a scenario wants of them.
"""

import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol

from tests.balancer.scenarios.ends import End, reactor
from tests.balancer.scenarios.proxies import Member, Proxy, Setup

_PLACES: Final = "/usr/sbin:/usr/local/sbin"
_MODULE: Final = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


def _find(program: str) -> str | None:
    # Debian puts servers where an ordinary user's PATH does not look.
    return shutil.which(program) or shutil.which(program, path=_PLACES)


class HAProxy(Proxy):
    """
    HAProxy with one thread, in master-worker mode, which is what makes reloads seamless.
    """

    title = "HAProxy"
    reload_signal = signal.SIGUSR2
    waited_in_vain = rb" sQ "

    # Those that there have been: one for each configuration.
    _workers = 1

    @staticmethod
    def absent() -> str | None:
        return None if _find("haproxy") else "haproxy is not installed"

    def configure(self) -> Sequence[str]:
        setup = self.setup
        trusted = (
            [
                f"tcp-request connection reject if !{{ src {setup.trusted} }}",
                "tcp-request connection expect-proxy layer4",
            ]
            if setup.trusted is not None
            else []
        )
        settings = [
            "global",
            "nbthread 1",
            "maxconn 8000",
            "log stdout format raw local0",
            f"stats socket {self.folder}/stats mode 600 level admin expose-fd listeners",
            "defaults",
            "mode tcp",
            "log global",
            "option tcplog",
            "retries 3",
            "option redispatch 1",
            "timeout client 10m",
            "timeout server 10m",
            "timeout check 2s",
            f"timeout connect {_ms(setup.connect_timeout)}",
            f"timeout queue {_ms(setup.queue_timeout)}",
            "listen front",
            f"bind 127.0.0.1:{self.port}",
            *trusted,
            "balance leastconn",
            *map(self._server, setup.members),
        ]
        (self.folder / "haproxy.cfg").write_text("\n".join(settings) + "\n")
        return [_find("haproxy") or "", "-W", "-f", str(self.folder / "haproxy.cfg")]

    async def counts(self) -> dict[str, int]:
        return {name: int(current) for name, current in (await self._servers("scur")).items()}

    async def down(self) -> set[str]:
        return {name for name, status in (await self._servers("status")).items() if status.startswith("DOWN")}

    async def reload(self, setup: Setup) -> None:
        # While its master is at work on one reload it does not notice the signal for the next.
        self._workers += 1
        await super().reload(setup)
        await self.program.until(rb"New worker \(\d+\) forked", self._workers)

    # Ours

    async def _servers(self, what: str) -> dict[str, str]:
        names, *rows = [line.split(",") for line in (await self._say("show stat")).splitlines() if line]
        server, column = names.index("svname"), names.index(what)
        return {row[server]: row[column] for row in rows if row[server] not in ("FRONTEND", "BACKEND")}

    async def _say(self, command: str) -> str:
        end: End = await connectProtocol(UNIXClientEndpoint(reactor, str(self.folder / "stats")), _Asking())
        end.send(f"{command}\n".encode())
        await end.until(lambda: end.has_finished)
        end.transport.loseConnection()
        return end.received.decode()

    def _server(self, member: Member) -> str:
        setup = self.setup
        words = [f"server {member.name} 127.0.0.1:{member.port} weight {member.weight}"]
        if member.most:
            words.append(f"maxconn {member.most}")
        if setup.checks:
            words.append(f"check inter {_ms(setup.interval)} fall 3 rise 2")
            words.append("observe layer4 error-limit 3 on-error mark-down")
        if setup.slow_start:
            words.append(f"slowstart {_ms(setup.slow_start)}")
        if setup.send_proxy is not None:
            words.append("send-proxy" if setup.send_proxy == "v1" else "send-proxy-v2")
        if member.backup:
            words.append("backup")
        return " ".join(words)


class _Asking(End):
    """
    A connection to HAProxy's own socket, which has no such thing as TCP's options.
    """

    def connectionMade(self) -> None:
        pass


class Nginx(Proxy):
    """
    nginx's stream module with one worker process.
    """

    title = "nginx"
    waited_in_vain = rb"no live upstreams"

    @staticmethod
    def absent() -> str | None:
        if not _find("nginx"):
            return "nginx is not installed"
        return None if _MODULE.exists() else "libnginx-mod-stream is not installed"

    def configure(self) -> Sequence[str]:
        setup = self.setup
        listen = f"listen 127.0.0.1:{self.port}{' proxy_protocol' if setup.trusted else ''};"
        servers = " ".join(map(self._server, setup.members))
        settings = [
            f"load_module {_MODULE};",
            "daemon off;",
            "worker_processes 1;",
            f"pid {self.folder}/pid;",
            "events { worker_connections 8000; }",
            "stream {",
            f"upstream servers {{ zone servers 256k; least_conn; {servers} }}",
            f"server {{ {listen} proxy_pass servers; proxy_half_close on; proxy_next_upstream_tries 3;",
            f"proxy_connect_timeout {_ms(setup.connect_timeout)};",
            f"set_real_ip_from {setup.trusted};" if setup.trusted else "",
            "proxy_protocol on;" if setup.send_proxy else "",
            "} }",
        ]
        (self.folder / "nginx.conf").write_text("\n".join(settings) + "\n")
        folder = str(self.folder)
        return [_find("nginx") or "", "-e", "stderr", "-p", folder, "-c", str(self.folder / "nginx.conf")]

    # Ours

    def _server(self, member: Member) -> str:
        words = [f"server 127.0.0.1:{member.port} weight={member.weight} max_fails=3 fail_timeout=2s"]
        if member.most:
            words.append(f"max_conns={member.most}")
        if member.backup:
            words.append("backup")
        return " ".join(words) + ";"


def _ms(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
