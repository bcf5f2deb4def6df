"""
What can be set about a balancer and each of its backends.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from echochat.balancer.backends import MOST_WEIGHT, Backend
from echochat.balancer.pool import SLOW_START
from echochat.daemon.readers import one_of, seconds, text, unix_endpoint, whole
from echochat.daemon.settings import Setting, SettingError, read_settings

_BACKENDS: Final = "backends"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def backend_name(written: str) -> str:
    """
    Read a backend's name.

    :raises ValueError: it cannot be one; the text says what can.
    """
    if _NAME.fullmatch(written) is None:
        raise ValueError("a backend's name: up to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or a digit")
    return written


def named_endpoint(written: str) -> tuple[str, str]:
    """
    Read ``NAME=ENDPOINT``.

    :raises ValueError: it is not of that form.
    """
    name, equals, endpoint = written.partition("=")
    if not equals or not endpoint or _NAME.fullmatch(name) is None:
        raise ValueError("of the form NAME=ENDPOINT, such as a=tcp:10.0.0.1:7007; a name has A-Z a-z 0-9 . _ -")
    return name, endpoint


_CHECKS: Final = ("tcp", "ping", "none")

SETTINGS: Final = (
    Setting(
        "listen",
        text,
        "Where to listen, a Twisted endpoint such as tcp:7000, tls:7443:cert=FILE:key=FILE or "
        "proxied:from=10.0.0.0/8:tcp:7000. May be given several times. [default: tcp:7000:interface=127.0.0.1]",
        repeatable=True,
    ),
    Setting(
        "backend",
        named_endpoint,
        "A server, as NAME=ENDPOINT: tcp:HOST:PORT, unix:PATH, tls:HOST:PORT:ca=FILE, or handoff:PATH for a process "
        "on this machine. May be given several times.",
        repeatable=True,
    ),
    Setting(
        "send-proxy",
        one_of("v1", "v2"),
        "Begin each connection to a backend with a PROXY header of this version, which says where the client is.",
    ),
    Setting(
        "check",
        one_of(*_CHECKS),
        "How backends' health is looked at: tcp: connect; ping: connect and say /ping; none. [default: tcp]",
    ),
    Setting("interval", seconds(86_400), "Seconds between two checks of a backend. [default: 2]"),
    Setting("fall", whole(1, 1_000), "Failed checks in a row after which a backend is down. [default: 3]"),
    Setting("rise", whole(1, 1_000), "Good checks in a row after which it is up again. [default: 2]"),
    Setting("timeout", seconds(3_600), "Seconds that a check may take. [default: 2]"),
    Setting(
        "slow-start",
        seconds(86_400),
        "Seconds over which a backend that came up gets its full share of connections; 0: at once. [default: 30]",
    ),
    Setting(
        "queue",
        whole(0, 1_000_000),
        "How many connections may wait while every backend has as many as it may have. [default: 1000]",
    ),
    Setting("queue-timeout", seconds(86_400), "Seconds that one may wait so. [default: 5]"),
    Setting("connect-timeout", seconds(3_600), "Seconds that connecting to a backend may take. [default: 3]"),
    Setting(
        "retries",
        whole(1, 100),
        "How many backends are tried for a connection, in all, when they cannot be connected to. [default: 3]",
    ),
    Setting("panic", str, "When every backend is down, try all of them instead of refusing clients.", is_flag=True),
    Setting(
        "idle",
        seconds(1e7),
        "Seconds without a byte either way after which a connection is closed; 0: never. [default: 0]",
    ),
    Setting(
        "max-connections",
        whole(0, 10_000_000),
        "The most clients at once; more wait unaccepted. [default: 0, by the limit of file descriptors: two each]",
    ),
    Setting(
        "drain",
        seconds(86_400),
        "Seconds that connections have to end when the balancer is stopped. [default: 5]",
    ),
    Setting("rebalance", str, "Move sessions to a backend that has joined, through /drain.", is_flag=True),
    Setting("control", unix_endpoint, "A UNIX socket for the operator's commands, as unix:PATH. [default: none]"),
    Setting(
        "status",
        text,
        "Where the status page and /metrics are served, as tcp:7001:interface=127.0.0.1. [default: nowhere]",
    ),
)

BACKEND_SETTINGS: Final = (
    Setting("endpoint", text, "Where it is."),
    Setting("weight", whole(1, MOST_WEIGHT), "Its share of the connections. [default: 1]"),
    Setting("max", whole(0, 10_000_000), "How many connections it may have at once; 0: no limit. [default: 0]"),
    Setting("backup", str, "It gets connections only when no other backend can.", is_flag=True),
    Setting("check", one_of(*_CHECKS), "How its health is looked at. [default: as for all]"),
    Setting("control", unix_endpoint, "The control socket of the echochat server there. [default: none]"),
)
"""
What the configuration file says of each backend, in a table ``[backends.NAME]``.
"""


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """
    What is said of one backend: see :class:`echochat.balancer.backends.Backend`.
    """

    name: str
    endpoint: str
    weight: int = 1
    max: int = 0
    backup: bool = False
    check: str | None = None
    control: str | None = None

    def make(self) -> Backend:
        """
        The backend that this describes.
        """
        return Backend(self.name, self.endpoint, self.weight, self.max, self.backup, self.check, self.control)


@dataclass(frozen=True, slots=True)
class BalancerSettings:
    """
    A balancer's settings; times are in seconds. :data:`SETTINGS` says what each is.
    """

    listen: tuple[str, ...] = ("tcp:7000:interface=127.0.0.1",)
    backends: tuple[BackendSettings, ...] = ()
    send_proxy: str | None = None
    check: str = "tcp"
    interval: float = 2.0
    fall: int = 3
    rise: int = 2
    timeout: float = 2.0
    slow_start: float = SLOW_START
    queue: int = 1_000
    queue_timeout: float = 5.0
    connect_timeout: float = 3.0
    retries: int = 3
    panic: bool = False
    idle: float = 0.0
    max_connections: int = 0
    drain: float = 5.0
    rebalance: bool = False
    control: str | None = None
    status: str | None = None


def make_settings(written: Mapping[str, Any], config: Mapping[str, Any], where: str) -> BalancerSettings:
    """
    The settings of a balancer: see :func:`echochat.daemon.settings.read_settings`.

    A backend on the command line is added to those of the file, and takes the place of the endpoint of one that has
    the same name there; what else the file says of it holds.

    :raises SettingError: a name is unknown or there twice, or a value is wrong.
    """
    tables = config.get(_BACKENDS, {})
    rest = {name: value for name, value in config.items() if name != _BACKENDS}
    values = read_settings(written, rest, where, SETTINGS)
    named = _unique(values.pop("backend", ()), "--backend" if "backend" in written else f"{where}: backend")
    return BalancerSettings(**values, backends=_read_backends(named, tables, where))


def _unique(named: tuple[tuple[str, str], ...], what: str) -> dict[str, str]:
    endpoints = dict(named)
    if len(endpoints) < len(named):
        names = [name for name, _ in named]
        twice = next(name for name in names if names.count(name) > 1)
        raise SettingError(f"{what}: there are two backends with the name {twice}")
    return endpoints


def _read_backends(named: Mapping[str, str], tables: Any, where: str) -> tuple[BackendSettings, ...]:
    if not isinstance(tables, dict) or not all(isinstance(each, dict) for each in tables.values()):
        raise SettingError(f"{where}: {_BACKENDS} are tables: [{_BACKENDS}.NAME]")
    described = {}
    for name in {**tables, **named}:
        table = f"{where}: [{_BACKENDS}.{name}]"
        try:
            backend_name(name)
        except ValueError as error:
            raise SettingError(f"{table} has no name that is {error}") from None
        written = dict(tables.get(name, {}))
        if name in named:
            written["endpoint"] = named[name]
        if "endpoint" not in written:
            raise SettingError(f"{table} has no endpoint")
        described[name] = BackendSettings(name=name, **read_settings({}, written, table, BACKEND_SETTINGS))
    return tuple(described.values())
