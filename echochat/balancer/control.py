"""
What an operator may tell a balancer, over its control socket (:mod:`echochat.daemon.control`).

| command | item lines | closing line |
| --- | --- | --- |
| ``/status`` | ``/info balancer JSON``, ``/info backend JSON`` | ``/ok status N`` backends |
| ``/drain NAME [SECONDS]`` | ``/info`` what came of asking its sessions to move | ``/ok drain N`` connections |
| ``/ready NAME`` | | ``/ok ready`` |
| ``/down NAME`` | | ``/ok down N`` connections |
| ``/weight NAME N`` | | ``/ok weight`` |
| ``/add NAME=ENDPOINT [weight=N] [max=N] [backup] [check=KIND] [control=unix:PATH]`` | | ``/ok add`` |
| ``/remove NAME`` | | ``/ok remove N`` connections |
| ``/kick ADDRESS``, ``/kick NUMBER``, ``/kick backend NAME`` | | ``/ok kick N`` connections |
| ``/reload`` | ``/info WHAT: RESULT``, ``/info backend CHANGE`` | ``/ok reload N``, or ``/err unavailable`` |

Whoever takes out the last backend that served is told so, in an ``/info`` more.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

from echochat.balancer.backends import MOST_WEIGHT
from echochat.balancer.described import read_backend
from echochat.balancer.operations import Operations, UnknownBackend
from echochat.balancer.routes import Held
from echochat.daemon.control import Perform, no_arguments, reload
from echochat.daemon.readers import seconds, whole
from echochat.net.sources import read_address
from echochat.wire.answers import Info, Ok
from echochat.wire.commands import Command, CommandError

_USAGE: Final = {
    "drain": "NAME [SECONDS]",
    "ready": "NAME",
    "down": "NAME",
    "weight": "NAME N",
    "add": "NAME=ENDPOINT [weight=N] [max=N] [backup] [check=tcp|ping|none] [control=unix:PATH]",
    "remove": "NAME",
    "kick": "ADDRESS, /kick NUMBER or /kick backend NAME",
}


def commands(operations: Operations) -> Mapping[str, Perform]:
    """
    By verb, what carries it out.
    """
    return {verb: partial(_perform, perform, operations) for verb, perform in _COMMANDS.items()}


async def _perform(
    perform: Callable[[Operations, Command], Awaitable[bytes]], operations: Operations, command: Command
) -> bytes:
    try:
        return await perform(operations, command)
    except UnknownBackend as error:
        raise CommandError("bad-arguments", str(error)) from None


async def _status(operations: Operations, command: Command) -> bytes:
    no_arguments(command)
    backends = operations.status.backends()
    described = [("balancer", operations.status.balancer()), *(("backend", each) for each in backends)]
    lines = [Info(f"{what} {json.dumps(values)}", command.label).encode() for what, values in described]
    return b"".join(lines) + Ok("status", str(len(backends)), command.label).encode()


async def _drain(operations: Operations, command: Command) -> bytes:
    name, *rest = _words(command, 1, 2)
    within = _read(command, seconds(86_400), rest[0], "SECONDS") if rest else None
    active = operations.backend(name).active
    asking = operations.drain(name, within)
    alarm = _alarm(operations, command)
    item = b"" if asking is None else Info(await asking, command.label).encode()
    return alarm + item + Ok("drain", str(active), command.label).encode()


async def _ready(operations: Operations, command: Command) -> bytes:
    operations.ready(*_words(command, 1))
    return Ok("ready", label=command.label).encode()


async def _down(operations: Operations, command: Command) -> bytes:
    [name] = _words(command, 1)
    operations.down(name)
    return _alarm(operations, command) + Ok("down", str(operations.backend(name).active), command.label).encode()


async def _weight(operations: Operations, command: Command) -> bytes:
    name, written = _words(command, 2)
    operations.weigh(name, _read(command, whole(1, MOST_WEIGHT), written, "N"))
    return Ok("weight", label=command.label).encode()


async def _add(operations: Operations, command: Command) -> bytes:
    named, *options = _words(command, 1, 6)
    try:
        operations.add(read_backend(named, options))
    except ValueError as error:
        raise CommandError("bad-arguments", str(error)) from None
    return Ok("add", label=command.label).encode()


async def _remove(operations: Operations, command: Command) -> bytes:
    [name] = _words(command, 1)
    active = operations.remove(name)
    return _alarm(operations, command) + Ok("remove", str(active), command.label).encode()


async def _kick(operations: Operations, command: Command) -> bytes:
    first, *rest = _words(command, 1, 2)
    if rest and first != "backend":
        raise _misused(command)
    if rest:
        is_meant = partial(_is_at, rest[0])
        # One that is leaving has connections, too, and is no backend any more.
        if not any(each["name"] == rest[0] for each in operations.status.backends()):
            operations.backend(rest[0])
    elif first.isdecimal():
        is_meant = partial(_has_number, int(first))
    else:
        try:
            is_meant = partial(_is_from, read_address(first))
        except ValueError:
            raise _misused(command) from None
    return Ok("kick", str(operations.kick(is_meant)), command.label).encode()


async def _reload(operations: Operations, command: Command) -> bytes:
    # A configuration that cannot be read changes nothing.
    operations.changes = []
    answer = await reload(operations.reloads, command)
    changes = b"".join(Info(f"backend {change}", command.label).encode() for change in operations.changes)
    return changes + answer


_COMMANDS: Final[dict[str, Callable[[Operations, Command], Awaitable[bytes]]]] = {
    "status": _status,
    "drain": _drain,
    "ready": _ready,
    "down": _down,
    "weight": _weight,
    "add": _add,
    "remove": _remove,
    "kick": _kick,
    "reload": _reload,
}


def _alarm(operations: Operations, command: Command) -> bytes:
    """
    What an operator has to know who has just taken a backend out.
    """
    shortage = operations.status.balancer()["shortage"]
    return b"" if shortage is None else Info(f"clients are refused now: {shortage}", command.label).encode()


def _is_at(name: str, held: Held) -> bool:
    return held.lease is not None and held.lease.backend.name == name


def _has_number(number: int, held: Held) -> bool:
    return held.number == number


def _is_from(address: Any, held: Held) -> bool:
    host = getattr(held.peer, "host", None)
    return host is not None and read_address(host) == address


def _words(command: Command, least: int, most: int | None = None) -> list[str]:
    words = command.rest.split()
    if not least <= len(words) <= (most or least):
        raise _misused(command)
    return words


def _read(command: Command, read: Callable[[str], Any], written: str, what: str) -> Any:
    try:
        return read(written)
    except ValueError as error:
        raise CommandError("bad-arguments", f"{what} of /{command.verb} is {error}") from None


def _misused(command: Command) -> CommandError:
    return CommandError("bad-arguments", f"type /{command.verb} {_USAGE[command.verb]}")
