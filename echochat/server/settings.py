"""
What can be set about a server: one table for the command line, the configuration file and the documentation.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from echochat.history.records import Retention
from echochat.wire.lines import MAX_LINE


class SettingError(Exception):
    """
    Something was set to what it cannot be. The message is one sentence that names it and says what it may be.
    """


@dataclass(frozen=True, slots=True)
class Setting:
    """
    One thing that can be set.

    :ivar name: as on the command line and in the file.
    :ivar read: makes a value from what was written.
    :ivar help: one line for ``--help``.
    :ivar repeatable: several may be given; the value is a tuple then.
    :raises ValueError: by ``read``; its message says what the value may be.
    """

    name: str
    read: Callable[[str], Any]
    help: str
    repeatable: bool = False

    @property
    def attribute(self) -> str:
        """
        The name of the attribute of the settings that has it.
        """
        return self.name.replace("-", "_")


def whole(lowest: int, highest: int) -> Callable[[str], int]:
    """
    Read a whole number within bounds.
    """

    def read(written: str) -> int:
        try:
            number = int(written)
        except ValueError:
            number = lowest - 1
        if not lowest <= number <= highest:
            raise ValueError(f"a whole number from {lowest} to {highest}")
        return number

    return read


def seconds(highest: float) -> Callable[[str], float]:
    """
    Read a time in seconds: 0 to ``highest``, fractions allowed.
    """

    def read(written: str) -> float:
        try:
            number = float(written)
        except ValueError:
            number = -1.0
        if not 0 <= number <= highest:
            raise ValueError(f"seconds from 0 to {highest:g}")
        return number

    return read


def text(written: str) -> str:
    """
    Read a text that is not empty.
    """
    if not written:
        raise ValueError("not empty")
    return written


def one_of(*choices: str) -> Callable[[str], str]:
    """
    Read one of a few words.
    """

    def read(written: str) -> str:
        if written not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return written

    return read


def unix_endpoint(written: str) -> str:
    """
    Read where a UNIX socket is: ``unix:PATH``.
    """
    if not written.startswith("unix:") or written == "unix:":
        raise ValueError("of the form unix:PATH")
    return written


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
        "Where events are kept: sqlite:PATH or memory:. [default: sqlite:echochat.sqlite3]",
    ),
    Setting("retain-age", seconds(1e10), "Seconds for which an event is kept. [default: 604800, a week]"),
    Setting("retain-size", whole(1 << 20, 1 << 50), "Bytes that the history may have. [default: 1073741824]"),
    Setting("retain-events", whole(1, 1_000_000_000), "Events of a topic that are kept. [default: 100000]"),
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
    retain_age: float = Retention().age
    retain_size: int = Retention().size
    retain_events: int = Retention().events
    max_line: int = MAX_LINE
    max_connections: int = 0
    per_address: int = 64
    idle: float = 0.0
    first_line: float = 60.0
    stall: float = 30.0
    drain: float = 5.0
    guests: str | None = None
    tokens: str | None = None
    rules: str | None = None
    control: str | None = None


def read_config(path: str) -> dict[str, Any]:
    """
    Read a configuration file (TOML): the names of the command line, without the dashes before them.

    :raises SettingError: the file cannot be read, or is not TOML, or has a table.
    """
    try:
        written = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise SettingError(f"the configuration file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"the configuration file {path} is not TOML: {error}") from None
    return written


def make_settings(
    written: Mapping[str, Any],
    config: Mapping[str, Any],
    where: str,
    table: Sequence[Setting] = SETTINGS,
) -> ServerSettings:
    """
    Combine what the command line says with what the configuration file says; the command line wins.

    :param written: by name, what was given on the command line: texts, or lists of them.
    :param config: by name, what the file has.
    :param where: the file's name, for what is said about it.
    :raises SettingError: a name is unknown or a value is wrong.
    """
    known = {setting.name: setting for setting in table}
    for name in config:
        if name not in known:
            raise SettingError(f"{where}: {name} is not a setting; there are {', '.join(known)}")
    values: dict[str, Any] = {}
    for name, setting in known.items():
        if name in written:
            values[setting.attribute] = _read(setting, written[name], f"--{name}")
        elif name in config:
            values[setting.attribute] = _read(setting, config[name], f"{where}: {name}")
    assert {setting.attribute for setting in table} <= {field.name for field in fields(ServerSettings)}
    return ServerSettings(**values)


def _read(setting: Setting, written: Any, what: str) -> Any:
    given = written if isinstance(written, list) else [written]
    if setting.repeatable and not given:
        raise SettingError(f"{what} is one value or several, not none")
    if any(isinstance(each, bool | dict | list) for each in given) or (not setting.repeatable and len(given) != 1):
        raise SettingError(f"{what} is one value: a number or a text{', or a list of them' * setting.repeatable}")
    try:
        values = tuple(setting.read(str(each)) for each in given)
    except ValueError as error:
        raise SettingError(f"{what} is {error}") from None
    return values if setting.repeatable else values[0]
