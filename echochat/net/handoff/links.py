"""
One connection to a worker, from the balancer's side: what was handed over on it, and what became of that.
"""

import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from txaio.tx import make_logger

from echochat.net.handoff.frames import (
    FROM_WORKER,
    MOST_TOGETHER,
    VERSION,
    Alive,
    Complete,
    Ended,
    Frame,
    FrameError,
    Hand,
    Hello,
    Kick,
    Moved,
    Pong,
    Refused,
    Situation,
    Strangers,
    Taken,
    Welcome,
    Willing,
    decode,
    encode,
)
from echochat.net.handoff.owner import Owner
from echochat.net.handoff.passengers import UNWILLING, NotTaken, Passenger, Unwilling
from echochat.net.handoff.questions import Questions
from echochat.net.handoff.records import Records, close_all

MOST_STRANGERS: Final = 4_194_304
"""
More connections than any process has: each that is told of is counted by itself.
"""


class Link:
    """
    A connection to a worker.

    :ivar token: which worker it is; empty: it has not said.
    :ivar willing: whether it takes connections; None: it has not said.
    :ivar alive: by number, what it has taken and what is not over.
    :ivar strangers: how many connections it has of balancers that are gone.
    :ivar questions: what the worker can be asked.
    """

    log = make_logger()

    def __init__(self, connected: socket.socket, reactor: Any, owner: Owner, token: bytes) -> None:
        self.token = b""
        self.willing: Willing | None = None
        self._first_willing = Willing.FULL
        self.alive: dict[int, Passenger] = {}
        self.strangers = 0
        self._owner = owner
        self._told_alive: set[int] = set()
        # Sent, and not answered.
        self._sent: dict[int, Passenger] = {}
        # Not sent yet: what comes in one turn goes in one record, and if there is no room, later.
        self._queue: dict[int, tuple[int, Passenger]] = {}
        self._sending_is_due = False
        self._withdrawn: Passenger | None = None
        self.questions = Questions(self._say)
        # Received, and not heard yet: what is received while one is heard comes after it.
        self._frames: deque[Frame] = deque()
        self._reactor = reactor
        self._records = Records(connected, reactor, self)
        self._records.start_reading()
        self._say(Hello(VERSION, token))

    # Called by the records

    def received(self, record: bytes, descriptors: Sequence[int]) -> None:
        if descriptors:
            close_all(descriptors)
            raise FrameError("a worker sends no descriptors")
        try:
            self._frames.extend(decode(record, FROM_WORKER))
        finally:
            self._hear()

    def turn_over(self) -> None:
        """
        Everything was heard as it came.
        """

    def drained(self) -> None:
        while self._queue and self.willing is not None:
            some = [*islice(self._queue.items(), MOST_TOGETHER)]
            record = b"".join([encode(Hand(number)) for number, _ in some])
            try:
                if not self._records.send(record, [descriptor for _, (descriptor, _) in some]):
                    return
            except OSError as error:
                self._refuse(some, Unwilling(f"the socket cannot be passed: {error.strerror}"))
                continue
            for number, (_, passenger) in some:
                del self._queue[number]
                self._sent[number] = passenger

    def lost(self, why: str) -> None:
        # When it was closed while a record was heard, the rest of that record is heard first.
        self._hear()
        self._owner.lost(self, why)
        reason = NotTaken(f"the channel was closed: {why}")
        left = [*self._sent.values(), *(passenger for _, passenger in self._queue.values())]
        self._sent.clear()
        self._queue.clear()
        for passenger in left:
            if passenger is not self._withdrawn:
                passenger.refused(reason)
        self.questions.end(reason)

    # Called by the channel

    @property
    def is_empty(self) -> bool:
        """
        Whether nothing that was handed over is open or on its way.
        """
        return not (self.alive or self.strangers or self._sent or self._queue)

    def hand(self, number: int, descriptor: int, passenger: Passenger) -> None:
        """
        Hand a connection over, at the end of this turn, with the others that come in it: to wake the worker for each
        costs more than all the rest. Before the worker has said whether it takes connections they wait for that.
        """
        self._queue[number] = (descriptor, passenger)
        if not self._sending_is_due:
            self._sending_is_due = True
            self._reactor.callLater(0, self._send_due)

    def withdraw(self, number: int) -> None:
        """
        Do not hand this one over. If the worker has been sent it and has not answered, the link is closed: it may be
        stopped, and go on at any time. When this returns the connection was either taken, as its passenger knows, or
        it never will be; nothing is refused.
        """
        if self._queue.pop(number, None) is None and number in self._sent:
            self._withdrawn = self._sent[number]
            self._records.close("a connection was not taken in time")

    def forget(self, number: int) -> None:
        """
        Nobody wants to know when this one ends.
        """
        if self.alive.pop(number, None) is not None and self.is_empty:
            self._owner.emptied(self)

    def kick(self, number: int) -> None:
        """
        Have a connection closed at once.
        """
        self._say(Kick(number))

    def close(self, why: str) -> None:
        """
        Have no connection to this worker any more.
        """
        self._records.close(why)

    # Ours

    def _send_due(self) -> None:
        self._sending_is_due = False
        self.drained()

    def _refuse(self, some: list[tuple[int, tuple[int, Passenger]]], why: NotTaken) -> None:
        for number, _ in some:
            del self._queue[number]
        for _, (_, passenger) in some:
            passenger.refused(why)

    def _say(self, frame: Frame) -> None:
        self._records.post(encode(frame))
        self._records.flush()

    def _hear(self) -> None:
        frames = self._frames
        while frames:
            frame = frames.popleft()
            try:
                _HEARD[type(frame)](self, frame)
            except FrameError:
                raise
            except Exception:
                # What it said of other connections is heard all the same.
                self.log.failure("what a worker said could not be dealt with")

    def _taken(self, frame: Taken) -> None:
        passenger = self._sent.pop(frame.number, None)
        if passenger is None:
            raise FrameError("a worker took what was not handed over")
        self.alive[frame.number] = passenger
        passenger.taken()

    def _refused(self, frame: Refused) -> None:
        passenger = self._sent.pop(frame.number, None)
        if passenger is None:
            raise FrameError("a worker refused what was not handed over")
        passenger.refused(Unwilling(UNWILLING[frame.willing]))
        if self.is_empty:
            self._owner.emptied(self)

    def _ended(self, frame: Ended) -> None:
        number, received, sent, end = frame
        passenger = self.alive.pop(number, None)
        if passenger is not None:
            passenger.over(received, sent, end)
        if not self.alive and self.is_empty:
            self._owner.emptied(self)

    def _welcomed(self, frame: Welcome) -> None:
        if frame.version != VERSION:
            raise FrameError(f"the worker speaks version {frame.version}, and this balancer {VERSION}")
        if self.token:
            raise FrameError("a worker says Welcome once")
        self.token = frame.token
        self._first_willing = frame.willing

    def _complete(self, frame: Complete) -> None:
        if not self.token or self.willing is not None or len(self._told_alive) != frame.alive:
            raise FrameError("a worker tells once, after its Welcome, which connections are alive")
        self.willing = self._first_willing
        told, self._told_alive = self._told_alive, set()
        self._owner.welcomed(self, told)
        self._count_strangers(frame)
        if not self._records.is_open:
            # There was no use for it any more, and its owner knows no link that is closed.
            return
        if self.willing is Willing.DRAINING:
            self._owner.departing(self)
        if self.willing is Willing.OPEN:
            self.drained()
        else:
            self._refuse([*self._queue.items()], Unwilling(UNWILLING[self.willing]))

    def _count_strangers(self, frame: Complete | Strangers) -> None:
        if self.willing is None:
            raise FrameError("a worker tells first, after its Welcome, which connections are alive")
        count = frame.strangers if isinstance(frame, Complete) else frame.number
        if count > MOST_STRANGERS:
            raise FrameError(f"no worker has {count} connections")
        self.strangers = count
        self._owner.strangers(self, self.strangers)

    def _changed(self, frame: Situation) -> None:
        if self.willing is None:
            self._first_willing = frame.willing
            return
        self.willing = frame.willing
        if frame.willing is Willing.DRAINING:
            self._owner.departing(self)


_HEARD: Final[Mapping[type[Any], Callable[[Link, Any], None]]] = {
    Welcome: Link._welcomed,
    Alive: lambda link, frame: link._told_alive.add(frame.number),
    Complete: Link._complete,
    Strangers: Link._count_strangers,
    Taken: Link._taken,
    Refused: Link._refused,
    Ended: Link._ended,
    Situation: Link._changed,
    Moved: lambda link, frame: link.questions.moved(frame),
    Pong: lambda link, frame: link.questions.ponged(frame),
}
