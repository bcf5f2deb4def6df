"""
What an operator may tell a server, over its control socket (:mod:`echochat.daemon.control`).

| command | item lines | closing line |
| --- | --- | --- |
| ``/status`` | ``/info NAME: VALUE`` | ``/ok status N`` |
| ``/reload`` | ``/info WHAT: RESULT`` | ``/ok reload N``, or ``/err unavailable`` when something was kept as it was |
| ``/kick WHO`` | ``/info REMARK`` | ``/ok kick N`` connections |
| ``/ban WHO [SECONDS]`` | ``/info REMARK`` | ``/ok ban N`` connections |
| ``/unban WHO`` | ``/info REMARK`` | ``/ok unban`` |
| ``/move [COUNT] SECONDS`` | | ``/ok move N`` connections that will be asked |
| ``/drain`` | | ``/ok drain`` |

WHO is a name or an address. Kicks and bans hold for all servers that share a log; a remark names one that has not
answered, or says that the broker does not keep a ban, or its end, for servers that are started later.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Final

from echochat.chat.ban_book import BanBookFull
from echochat.daemon.control import Perform, items, no_arguments, reload
from echochat.daemon.readers import seconds, whole
from echochat.server.bans import is_who
from echochat.server.fellows.orders import Expelled
from echochat.server.operations import Operations
from echochat.wire.answers import Info, Ok
from echochat.wire.commands import Command, CommandError

_WHO: Final = "WHO is a name or a single address"


def commands(operations: Operations) -> Mapping[str, Perform]:
    """
    By verb, what carries it out.
    """
    return {verb: partial(perform, operations) for verb, perform in _COMMANDS.items()}


def _who(command: Command) -> str:
    who = command.rest.strip(" ")
    if not is_who(who):
        raise CommandError("bad-arguments", f"type /{command.verb} WHO; {_WHO}")
    return who


def _remarks(remarks: Iterable[str], command: Command) -> bytes:
    return b"".join(Info(remark, command.label).encode() for remark in remarks)


def _expelled(expelled: Expelled, command: Command) -> bytes:
    return _remarks(expelled.remarks, command) + Ok(command.verb, str(expelled.closed), command.label).encode()


async def _status(operations: Operations, command: Command) -> bytes:
    no_arguments(command)
    status = operations.status()
    return items(status, command) + Ok("status", str(len(status)), command.label).encode()


async def _reload(operations: Operations, command: Command) -> bytes:
    return await reload(operations.reloads, command)


async def _kick(operations: Operations, command: Command) -> bytes:
    return _expelled(await operations.kick_everywhere(_who(command)), command)


async def _ban(operations: Operations, command: Command) -> bytes:
    who, _, written = command.rest.strip(" ").partition(" ")
    try:
        seconds = float(written) if written else None
    except ValueError:
        seconds = -1.0
    if not is_who(who) or (seconds is not None and not 0 < seconds < 1e9):
        raise CommandError("bad-arguments", f"type /ban WHO [SECONDS]; {_WHO}")
    try:
        return _expelled(await operations.ban_everywhere(who, seconds), command)
    except BanBookFull as full:
        raise CommandError("too-many", full.args[0]) from None


async def _unban(operations: Operations, command: Command) -> bytes:
    remarks = await operations.unban_everywhere(_who(command))
    if remarks is None:
        raise CommandError("bad-arguments", "that is not banned")
    return _remarks(remarks, command) + Ok("unban", label=command.label).encode()


async def _move(operations: Operations, command: Command) -> bytes:
    *count, written = command.rest.split() or [""]
    try:
        within = seconds(86_400)(written)
        most = whole(0, 10_000_000)(count[0]) if count else None
    except ValueError:
        within = -1.0
    if within < 0 or len(count) > 1:
        raise CommandError("bad-arguments", "type /move [COUNT] SECONDS; COUNT is all unless told")
    return Ok("move", str(operations.move(most, within)), command.label).encode()


async def _drain(operations: Operations, command: Command) -> bytes:
    no_arguments(command)
    operations.drain()
    return Ok("drain", label=command.label).encode()


_COMMANDS: Final[dict[str, Callable[[Operations, Command], Awaitable[bytes]]]] = {
    "status": _status,
    "reload": _reload,
    "kick": _kick,
    "ban": _ban,
    "unban": _unban,
    "move": _move,
    "drain": _drain,
}
