"""
Look for what nobody tells.

A broker that has stopped does not say that it will not acknowledge, nor does anybody say that a stream was deleted, put
back from an older copy, or trimmed. So rounds are made for as long as the history is open: in each of them deadlines
are looked at, which costs nothing; and in every tenth the stream is, which is a question to the broker, unless there is
trouble already and the way back from it looks at the stream anyway.

The rounds themselves must not end: without them a broker that says nothing would be waited for without end. A round
that fails, which would be an error of ours, is logged, and they go on.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.broker import BrokerUnavailable
from echochat.history.jetstream.api import JetStreamError
from echochat.history.jetstream.publishing import Publisher
from echochat.history.jetstream.stream import StreamChanged
from echochat.history.records import Status

_PAUSE: Final = 1.0
"""
Seconds from one round to the next.
"""

_LOOK: Final = 10
"""
Rounds from one look at the stream to the next.
"""


class Rounds:
    """
    Makes the rounds of one stream.

    :param name: the stream's.
    :param status: tells whether there is trouble already.
    :param publisher: has deadlines.
    :param look: looks at the stream; raises as :meth:`Standing.look` does.
    :param changed: is told that the stream is not what it was.
    """

    log = make_logger()

    def __init__(
        self,
        name: str,
        clock: IReactorTime,
        status: Status,
        publisher: Publisher,
        look: Callable[[], Coroutine[Any, Any, None]],
        changed: Callable[[str], None],
    ) -> None:
        self._name = name
        self._status = status
        self._publisher = publisher
        self._look = look
        self._changed = changed
        self._made = 0
        self._rounds = LoopingCall(self._make)
        self._rounds.clock = clock

    def begin(self) -> None:
        """
        Make them, the first one after a pause.
        """
        self._rounds.start(_PAUSE, now=False).addErrback(self._not_made)

    def end(self) -> None:
        """
        Make no more.
        """
        if self._rounds.running:
            self._rounds.stop()

    # Ours

    def _make(self) -> None:
        self._publisher.look()
        self._made += 1
        if self._made % _LOOK == 0 and self._status.unavailable is None:
            Deferred.fromCoroutine(self._look()).addErrback(self._not_looked)

    def _not_made(self, failure: Failure) -> None:
        self.log.failure("the deadlines of the history could not be looked at", failure)
        self.begin()

    def _not_looked(self, failure: Failure) -> None:
        if failure.check(StreamChanged, JetStreamError):
            self._changed("the stream is not the one that it was")
        elif not failure.check(BrokerUnavailable):
            self.log.failure("the stream {name} could not be looked at", failure=failure, name=self._name)
