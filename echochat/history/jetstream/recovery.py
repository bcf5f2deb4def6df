"""
Try until it succeeds.
"""

import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from echochat.wire.backoff import Backoff

FIRST: Final = 0.1
LONGEST: Final = 5.0


class Recovery:
    """
    Runs something again and again, with full-jitter back-off, until it succeeds once.

    :param attempt: what is tried.
    :param failed: is told why an attempt was in vain.
    """

    def __init__(
        self, attempt: Callable[[], Awaitable[None]], failed: Callable[[Failure], None], clock: IReactorTime
    ) -> None:
        self._attempt = attempt
        self._failed = failed
        self._clock = clock
        self._running: Deferred[Any] | None = None

    def begin(self) -> None:
        """
        Try, unless it is being tried already.
        """
        if self._running is None:
            # Not at once: whoever begins this is in the middle of something.
            running = self._running = deferLater(self._clock, 0)
            running.addCallback(lambda _: Deferred.fromCoroutine(self._try()))
            running.addErrback(self._ended)

    def stop(self) -> None:
        """
        Try no more.
        """
        running, self._running = self._running, None
        if running is not None:
            running.cancel()

    async def _try(self) -> None:
        backoff = Backoff(random.uniform, FIRST, LONGEST)
        while True:
            try:
                await self._attempt()
            except CancelledError:
                if self._running is None:
                    raise
                # Not stop(), but somebody who let go of what the attempt waited for: it is to be made again, or nothing
                # would ever begin another one.
                await deferLater(self._clock, backoff.next_delay())
            except Exception:
                self._failed(Failure())
                # Whoever was told may have stopped this, while there was nothing to cancel.
                if self._running is None:
                    return
                await deferLater(self._clock, backoff.next_delay())
            else:
                self._running = None
                return

    def _ended(self, failure: Failure) -> None:
        failure.trap(CancelledError)
