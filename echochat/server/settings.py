"""
What can be set about a server.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from echochat.chat.interests import MOST_TOPICS
from echochat.daemon.readers import amount, one_of, seconds, text, unix_endpoint, whole
from echochat.daemon.settings import Setting, read_settings
from echochat.history.records import Retention
from echochat.wire.lines import MAX_LINE

SETTINGS: Final = (
    Setting(
        "listen",
        text,
        "Where to listen, a Twisted endpoint such as tcp:7007, unix:PATH or systemd:domain=INET:index=0. "
        "May be given several times. [default: tcp:7007:interface=127.0.0.1]",
        repeatable=True,
    ),
    Setting(
        "history",
        text,
        "Where events are kept: sqlite:PATH, nats://HOST:PORT[,HOST:PORT...] for servers that share them, or memory:. "
        "[default: sqlite:echochat.sqlite3]",
    ),
    Setting("history-replicas", one_of("1", "3", "5"), "How many NATS servers keep each event. [default: 1]"),
    Setting("retain-age", seconds(1e10), "Seconds for which an event is kept. [default: 604800, a week]"),
    Setting("retain-size", whole(1 << 20, 1 << 50), "Bytes that the history may have. [default: 1073741824]"),
    Setting("retain-events", whole(1, 1_000_000_000), "Events of a topic that are kept. [default: 100000]"),
    Setting(
        "lease",
        whole(1, 25),
        "Seconds after which another server that is not heard of is gone, with its people, where servers share a "
        "history. [default: 20]",
    ),
    Setting("max-line", whole(64, 1 << 24), "The most bytes of a line without its end. [default: 65536]"),
    Setting(
        "max-connections",
        whole(0, 10_000_000),
        "The most connections at once; more wait unaccepted. [default: 0, by the limit of file descriptors]",
    ),
    Setting(
        "per-address",
        whole(0, 1_000_000),
        "The most connections at once from one address, and twice as many new ones in 10 s; 0: no limit. "
        "Loopback is exempt. [default: 64]",
    ),
    Setting(
        "idle",
        seconds(1e7),
        "Seconds without a line after which a connection is closed; 0: never. [default: 0]",
    ),
    Setting(
        "first-line",
        seconds(86_400),
        "Seconds within which a connection has to send its first line; 0: no limit. "
        "[default: 60; 10 where guests may only log in]",
    ),
    Setting(
        "stall",
        seconds(86_400),
        "Seconds after which a client that takes nothing of what was sent is disconnected. [default: 30]",
    ),
    Setting(
        "guests",
        one_of("yes", "echo", "no"),
        "What those may do who have not logged in: yes: everything; echo: messages and harmless commands; "
        "no: only log in. [default: yes; no with --auth or --tokens]",
    ),
    Setting("guest-burst", whole(1, 1_000_000), "What a guest from another machine may publish at once. [default: 10]"),
    Setting(
        "guest-rate",
        amount(1e6),
        "What such a guest may publish a second, in the long run; 0: there is no limit for guests. [default: 5]",
    ),
    Setting("subscriptions", whole(1, 1_000_000), "How many topics a connection may follow. [default: 128]"),
    Setting(
        "user-topics",
        whole(1, 100_000_000),
        "How many topics somebody who has logged in may follow, on all connections together. [default: 1000]",
    ),
    Setting("login-attempts", whole(1, 1_000), "Failed logins after which a connection is closed. [default: 3]"),
    Setting("tokens", text, "The key of signed tokens: a file that `echochat token --new-key` made, or a public key."),
    Setting("rules", text, "Access rules, a TOML file: what they do not allow is denied."),
    Setting("control", unix_endpoint, "A UNIX socket for the operator's commands, as unix:PATH. [default: none]"),
    Setting(
        "drain",
        seconds(86_400),
        "Seconds that clients have to leave when the server is stopped. [default: 5]",
    ),
)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """
    A server's settings; times are in seconds, sizes in bytes. :data:`SETTINGS` says what each is.
    """

    listen: tuple[str, ...] = ("tcp:7007:interface=127.0.0.1",)
    history: str = "sqlite:echochat.sqlite3"
    history_replicas: str = "1"
    retain_age: float = Retention().age
    retain_size: int = Retention().size
    retain_events: int = Retention().events
    lease: int = 20
    max_line: int = MAX_LINE
    max_connections: int = 0
    per_address: int = 64
    idle: float = 0.0
    first_line: float = 60.0
    stall: float = 30.0
    drain: float = 5.0
    guests: str | None = None
    guest_burst: int = 10
    guest_rate: float = 5.0
    subscriptions: int = 128
    user_topics: int = MOST_TOPICS
    login_attempts: int = 3
    tokens: str | None = None
    rules: str | None = None
    control: str | None = None


def make_settings(written: Mapping[str, Any], config: Mapping[str, Any], where: str) -> ServerSettings:
    """
    The settings of a server: see :func:`echochat.daemon.settings.read_settings`.

    :raises SettingError: a name is unknown or a value is wrong.
    """
    return ServerSettings(**read_settings(written, config, where, SETTINGS))
