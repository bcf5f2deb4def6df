"""
How a server's process ends: with one line when it cannot start, and with an exit code that a supervisor understands.
"""

import atexit
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from twisted.internet.error import ReactorNotRunning
from txaio.tx import make_logger

from echochat.daemon.ports import CannotStart

_reasons: Final[list[str]] = []
"""
Why the process cannot go on.
"""


def _log(reason: str) -> None:
    make_logger().error("{reason}", reason=reason)


def _leave_to_complaint(reason: str) -> None:
    """
    Whoever would read it in the log reads it as the complaint.
    """


def how_to_log(options: Any) -> Callable[[str], None]:
    """
    How a reason gets into the log, if it has to: not where the log is shown at the same place as a complaint, as when a
    server is started in a terminal. Nobody wants to read it twice.

    :param options: those of the service; their parent's are ``twistd``'s or ``twist``'s.
    """
    program = getattr(options, "parent", None) or {}
    if "logFile" in program:
        is_shown = program["logFile"] in (sys.stdout, sys.stderr) and program["logFormat"] == "text"
    else:
        elsewhere = [program.get(name) for name in ("syslog", "logger") if program.get(name)]
        is_shown = program.get("nodaemon") and program.get("logfile") in (None, "-") and not elsewhere
    # Standard output and standard error.
    return _leave_to_complaint if is_shown and os.path.sameopenfile(1, 2) else _log


def tell_refusals_in_one_line(log: Callable[[str], None] = _log) -> None:
    """
    Have Python end the process with one line, and no traceback, when a :exc:`CannotStart` ends it.

    That is an exception, and not an exit, so that twistd removes its pidfile, and tells whoever started a daemon.

    :param log: from :func:`how_to_log`.
    """

    def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, CannotStart):
            log(str(error))
            _complain(str(error))
        else:
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = tell


def give_up(reactor: Any, reason: str, log: Callable[[str], None] = _log) -> None:
    """
    Stop a service that cannot go on, with exit code 1, and one line, which is the last: what is logged while it stops
    does not hide it.

    :param log: from :func:`how_to_log`.
    """
    log(reason)
    if not _reasons:
        atexit.register(_exit_with_failure)
    _reasons.append(reason)
    reactor.callWhenRunning(stop, reactor)


def stop(reactor: Any) -> bool:
    """
    Stop the reactor.

    :return: False when it is stopping already.
    """
    try:
        reactor.stop()
    except ReactorNotRunning:
        return False
    return True


def _complain(reason: str) -> None:
    # Whoever would read it may have gone, as in "2>&1 | head".
    with suppress(OSError):
        # twistd has put its log in the place of sys.stderr.
        print(f"echochat: {reason}", file=sys.__stderr__, flush=True)


def _exit_with_failure() -> None:
    with suppress(OSError):
        sys.stdout.flush()
    for reason in _reasons:
        _complain(reason)
    # At this point nothing else changes the exit code.
    os._exit(1)
