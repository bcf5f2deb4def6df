"""
The command line of a process, from a table of settings.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NoReturn

from twisted.python import usage

from echochat import __version__
from echochat.daemon.settings import Setting, SettingError, read_config


def fail(reason: str) -> NoReturn:
    """
    End the process with one line and exit code 1, as for any mistake of whoever starts it.
    """
    sys.exit(f"echochat: {reason}")


def parameters(table: Sequence[Setting]) -> list[list[Any]]:
    """
    What Twisted calls ``optParameters``: the settings with one value, and the configuration file.
    """
    single = [each for each in table if not (each.repeatable or each.is_flag)]
    return [
        *([each.name, None, None, each.help] for each in single),
        ["config", None, None, "A TOML file with the same names as here; the command line wins."],
    ]


def flags(table: Sequence[Setting]) -> list[list[Any]]:
    """
    What Twisted calls ``optFlags``.
    """
    return [[each.name, None, each.help] for each in table if each.is_flag]


def collect(setting: Setting) -> Callable[[Any, str], None]:
    """
    The ``opt_`` method of a setting that may be given several times.
    """

    def collect(options: Any, value: str) -> None:
        options[setting.name].append(value)

    collect.__doc__ = setting.help
    return collect


class ProcessOptions(usage.Options):
    """
    Options that stand in a table. What is wrong ends in one line and exit code 1.

    A subclass has the table, and ``optParameters``, ``optFlags`` and ``opt_`` methods made of it.
    """

    table: ClassVar[Sequence[Setting]]

    def __init__(self) -> None:
        super().__init__()
        for setting in self.table:
            if setting.repeatable:
                self[setting.name] = []

    # Called by Twisted

    def opt_version(self) -> NoReturn:
        """
        Print the version and exit.
        """
        print(f"echochat {__version__}")
        sys.exit(0)

    def parseOptions(self, options: Any = None) -> None:
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            # What a file of --auth has to say is not unexpected.
            fail(f"{str(error).removeprefix('Unexpected error: ')} (--help lists the options)")

    def parseArgs(self, *arguments: str) -> None:
        if arguments:
            raise usage.UsageError(f"{arguments[0]} is not an option")

    def postOptions(self) -> None:
        try:
            self.look()
        except SettingError as error:
            raise usage.UsageError(str(error)) from None

    # Ours

    def look(self) -> None:
        """
        Everything has been given: see what it means.

        :raises SettingError: something is wrong.
        """

    def written(self) -> dict[str, Any]:
        """
        By name, what the command line has.
        """
        given: dict[str, Any] = {}
        for setting in self.table:
            value = self[setting.name]
            if setting.is_flag:
                if value:
                    given[setting.name] = True
            elif value not in (None, []):
                given[setting.name] = value
        return given

    def configured(self) -> dict[str, Any]:
        """
        By name, what the configuration file has now.

        :raises SettingError: it cannot be read.
        """
        return read_config(self["config"]) if self["config"] else {}
