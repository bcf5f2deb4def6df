"""
The balancers that hand connections to a worker: the channel of each, and what it has been promised.
"""

import socket
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from txaio.tx import make_logger

from echochat.net.handoff.adopting import Over, take
from echochat.net.handoff.frames import (
    EVERYBODY,
    FROM_BALANCER,
    MOST_TOGETHER,
    VERSION,
    Alive,
    Complete,
    End,
    Ended,
    Frame,
    FrameError,
    Hand,
    Hello,
    Kick,
    Move,
    Moved,
    Ping,
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
from echochat.net.handoff.records import Records, close_all


class Balancer:
    """
    One balancer: which of its connections are open here, and how to tell it when they end.

    :ivar alive: by number, the transports of the connections that it handed over and that are not over; None: it has
        none yet.
    :ivar channel: where it is told; None: it is not connected.
    :ivar over: what a connection calls when it is over.
    :param ended: called when a connection is over while it is not connected.
    """

    def __init__(self, token: bytes, ended: Callable[["Balancer"], object]) -> None:
        self.token = token
        self.alive: dict[int, Any] = {}
        self.channel: Channel | None = None
        self._ended = ended
        # Bound once, and not for each connection.
        self.over: Over = self._over

    def _over(self, number: int, received: int, sent: int, end: End) -> None:
        self.alive.pop(number, None)
        # One that is not connected asks which are alive when it comes back.
        if self.channel is not None:
            self.channel.tell(Ended(number, received, sent, end))
        else:
            self._ended(self)


class Worker(Protocol):
    """
    What a channel needs of the port.
    """

    token: bytes
    reactor: Any

    @property
    def willing(self) -> Willing:
        """
        Whether connections are taken.
        """

    @property
    def strangers(self) -> int:
        """
        How many connections there are of balancers that are not connected.
        """

    def welcome(self, channel: "Channel", token: bytes) -> Balancer:
        """
        A balancer has said which one it is.
        """

    def adopt(self, handed: socket.socket, number: int, balancer: Balancer) -> None:
        """
        Serve this client.
        """

    def kick(self, number: int, balancer: Balancer) -> None:
        """
        Close this balancer's connection at once, if it is still open.
        """

    def move(self, count: int | None, seconds: float) -> int:
        """
        Ask so many clients to move; None: all.

        :return: how many will be asked.
        """

    def left(self, channel: "Channel", balancer: Balancer | None) -> None:
        """
        The channel is closed.
        """


class Channel:
    """
    One balancer's connection to this worker.
    """

    log = make_logger()

    def __init__(self, connected: socket.socket, worker: Worker) -> None:
        self._worker = worker
        self._balancer: Balancer | None = None
        # What came and was not promised to be taken yet.
        self._held: list[tuple[int, socket.socket]] = []
        self._flush_is_due = False
        # How many strangers the balancer knows of.
        self._told_strangers = 0
        self._records = Records(connected, worker.reactor, self)
        self._records.start_reading()

    # Called by the records

    def received(self, record: bytes, descriptors: Sequence[int]) -> None:
        try:
            frames = list(decode(record, FROM_BALANCER))
            hands = [frame for frame in frames if isinstance(frame, Hand)]
            if len(hands) != len(descriptors) or (hands and len(hands) < len(frames)):
                raise FrameError("a descriptor comes with each Hand, and with nothing else")
            if hands and self._balancer is None:
                raise FrameError("a balancer says Hello first")
        except FrameError:
            close_all(descriptors)
            raise
        if hands:
            self._consider(hands, descriptors)
        else:
            for frame in frames:
                self._hear(frame)

    def turn_over(self) -> None:
        if self._held:
            self.flush()

    def drained(self) -> None:
        self._records.start_reading()
        self.flush()
        self._leave_when_done()

    def lost(self, why: str) -> None:
        held, self._held = self._held, []
        for _, handed in held:
            handed.close()
        self.log.info("a balancer's channel is closed: {why}", why=why)
        self._worker.left(self, self._balancer)

    # Called by the worker

    def tell(self, frame: Frame) -> None:
        """
        Send this at the end of the turn, with what else is to be sent then.
        """
        self._records.post(encode(frame))
        self.flush_soon()

    def flush_soon(self) -> None:
        """
        Say at the end of the turn what there is to say then: how many strangers there are, too.
        """
        if not self._flush_is_due:
            self._flush_is_due = True
            self._worker.reactor.callLater(0, self._flush_now)

    def tell_situation(self) -> None:
        """
        Whether connections are taken has changed. When the worker is stopping the channel ends with the last of them.
        """
        if self._balancer is not None:
            self.tell(Situation(self._worker.willing))
        else:
            self._leave_when_done()

    def flush(self) -> None:
        """
        Send what is to be sent. While the balancer does not take it nothing more is taken from it.
        """
        strangers = self._worker.strangers
        # While it does not take what it is told it is told once when it does, and not each time.
        if strangers != self._told_strangers and self._balancer is not None and self._records.is_drained:
            self._told_strangers = strangers
            self._records.post(encode(Strangers(strangers)))
        self._records.flush()
        if self._records.is_drained:
            self._take()
        else:
            self._records.stop_reading()

    def close(self, why: str) -> None:
        """
        This balancer is not served any more; its connections are.
        """
        self._records.close(why)

    # Ours

    def _flush_now(self) -> None:
        self._flush_is_due = False
        self.flush()
        self._leave_when_done()

    def _leave_when_done(self) -> None:
        if (
            self._worker.willing is Willing.DRAINING
            and self._records.is_drained
            and (self._balancer is None or not (self._balancer.alive or self._worker.strangers))
        ):
            self._records.close("the worker is stopping")

    def _hear(self, frame: Frame) -> None:
        if isinstance(frame, Hello):
            self._welcome(frame)
        elif self._balancer is None:
            raise FrameError("a balancer says Hello first")
        elif isinstance(frame, Ping):
            self.tell(Pong(frame.number))
        elif isinstance(frame, Move):
            count = None if frame.sessions == EVERYBODY else frame.sessions
            self.tell(Moved(self._worker.move(count, frame.milliseconds / 1_000)))
        elif isinstance(frame, Kick):
            self._worker.kick(frame.number, self._balancer)
        else:
            raise FrameError("a Hand comes with others of its kind")

    def _welcome(self, hello: Hello) -> None:
        if hello.version != VERSION:
            raise FrameError(f"a balancer speaks version {hello.version}, and this worker {VERSION}")
        if self._balancer is not None:
            raise FrameError("a balancer says Hello once")
        self._balancer = balancer = self._worker.welcome(self, hello.token)
        self.tell(Welcome(VERSION, self._worker.token, self._worker.willing))
        for number in balancer.alive:
            self.tell(Alive(number))
        self._told_strangers = self._worker.strangers
        self.tell(Complete(len(balancer.alive), self._told_strangers))

    def _consider(self, hands: Sequence[Hand], descriptors: Sequence[int]) -> None:
        willing = self._worker.willing
        for at, hand in enumerate(hands):
            try:
                handed = take(descriptors[at])
            except FrameError:
                close_all(descriptors[at + 1 :])
                raise
            if willing is Willing.OPEN:
                self._held.append((hand.number, handed))
            else:
                handed.close()
                self.tell(Refused(hand.number, willing))

    def _take(self) -> None:
        """
        Say that these are ours, and serve them when that is in the kernel's hands.
        """
        balancer = self._balancer
        while self._held and balancer is not None:
            some = self._held[:MOST_TOGETHER]
            if not self._records.send(b"".join([encode(Taken(number)) for number, _ in some])):
                self._records.stop_reading()
                return
            del self._held[: len(some)]
            for number, handed in some:
                self._worker.adopt(handed, number, balancer)
