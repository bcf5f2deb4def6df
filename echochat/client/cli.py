"""
The ``echochat`` command.

A subcommand is imported when it is called, so that ``echochat --version`` and ``--help`` answer without importing
Twisted, and shell completion stays quick.
"""

import gc
import importlib
from types import ModuleType
from typing import Final

import click

from echochat import __version__

_SUBCOMMANDS: Final = {
    "ban": "Kick somebody, and keep them out.",
    "certs": "Make certificates, for a server and its clients.",
    "chat": "Talk to a server, in a terminal or in a pipe.",
    "cluster": "Operate a cluster on this machine.",
    "drain": "Stop a server; its clients are told before.",
    "history": "Print what was published in a topic.",
    "kick": "Close somebody's connections.",
    "lb": "Operate a balancer.",
    "move": "Ask a server's clients to go to another one.",
    "passwd": "Add, change and remove accounts.",
    "pub": "Publish a text, or each line of the input.",
    "reload": "Have a server read its files again.",
    "rules": "Explain what access rules allow.",
    "status": "Show how a server is.",
    "sub": "Follow topics, and print what is published.",
    "token": "Make a token, or a key for tokens.",
    "unban": "Let somebody in again.",
}

# Commands that live in one module: named there as they are typed.
_SHARED: Final = dict.fromkeys(("status", "reload", "kick", "ban", "unban", "move", "drain"), "operate")


class _LazyGroup(click.Group):
    """
    A group whose commands live in modules of their own names.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _SUBCOMMANDS:
            return None
        module = _import(f"echochat.client.commands.{_SHARED.get(cmd_name, cmd_name)}")
        command = getattr(module, cmd_name if cmd_name in _SHARED else "command")
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # click would import every subcommand for its one line of help.
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_SUBCOMMANDS.items()))


def _import(name: str) -> ModuleType:
    """
    Import without looking for garbage meanwhile, of which importing makes next to none: that was a seventh of the time
    that a command takes to start. Nor is what was imported looked through later.
    """
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="echochat", message="%(prog)s %(version)s")
def main() -> None:
    """
    Talk to an echochat server.
    """
