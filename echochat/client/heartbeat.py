"""
Noticing a server that has gone without a word: switched off, cut off, or stopped.
"""

from typing import Final

from twisted.internet.interfaces import IReactorTime

from echochat.client.protocol import Client

SILENCE: Final = 20.0
"""
Seconds without a sign of the server after which it is asked for one.
"""

PATIENCE: Final = 10.0
"""
Seconds that it has to give one.
"""


class Heartbeat:
    """
    Aborts a connection whose server says nothing, not even when asked. It looks now and then instead of setting a
    timer with everything that comes: an event costs less than a timer.
    """

    def __init__(self, client: Client, clock: IReactorTime) -> None:
        self._client = client
        self._clock = clock
        self._timer = clock.callLater(SILENCE, self._look)

    def stop(self) -> None:
        """
        The connection has ended.
        """
        if self._timer.active():
            self._timer.cancel()

    def _look(self) -> None:
        left = self._client.last_heard + SILENCE - self._clock.seconds()
        if not self._client.reading:
            # Its silence is ours.
            left = SILENCE
        if left > 0:
            self._timer = self._clock.callLater(left, self._look)
            return
        self._client.command("ping").addErrback(lambda _: None)
        self._timer = self._clock.callLater(PATIENCE, self._judge, self._client.last_heard)

    def _judge(self, before: float) -> None:
        if self._client.reading and self._client.last_heard <= before:
            self._client.abort()
        else:
            self._look()
