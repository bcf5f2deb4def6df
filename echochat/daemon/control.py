"""
A control socket: the operator's commands, in the grammar of the line protocol.

It listens on a UNIX socket that only the process's own user may open; whoever can open it may do everything here. What
the commands are is said by whoever makes the factory.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.daemon.reloads import Reloads
from echochat.wire.answers import Err, Info, Ok
from echochat.wire.commands import Command, CommandError, parse_command
from echochat.wire.lines import Line, LineReader, Overlong

_MAX_LINE: Final = 4_096

Perform: TypeAlias = Callable[[Command], Awaitable[bytes]]
"""
Carries out a command and gives its answer: item lines and a closing line, encoded.

:raises CommandError: it cannot be carried out; the error is the answer.
"""


class ControlProtocol(Protocol):
    """
    One operator's connection. Commands are carried out one after the other.
    """

    log = make_logger()

    def __init__(self, commands: Mapping[str, Perform]) -> None:
        self._commands = commands
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
            perform = self._commands.get(command.verb)
            if perform is None:
                raise CommandError("unknown-command", f"there are {', '.join('/' + verb for verb in self._commands)}")
            answer = await perform(command)
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

    :param commands: by verb, in lower case, what carries it out.
    """

    noisy = False

    def __init__(self, commands: Mapping[str, Perform]) -> None:
        self._commands = commands

    def buildProtocol(self, addr: IAddress | None) -> ControlProtocol:
        return ControlProtocol(self._commands)


def items(values: Mapping[str, str | int | float], command: Command) -> bytes:
    """
    Item lines of the form ``/info NAME: VALUE``.
    """
    return b"".join(Info(f"{name}: {value}", command.label).encode() for name, value in values.items())


def no_arguments(command: Command) -> None:
    """
    :raises CommandError: there are some.
    """
    if command.rest.strip(" "):
        raise CommandError("bad-arguments", f"/{command.verb} takes no arguments")


async def reload(reloads: Reloads, command: Command) -> bytes:
    """
    Carry out ``/reload``: an item for each thing, and an error when something was kept as it was.
    """
    no_arguments(command)
    results = await reloads.reload()
    kept = sum(result != "reloaded" for result in results.values())
    closing = Err("unavailable", f"{kept} of {len(results)} kept as they were", command.label).encode()
    if not kept:
        closing = Ok("reload", str(len(results)), command.label).encode()
    return items(results, command) + closing
