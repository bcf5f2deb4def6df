"""
Running a command of the command line on Twisted's reactor, and leaving with the right exit code.

Unlike ``twisted.internet.task.react``, an interrupted command does not look like one that succeeded, and one that
failed says so in one line.
"""

import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from echochat.client.harmless import harmless


class CommandFailed(Exception):
    """
    A command ends without success, for a reason that is the user's to know, in one line.

    :param code: the exit code.
    """

    def __init__(self, explanation: str, code: int = 1) -> None:
        super().__init__(explanation)
        self.code = code


class OutputClosed(Exception):
    """
    Nobody reads the output any more: end as quietly as a program that SIGPIPE ends.
    """


def run_command(main: Callable[[Any], Coroutine[Deferred[Any], Any, None]]) -> NoReturn:
    """
    Run a coroutine function on the reactor, which it is given, and exit.

    The exit code is 0, or that of :class:`CommandFailed`, or 128 and the signal's number.
    """
    from twisted.internet import reactor  # the one that was installed, or the default: known only now

    assert reactor is not None
    code: int | None = None
    stopped = False

    def end(result: object) -> None:
        nonlocal code
        if not stopped:
            code = _tell(result) if isinstance(result, Failure) else 0
            reactor.stop()

    async def run() -> None:
        await main(reactor)

    def begin() -> None:
        Deferred.fromCoroutine(run()).addBoth(end)

    def stopping() -> None:
        nonlocal stopped
        stopped = True

    reactor.addSystemEventTrigger("before", "shutdown", stopping)
    # Not callWhenRunning(): at that time the loop of asyncio does not run yet.
    reactor.callLater(0, begin)
    reactor.run()
    if code is None:
        # Stopped by a signal: no message, the user knows.
        code = 128 + int(getattr(reactor, "_exitSignal", None) or signal.SIGINT)
    sys.exit(code)


def _tell(failure: Failure) -> int:
    if failure.check(OutputClosed) is not None:
        return 128 + int(signal.SIGPIPE)
    if isinstance(failure.value, SystemExit):
        return int(failure.value.code or 0)
    if isinstance(failure.value, CommandFailed):
        # What a server says is quoted in it, and must not act on the user's terminal.
        print(f"echochat: {harmless(str(failure.value))}", file=sys.stderr)
        return failure.value.code
    for line in failure.getTraceback().rstrip("\n").split("\n"):
        print(harmless(line), file=sys.stderr)
    return 70  # EX_SOFTWARE: this is a bug of ours
