"""
``echochat status``, ``reload``, ``kick``, ``ban``, ``unban``, ``move`` and ``drain``: the operator's commands, over the
control socket.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import click

from echochat.client.harmless import harmless
from echochat.client.operator import OperationFailed, ask

_control = click.option(
    "--control",
    envvar="ECHOCHAT_CONTROL",
    required=True,
    metavar="unix:PATH",
    help="The server's control socket: what it was given as --control. [env: ECHOCHAT_CONTROL]",
)


def refuse(error: OperationFailed, program: str = "echochat") -> NoReturn:
    """
    Print what came before a refusal and why it was one, and exit.

    :param program: what stands before the command's verb on the command line.
    """
    say(error.args[1])
    why = error.args[0]
    if why.startswith("type /"):
        # Who types here does not speak the protocol.
        why = re.sub(r"(?<!\S)/(?=[a-z])", f"{program} ", why)
    click.echo(f"echochat: {harmless(why)}", err=True)
    sys.exit(1)


def say(items: Iterable[str]) -> None:
    """
    Print what a process has said: text of users may be quoted in it.
    """
    for item in items:
        click.echo(harmless(item))


def _simple(verb: str, done: Callable[[str], str]) -> Callable[[str, str], None]:
    def run(control: str, arguments: str) -> None:
        try:
            items, rest = ask(control, f"/{verb} {arguments}".rstrip())
        except OperationFailed as error:
            refuse(error)
        say([*items, done(rest)])

    return run


def _connections(rest: str) -> str:
    return f"{rest} connection{'s' * (rest != '1')} closed"


@click.command()
@_control
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def status(control: str, as_json: bool) -> None:
    """
    Show how a server is.
    """
    try:
        items, _ = ask(control, "/status")
    except OperationFailed as error:
        refuse(error)
    values = dict(item.split(": ", 1) for item in items)
    if as_json:
        click.echo(json.dumps({name: _number(value) for name, value in values.items()}))
        return
    width = max(map(len, values), default=0)
    for name, value in values.items():
        click.echo(harmless(f"{name:<{width}}  {value}"))


def _number(value: str) -> Any:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


@click.command()
@_control
def reload(control: str) -> None:
    """
    Read certificates, accounts, access rules and the configuration file again.
    """
    _simple("reload", lambda rest: "reloaded")(control, "")


@click.command()
@_control
@click.argument("who")
def kick(control: str, who: str) -> None:
    """
    Close the connections of a name, or from an address, on all servers that share a log.
    """
    _simple("kick", _connections)(control, who)


@click.command()
@_control
@click.argument("who")
@click.argument("seconds", required=False, type=click.FloatRange(min=0, min_open=True))
def ban(control: str, who: str, seconds: float | None) -> None:
    """
    Kick, and keep out for so many seconds, or until the server is restarted.

    Where servers share a log: out of all of them, and without seconds until unbanned.
    """
    _simple("ban", _connections)(control, who if seconds is None else f"{who} {seconds}")


@click.command()
@_control
@click.argument("who")
def unban(control: str, who: str) -> None:
    """
    Let a name or an address in again.
    """
    _simple("unban", lambda rest: "unbanned")(control, who)


@click.command()
@_control
@click.argument("seconds", type=click.FloatRange(0, 86_400))
@click.option("--count", type=click.IntRange(0), metavar="N", help="How many. [default: all]")
def move(control: str, seconds: float, count: int | None) -> None:
    """
    Ask a server's clients to go to another one.

    They are asked to reconnect, one after the other over so many SECONDS, and a balancer takes them elsewhere. The
    server goes on. A later "move" takes the place of one that is under way: "move --count 0 0" ends it.
    """
    how_many = "" if count is None else f"{count} "
    _simple("move", lambda rest: f"{rest} client{'s' * (rest != '1')} will be asked")(control, f"{how_many}{seconds:g}")


@click.command()
@_control
def drain(control: str) -> None:
    """
    Stop a server: clients are told, and have its drain time to leave.
    """
    _simple("drain", lambda rest: "draining")(control, "")
