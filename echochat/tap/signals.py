"""
What a process does on a signal.
"""

import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from echochat.daemon.reloads import Reloads
from echochat.tap.ending import stop


def take_signals(reactor: Any, hurry: Callable[[], None], reloads: Reloads) -> None:
    """
    SIGTERM and SIGINT drain, and exit with 0 then; a second one does not wait for clients any more. SIGHUP reloads.

    :param hurry: ends the waiting for clients.

    Twisted's own handlers end the process by the signal after an orderly stop, which supervisors take for a failure.
    """

    def step(number: int, frame: object) -> None:
        reactor.callFromThread(next_step)

    def next_step() -> None:
        if not stop(reactor):
            hurry()

    def reload(number: int, frame: object) -> None:
        reactor.callFromThread(lambda: Deferred.fromCoroutine(reloads.reload()))

    def install() -> None:
        signal.signal(signal.SIGHUP, reload)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, step)

    install()
    # Twisted puts its own in their place when it begins to run.
    reactor.callWhenRunning(install)
