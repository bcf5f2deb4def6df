"""
The servers that programs use today for what echochat does: on loopback, on ephemeral ports, with nothing of the
machine's own configuration, and set to give the same promise as the row that they stand in.
"""

import functools
import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.certificates import make_certificate
from bench.loadgen import NoFigure
from bench.programs import absent, dotted, program_path, version
from bench.running import Server

_redis_version = functools.partial(version, "redis-server", "--version")
_nats_version = functools.partial(version, "nats-server", "--version")
_mosquitto_version = functools.partial(version, "mosquitto", "-h")


def _redis(name: str, *persistence: str) -> Server:
    def command(port: int, folder: Path) -> list[str]:
        # Its protected mode refuses all of 127.0.0.0/8 but 127.0.0.1, and the load generator comes from 127.0.0.2.
        listening = ["--bind", "127.0.0.1", "--port", str(port), "--protected-mode", "no", "--maxclients", "15000"]
        return [program_path("redis-server"), *listening, "--dir", str(folder), "--save", "", *persistence]

    return Server(
        name,
        command,
        proto="redis",
        absent=lambda: absent("redis-server", _redis_version),
        version=lambda: dotted(_redis_version()),
    )


REDIS = _redis("Redis", "--appendonly", "no")
REDIS_ALWAYS = _redis("Redis appendfsync always", "--appendonly", "yes", "--appendfsync", "always")


def _nats(port: int, folder: Path) -> list[str]:
    return [program_path("nats-server"), "--addr", "127.0.0.1", "--port", str(port)]


def _jetstream(port: int, folder: Path) -> list[str]:
    store = json.dumps(str(folder / "store"))
    (folder / "nats.conf").write_text(f"jetstream {{ store_dir: {store}, sync_interval: always }}\n")
    return [*_nats(port, folder), "--config", str(folder / "nats.conf")]


def _create_stream(port: int) -> None:
    """
    The stream that the load generator publishes to, kept in files; one of its subjects is passed on to subscribers
    when it is stored.
    """
    config = {"name": "BENCH", "subjects": ["bench.*"], "storage": "file", "num_replicas": 1}
    stream = json.dumps({**config, "republish": {"src": "bench.in", "dest": "bench"}})
    request = f"PUB $JS.API.STREAM.CREATE.BENCH _INBOX.bench {len(stream)}\r\n{stream}\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as talk, talk.makefile("rb") as answers:
        talk.sendall(f'CONNECT {{"verbose":false}}\r\nSUB _INBOX.bench 1\r\n{request}'.encode())
        for line in answers:
            if line.startswith(b"{"):
                if b'"error"' in line:
                    raise NoFigure(f"no stream: {line.decode(errors='replace').strip()}")
                return
    raise NoFigure("no stream: the server closed the connection")


NATS = Server(
    "NATS",
    _nats,
    proto="nats",
    absent=lambda: absent("nats-server", _nats_version),
    version=lambda: dotted(_nats_version()),
)
JETSTREAM_ALWAYS = Server(
    "JetStream sync_interval always",
    _jetstream,
    proto="nats",
    absent=lambda: absent("nats-server", _nats_version, (2, 10)),
    version=lambda: dotted(_nats_version()),
    prepare=_create_stream,
)


def _mosquitto(port: int, folder: Path) -> list[str]:
    settings = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "persistence false",
        "max_inflight_messages 0",
        "max_queued_messages 0",
        "set_tcp_nodelay true",
        "log_type error",
    ]
    (folder / "mosquitto.conf").write_text("\n".join(settings) + "\n")
    return [program_path("mosquitto"), "-c", str(folder / "mosquitto.conf")]


MOSQUITTO = Server(
    "Mosquitto",
    _mosquitto,
    proto="mqtt",
    absent=lambda: absent("mosquitto", _mosquitto_version),
    version=lambda: dotted(_mosquitto_version()),
)


_haproxy_version = functools.partial(version, "haproxy", "-v")


def _haproxy_tls(*last: str) -> Callable[[int, Path], list[str]]:
    """
    :param last: what becomes of a connection after its handshake. There is no server behind to connect to.
    """

    def command(port: int, folder: Path) -> list[str]:
        settings = [
            "global",
            "nbthread 1",
            "maxconn 9500",
            "defaults",
            "mode tcp",
            *(f"timeout {each} 600s" for each in ("client", "connect", "server")),
            "listen tls",
            f"bind 127.0.0.1:{port} backlog 4096 ssl crt {make_certificate(folder)} ssl-min-ver TLSv1.2 no-tls-tickets",
            *last,
        ]
        (folder / "haproxy.cfg").write_text("\n".join(settings) + "\n")
        return [program_path("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]

    return command


HAPROXY_TLS = Server(
    "HAProxy nbthread 1",
    _haproxy_tls("tcp-request content reject"),
    absent=lambda: absent("haproxy", _haproxy_version),
    version=lambda: dotted(_haproxy_version()),
)
HAPROXY_TLS_IDLE = replace(
    HAPROXY_TLS,
    command=_haproxy_tls("tcp-request inspect-delay 600s", "tcp-request content reject if WAIT_END"),
    proto="none",
)
