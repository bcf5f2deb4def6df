"""
The messages of other servers, taken a little at a time.

A server that has come is told by each of the others of all who are there, and one that was cut off finds what was said
meanwhile: thousands of messages at once, of which each may change who is where. So they wait in their order, and each
turn of the reactor takes only as many as there is time for, that clients are served in between.

What is no message of a server of this version is counted and left alone. It may come a thousand times a second, from
whoever may speak to the broker, so the log tells of it once a minute, with the count.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from txaio.tx import make_logger

from echochat.broker import Message
from echochat.chat.fellows.encoding import MalformedMessage

TURN: Final = 0.02
"""
Seconds of a turn of the reactor in which messages are taken; the others wait for the next one.
"""

COMPLAIN: Final = 60.0
"""
Seconds from one line in the log about messages that cannot be read to the next.
"""


class Inbox:
    """
    What has come and was not taken yet.

    :param receive: takes one message; raises MalformedMessage where it is none.
    :ivar refused: how many were none.
    """

    log = make_logger()

    def __init__(self, clock: IReactorTime, receive: Callable[[bytes], None]) -> None:
        self.refused = 0
        self._clock = clock
        self._receive = receive
        self._waiting: deque[Message] = deque()
        self._taking: IDelayedCall | None = None
        self._complained = float("-inf")

    def came(self, messages: Sequence[Message]) -> None:
        """
        The broker has brought these.
        """
        self._waiting.extend(messages)
        if self._taking is None:
            self._take()

    def stop(self) -> None:
        """
        Take no more.
        """
        if self._taking is not None and self._taking.active():
            self._taking.cancel()

    # Ours

    def _take(self) -> None:
        self._taking = None
        end = self._clock.seconds() + TURN
        while self._waiting:
            try:
                self._receive(self._waiting.popleft().payload)
            except MalformedMessage as error:
                self._refuse(error)
            if self._waiting and self._clock.seconds() >= end:
                self._taking = self._clock.callLater(0, self._take)
                return

    def _refuse(self, error: MalformedMessage) -> None:
        self.refused += 1
        now = self._clock.seconds()
        if now - self._complained >= COMPLAIN:
            self._complained = now
            self.log.error(
                "the broker had a message that is none of a server of this version, {count} so far: {why}",
                count=self.refused,
                why=str(error),
            )
