"""
What can be set about a cluster on one machine.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from echochat.daemon.readers import seconds, text, whole
from echochat.daemon.settings import Setting, SettingError, read_settings

MOST_WORKERS: Final = 256


def _plain(written: str) -> str:
    """
    Read where to listen.

    :raises ValueError: what is accepted there cannot be handed to workers.
    """
    if not written.startswith(("tcp:", "tcp6:", "unix:", "systemd:")):
        raise ValueError("tcp:, tcp6:, unix: or systemd: and the rest of such an endpoint: the workers get the sockets")
    return written


SETTINGS: Final = (
    Setting(
        "listen",
        _plain,
        "Where clients connect, a Twisted endpoint such as tcp:7000. May be given several times. "
        "[default: tcp:7000:interface=127.0.0.1]",
        repeatable=True,
    ),
    Setting(
        "auth",
        text,
        "Who may log in, as for echochat: argon2:FILE. May be given several times.",
        repeatable=True,
    ),
    Setting("data", text, "The folder of the broker's store, and of sockets. [default: echochat-data]"),
    Setting(
        "workers",
        whole(1, MOST_WORKERS),
        "How many servers run. [default: as many as there are processors]",
    ),
    Setting(
        "broker",
        text,
        "A broker that runs elsewhere, nats://HOST:PORT[,HOST:PORT...]. [default: one is run here, and syncs always]",
    ),
    Setting("status", text, "Where the balancer's status page is served. [default: nowhere]"),
    Setting("rebalance", str, "Move sessions to a worker that has few.", is_flag=True),
    Setting("drain", seconds(86_400), "Seconds that clients have to leave a worker that stops. [default: 5]"),
)
"""
Those of the cluster itself; what is said of its servers besides is theirs.
"""


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """
    A cluster's settings. :data:`SETTINGS` says what each is.

    :param servers: what its servers are told besides: by name, as it was written.
    """

    listen: tuple[str, ...] = ("tcp:7000:interface=127.0.0.1",)
    auth: tuple[str, ...] = ()
    data: str = "echochat-data"
    workers: int = 0
    broker: str | None = None
    status: str | None = None
    rebalance: bool = False
    drain: float = 5.0
    servers: tuple[tuple[str, Any], ...] = ()


def make_settings(
    written: Mapping[str, Any], config: Mapping[str, Any], where: str, passed: Sequence[Setting]
) -> ClusterSettings:
    """
    The settings of a cluster: see :func:`echochat.daemon.settings.read_settings`.

    :param passed: the settings of a server that may be given here, too.
    :raises SettingError: a name is unknown or a value is wrong.
    """
    values = read_settings(written, config, where, [*SETTINGS, *passed])
    own = {setting.attribute for setting in SETTINGS}
    servers = tuple(
        (setting.name, written.get(setting.name, config.get(setting.name)))
        for setting in passed
        if setting.attribute in values
    )
    settings = ClusterSettings(**{name: value for name, value in values.items() if name in own}, servers=servers)
    if settings.workers:
        return settings
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ClusterSettings(**{**{name: getattr(settings, name) for name in settings.__slots__}, "workers": processors})


__all__ = ["MOST_WORKERS", "SETTINGS", "ClusterSettings", "SettingError", "make_settings"]
