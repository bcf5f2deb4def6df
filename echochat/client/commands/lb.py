"""
``echochat lb``: the operator's commands of a balancer, over its control socket.
"""

import json
from collections.abc import Iterable
from typing import Any

import click

from echochat.client.backend_table import print_backends
from echochat.client.commands.operate import refuse, say
from echochat.client.operator import OperationFailed, ask

_control = click.option(
    "--control",
    envvar="ECHOCHAT_LB_CONTROL",
    required=True,
    metavar="unix:PATH",
    help="The balancer's control socket: what it was given as --control. [env: ECHOCHAT_LB_CONTROL]",
)


@click.group()
def command() -> None:
    """
    Operate a balancer.

    Each command acts at once, and touches no connection but those that it names.
    """


def _ask(control: str, verb: str, *words: str) -> tuple[list[str], str]:
    if any(not word or " " in word for word in words):
        refuse(OperationFailed("a name, an endpoint or a setting is one word", []))
    try:
        return ask(control, " ".join([f"/{verb}", *words]))
    except OperationFailed as error:
        refuse(error, "echochat lb")


def _say(items: Iterable[str], last: str) -> None:
    say([*items, last])


def _connections(count: str) -> str:
    return f"{count} connection{'s' * (count != '1')}"


@command.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
@_control
def status(control: str, as_json: bool) -> None:
    """
    Show the backends, and how each is.
    """
    items, _ = _ask(control, "status")
    try:
        described = [(what, json.loads(values)) for what, _, values in (item.partition(" ") for item in items)]
    except ValueError:
        refuse(OperationFailed("this is the control socket of something else than a balancer", []))
    balancer: dict[str, Any] = next((values for what, values in described if what == "balancer"), {})
    backends = [values for what, values in described if what == "backend"]
    if as_json:
        click.echo(json.dumps({"balancer": balancer, "backends": backends}))
    else:
        print_backends(balancer, backends)


@command.command()
@click.argument("backend")
@click.argument("seconds", required=False, type=click.FloatRange(0, 86_400))
@_control
def drain(control: str, backend: str, seconds: float | None) -> None:
    """
    Let a backend's sessions move away.

    It gets no more connections, and its sessions are asked to reconnect, spread over so many SECONDS: the balancer's
    --drain unless told.
    """
    items, count = _ask(control, "drain", backend, *([] if seconds is None else [f"{seconds:g}"]))
    _say(items, f"{backend} drains: it has {_connections(count)}")


@command.command()
@click.argument("backend")
@_control
def ready(control: str, backend: str) -> None:
    """
    Give a backend connections again.
    """
    items, _ = _ask(control, "ready", backend)
    _say(items, f"{backend} is ready")


@command.command()
@click.argument("backend")
@_control
def down(control: str, backend: str) -> None:
    """
    Take a backend out.

    It gets no more connections, and is not looked at. The connections that it has go on.
    """
    items, count = _ask(control, "down", backend)
    _say(items, f"{backend} is down: it has {_connections(count)}")


@command.command()
@click.argument("backend")
@click.argument("weight", type=click.IntRange(1, 1_000_000))
@_control
def weight(control: str, backend: str, weight: int) -> None:
    """
    Give a backend another share.

    It counts for the connections to come.
    """
    items, _ = _ask(control, "weight", backend, str(weight))
    _say(items, f"{backend} has weight {weight}")


@command.command()
@click.argument("named", metavar="NAME=ENDPOINT")
@click.option("--weight", type=click.IntRange(1, 1_000_000), metavar="N", help="Its share of the connections.")
@click.option("--max", "most", type=click.IntRange(0), metavar="N", help="How many it may have at once; 0: no limit.")
@click.option("--backup", is_flag=True, help="It gets connections only when no other backend can.")
@click.option("--check", type=click.Choice(("tcp", "ping", "none")), help="How its health is looked at.")
@click.option("--backend-control", metavar="unix:PATH", help="The control socket of the echochat server there.")
@_control
def add(
    control: str,
    named: str,
    weight: int | None,
    most: int | None,
    backup: bool,
    check: str | None,
    backend_control: str | None,
) -> None:
    """
    Add a backend, until the balancer is restarted.
    """
    settings = {"weight": weight, "max": most, "check": check, "control": backend_control}
    words = [f"{name}={value}" for name, value in settings.items() if value is not None]
    items, _ = _ask(control, "add", named, *words, *(["backup"] if backup else []))
    _say(items, f"{named.partition('=')[0]} was added")


@command.command()
@click.argument("backend")
@_control
def remove(control: str, backend: str) -> None:
    """
    Remove a backend.

    Its sessions are asked to move, and it is gone when the last has ended.
    """
    items, count = _ask(control, "remove", backend)
    _say(items, f"{backend} was removed: it has {_connections(count)}")


@command.command()
@click.argument("who", metavar="ADDRESS|NUMBER|backend NAME", nargs=-1, required=True)
@_control
def kick(control: str, who: tuple[str, ...]) -> None:
    """
    Close connections.

    Those from an ADDRESS, the one that has this NUMBER in the log, or those at a backend.
    """
    items, count = _ask(control, "kick", *who)
    _say(items, f"{_connections(count)} closed")


@command.command()
@_control
def reload(control: str) -> None:
    """
    Read the configuration file and certificates again.
    """
    items, _ = _ask(control, "reload")
    _say(items, "reloaded")
