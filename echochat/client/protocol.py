"""
A Twisted client of one connection: ask, and await the answer.

Flow control. What is written is held back by whoever writes: :meth:`Client.ready` fires when the transport can take
more, and a pipeline that awaits it before each line costs a bounded amount of memory. What is read is held back by
:meth:`Client.pause_reading`. There is no queue of events here, on purpose: replies travel behind events on the one
connection, so a client that stopped reading because its queue of events was full, and whose consumer awaits a reply
before it takes the next event, would wait for ever. :mod:`echochat.client.reconnecting` has positions to fall back to,
and therefore can have a queue.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from echochat.client.core import (
    Answered,
    Arrival,
    ClientCore,
    News,
    ProtocolViolation,
    Request,
    encode_command,
    encode_message,
)
from echochat.client.outcomes import Disconnected, Refused, Reply, Silent
from echochat.client.reasons import in_words
from echochat.client.stream import IStream
from echochat.client.waiters import Waiters
from echochat.net.endpoints import not_in_time
from echochat.wire.answers import Bye, Echo, Err

GRACE: Final = 5.0
"""
Seconds that :meth:`Client.close` gives the server to answer what is on the way.
"""


@implementer(IPushProducer)
class Client(Protocol):
    """
    One connection to an echochat server. Make it with :func:`connect`.

    Every request may be cancelled, and given a deadline with ``timeout`` in seconds: then its Deferred fails, the
    answer is dropped when it comes, and those behind it still find theirs.

    :param clock: measures the deadlines.
    :param on_news: is called with each event, gap, presence and farewell, in the order of their arrival.
    :ivar reading: whether anything is taken from the server.
    :ivar last_heard: when something came from the server, on the clock.
    """

    transport: IStream

    def __init__(self, clock: IReactorTime, on_news: Callable[[News], None] | None = None) -> None:
        self._clock = clock
        self._on_news = on_news
        self._core = ClientCore()
        self._waiting: dict[Request, Deferred[Reply]] = {}
        self._registered = False
        self._writable = True
        self._until_writable: Waiters[None] = Waiters()
        self._until_closed: Waiters[Disconnected] = Waiters()
        self._bye: Bye | None = None
        self._violation: ProtocolViolation | None = None
        self._end: Disconnected | None = None
        self._has_heard = False
        self._deadline: IDelayedCall | None = None
        self.reading = True
        self.last_heard = clock.seconds()

    # Called by Twisted

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)
        self._registered = True

    def dataReceived(self, data: bytes) -> None:
        self.last_heard = self._clock.seconds()
        self._has_heard = True
        try:
            for arrival in self._core.feed(data):
                self._arrived(arrival)
        except ProtocolViolation as violation:
            self._violation = violation
            self.abort()

    def connectionLost(self, reason: Failure = Failure(Exception("lost"))) -> None:  # noqa: B008 (Twisted's signature)
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._end = self._tell_end(reason)
        waiting, self._waiting = self._waiting, {}
        for request in self._core.give_up():
            waiting[request].errback(_again(self._end))
        self._until_writable.fail(partial(_again, self._end))
        self._until_closed.fire(self._end)

    def pauseProducing(self) -> None:
        self._writable = False

    def resumeProducing(self) -> None:
        self._writable = True
        self._until_writable.fire(None)

    def stopProducing(self) -> None:
        pass

    # Ours

    def echo(self, text: str, *, timeout: float | None = None) -> Deferred[str]:
        """
        Send a message, and fire with its echo.

        :raises ValueError: the text has a line break in it.
        """
        return self._ask(encode_message(text), timeout).addCallback(lambda reply: reply.rest)

    def command(
        self, verb: str, *arguments: str, label: str | None = None, timeout: float | None = None
    ) -> Deferred[Reply]:
        """
        Send a command, and fire with its reply; :class:`Refused` when the server answers ``/err``.

        :raises ValueError: as :func:`~echochat.client.core.encode_command`.
        """
        return self._ask(encode_command(verb, *arguments, label=label), timeout)

    @property
    def unanswered(self) -> int:
        """
        How many requests are on the way.
        """
        return self._core.unanswered

    def ready(self) -> Deferred[None]:
        """
        Fire when the transport can take more: await this before each request of a long pipeline.
        """
        if self._end is not None:
            return fail(_again(self._end))
        if self._writable:
            return succeed(None)
        return self._until_writable.add()

    def closed(self) -> Deferred[Disconnected]:
        """
        Fire when the connection has ended, with the reason as a value.
        """
        if self._end is not None:
            return succeed(self._end)
        return self._until_closed.add()

    def pause_reading(self) -> None:
        """
        Take nothing from the server until :meth:`resume_reading`: no news, but no replies either.
        """
        self.reading = False
        self.transport.pauseProducing()

    def resume_reading(self) -> None:
        """
        Go on after :meth:`pause_reading`.
        """
        self.reading = True
        # The silence until now was ours.
        self.last_heard = self._clock.seconds()
        self.transport.resumeProducing()

    def close(self, *, grace: float = GRACE) -> Deferred[Disconnected]:
        """
        Leave: everything that was asked before is still answered, then the server closes; after ``grace`` seconds the
        connection is aborted. Fires when it has ended.
        """
        ended = self.closed()
        if self._deadline is None and self._end is None:
            self._deadline = self._clock.callLater(grace, self.abort)
            self._release_writers()
            # Half-closing would do on plain TCP, but not on TLS; this works on both.
            self._ask(encode_command("quit"), None).addErrback(lambda _: None)
            self.resume_reading()
        return ended

    def abort(self) -> None:
        """
        Leave at once, whatever is on the way.
        """
        self._release_writers()
        self.transport.abortConnection()

    def _ask(self, request: Request, timeout: float | None) -> Deferred[Reply]:
        answered: Deferred[Reply] = Deferred()
        if self._end is not None:
            answered.errback(_again(self._end))
            return answered
        self._core.sent(request)
        self._waiting[request] = answered
        self.transport.write(request.line)
        return answered if timeout is None else answered.addTimeout(timeout, self._clock)

    def _arrived(self, arrival: Arrival) -> None:
        if isinstance(arrival, Answered):
            self._answer(arrival)
            return
        if isinstance(arrival, Bye):
            self._bye = arrival
        if self._on_news is not None:
            self._on_news(arrival)

    def _answer(self, arrival: Answered) -> None:
        waiter = self._waiting.pop(arrival.request)
        match arrival.closing:
            case Echo(text):
                waiter.callback(Reply("", text, ()))
            case Err(code, explanation):
                waiter.errback(Refused(code, explanation))
            case ok:
                waiter.callback(Reply(ok.verb, ok.rest, tuple(arrival.request.items)))

    def _tell_end(self, reason: Failure) -> Disconnected:
        if self._violation is not None:
            return Disconnected(str(self._violation))
        if self._bye is not None:
            return Disconnected(f"{self._bye.explanation} ({self._bye.code})", self._bye)
        why = in_words(reason.value)
        return Disconnected(why) if self._has_heard or reason.check(ConnectionDone) is None else Silent(why)

    def _release_writers(self) -> None:
        # A producer that is still registered keeps TLS, and a paused one plain TCP, from ever closing.
        if self._registered:
            self._registered = False
            self.transport.unregisterProducer()


def _again(end: Disconnected) -> Disconnected:
    """
    The same, for one more who waits: an exception belongs to whoever raises it.
    """
    return type(end)(str(end), end.bye)


def connect(
    endpoint: IStreamClientEndpoint,
    clock: IReactorTime,
    *,
    timeout: float = 30.0,
    on_news: Callable[[News], None] | None = None,
) -> Deferred[Client]:
    """
    Connect a :class:`Client`. Fails as the endpoint fails, or with ``TimeoutError`` after ``timeout`` seconds.
    """
    client = Client(clock, on_news)
    connecting: Deferred[Client] = connectProtocol(endpoint, client)
    return connecting.addTimeout(timeout, clock, not_in_time)
