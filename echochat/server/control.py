"""
The control socket: the operator's commands, in the grammar of the line protocol.

It listens on a UNIX socket that only the server's own user may open; whoever can open it may do everything here.

| command | item lines | closing line |
| --- | --- | --- |
| ``/status`` | ``/info NAME: VALUE`` | ``/ok status N`` |
| ``/reload`` | ``/info WHAT: RESULT`` | ``/ok reload N``, or ``/err unavailable`` when something was kept as it was |
| ``/kick WHO`` | | ``/ok kick N`` connections |
| ``/ban WHO [SECONDS]`` | | ``/ok ban N`` connections |
| ``/unban WHO`` | | ``/ok unban`` |
| ``/drain`` | | ``/ok drain`` |

WHO is a name or an address.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.server.operations import Operations
from echochat.wire.answers import Err, Info, Ok
from echochat.wire.commands import Command, CommandError, parse_command
from echochat.wire.lines import Line, LineReader, Overlong

_MAX_LINE: Final = 4_096
_WHO: Final = "WHO is a name or an address"


class ControlProtocol(Protocol):
    """
    One operator's connection. Commands are carried out one after the other.
    """

    log = make_logger()

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._reader = LineReader(_MAX_LINE)
        self._turns = DeferredLock()

    def dataReceived(self, data: bytes) -> None:
        for line in self._reader.feed(data):
            answered: Deferred[None] = self._turns.run(Deferred.fromCoroutine, self._answer(line))
            answered.addErrback(self._failed)

    async def _answer(self, line: Line | Overlong) -> None:
        label = None
        try:
            if isinstance(line, Overlong):
                raise CommandError("line-too-long", f"a line may have {_MAX_LINE} bytes")
            text = line[0].decode()
            command = parse_command(text if text.startswith("/") else "/")
            label = command.label
            perform = _COMMANDS.get(command.verb)
            if perform is None:
                raise CommandError("unknown-command", f"there are {', '.join('/' + verb for verb in _COMMANDS)}")
            answer = await perform(self._operations, command)
        except UnicodeDecodeError:
            answer = Err("bad-encoding", "a line is UTF-8 text").encode()
        except CommandError as error:
            answer = Err(error.code, error.explanation, label).encode()
        assert self.transport is not None
        self.transport.write(answer)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("a control command failed", failure)
        assert self.transport is not None
        self.transport.loseConnection()


class ControlFactory(Factory):
    """
    Serves operators.
    """

    noisy = False

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def buildProtocol(self, addr: IAddress | None) -> ControlProtocol:
        return ControlProtocol(self._operations)


def _items(values: dict[str, str | int | float] | dict[str, str], command: Command) -> bytes:
    return b"".join(Info(f"{name}: {value}", command.label).encode() for name, value in values.items())


def _who(command: Command) -> str:
    who = command.rest.strip(" ")
    if not who or " " in who:
        raise CommandError("bad-arguments", f"type /{command.verb} WHO; {_WHO}")
    return who


def _no_arguments(command: Command) -> None:
    if command.rest.strip(" "):
        raise CommandError("bad-arguments", f"/{command.verb} takes no arguments")


async def _status(operations: Operations, command: Command) -> bytes:
    _no_arguments(command)
    status = operations.status()
    return _items(status, command) + Ok("status", str(len(status)), command.label).encode()


async def _reload(operations: Operations, command: Command) -> bytes:
    _no_arguments(command)
    results = await operations.reload()
    kept = sum(result != "reloaded" for result in results.values())
    closing = Err("unavailable", f"{kept} of {len(results)} kept as they were", command.label).encode()
    if not kept:
        closing = Ok("reload", str(len(results)), command.label).encode()
    return _items(results, command) + closing


async def _kick(operations: Operations, command: Command) -> bytes:
    return Ok("kick", str(operations.kick(_who(command))), command.label).encode()


async def _ban(operations: Operations, command: Command) -> bytes:
    who, _, written = command.rest.strip(" ").partition(" ")
    try:
        seconds = float(written) if written else None
    except ValueError:
        seconds = -1.0
    if not who or (seconds is not None and not 0 < seconds < 1e9):
        raise CommandError("bad-arguments", f"type /ban WHO [SECONDS]; {_WHO}")
    return Ok("ban", str(operations.ban(who, seconds)), command.label).encode()


async def _unban(operations: Operations, command: Command) -> bytes:
    if not operations.unban(_who(command)):
        raise CommandError("bad-arguments", "that is not banned")
    return Ok("unban", label=command.label).encode()


async def _drain(operations: Operations, command: Command) -> bytes:
    _no_arguments(command)
    operations.drain()
    return Ok("drain", label=command.label).encode()


_COMMANDS: Final[dict[str, Callable[[Operations, Command], Awaitable[bytes]]]] = {
    "status": _status,
    "reload": _reload,
    "kick": _kick,
    "ban": _ban,
    "unban": _unban,
    "drain": _drain,
}
