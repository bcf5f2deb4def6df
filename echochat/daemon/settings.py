"""
What can be set about a process: one table for the command line, the configuration file and the documentation.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
    :ivar is_flag: stands alone on the command line; the file says true or false.
    :raises ValueError: by ``read``; its message says what the value may be.
    """

    name: str
    read: Callable[[str], Any]
    help: str
    repeatable: bool = False
    is_flag: bool = False

    @property
    def attribute(self) -> str:
        """
        The name of the attribute of the settings that has it.
        """
        return self.name.replace("-", "_")


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


def read_settings(
    written: Mapping[str, Any],
    config: Mapping[str, Any],
    where: str,
    table: Sequence[Setting],
) -> dict[str, Any]:
    """
    Combine what the command line says with what the configuration file says; the command line wins.

    :param written: by name, what was given on the command line: texts, or lists of them.
    :param config: by name, what the file has.
    :param where: the file's name, for what is said about it.
    :return: by attribute, the values of what was set; the others have their defaults.
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
    return values


def _read(setting: Setting, written: Any, what: str) -> Any:
    if setting.is_flag:
        if not isinstance(written, bool):
            raise SettingError(f"{what} is true or false")
        return written
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
