"""
Checks of a backend's health: whether it accepts connections and keeps them, or even answers.

A check is a function of a backend whose Deferred fires with what was seen, fails with why the backend is not well, and
is cancelled when it is no longer wanted. Connections of checks are not clients': they have no lease, and where the
backend is told in a PROXY header who is there, theirs says that it is the balancer itself.
"""

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.balancer.backends import Backend
from echochat.net.deadlines import Deadlines
from echochat.wire.lines import Line, LineReader, Overlong
from echochat.wire.proxy import encode_local, encode_v1

Check: TypeAlias = Callable[[Backend], "Deferred[str]"]

_STAY: Final = 0.25
"""
Seconds for which a backend has to keep a connection: one that accepts and closes at once is of no use to anybody. The
end arrives as soon as a packet can come and go.
"""

_CLOSING: Final = 1.0
"""
Seconds that closing may take. TLS waits for the other side.
"""

_MOST: Final = 1_024
"""
Bytes that the line may have which answers a ping.
"""

_HARMLESS: Final = re.compile(r"[^ -~]")


class Checks:
    """
    Makes checks.

    :param send_proxy: the version of the PROXY header that connections to backends begin with, ``v1`` or ``v2``; None:
        none.
    """

    def __init__(self, clock: IReactorTime, send_proxy: str | None = None) -> None:
        self._clock = clock
        self._header = {"v1": encode_v1(None, None), "v2": encode_local()}.get(send_proxy or "", b"")
        self._closing: Deadlines[Any] = Deadlines(clock, _CLOSING, lambda transport: transport.abortConnection())

    def tcp(self, endpoint: IStreamClientEndpoint) -> Check:
        """
        A backend is well when it can be connected to, and does not close at once.
        """
        return lambda backend: self._connect(endpoint, _Stay(self._header, self._closing, self._clock))

    def ping(self, endpoint: IStreamClientEndpoint) -> Check:
        """
        An echochat server is well when it answers ``/ping``.
        """
        return lambda backend: self._connect(endpoint, _Ping(self._header, self._closing))

    def stop(self) -> None:
        """
        There are no checks any more.
        """
        self._closing.stop()

    # Ours

    def _connect(self, endpoint: IStreamClientEndpoint, conversation: "_Conversation") -> "Deferred[str]":
        def cancel(_: "Deferred[str]") -> None:
            conversation.leave()
            connecting.cancel()

        result: Deferred[str] = Deferred(cancel)
        conversation.result = result
        connecting: Deferred[Any] = endpoint.connect(_Once(conversation))
        connecting.addCallbacks(lambda _: None, conversation.unwell)
        connecting.addErrback(lambda failure: conversation.log.failure("a check failed in another way", failure))
        return result


class _Once(Factory):
    """
    For one connection, of which the log need not tell.
    """

    noisy = False

    def __init__(self, conversation: "_Conversation") -> None:
        self._conversation = conversation

    def buildProtocol(self, addr: IAddress | None) -> "_Conversation":
        return self._conversation


class _Conversation(Protocol):
    """
    The connection of one check.

    :ivar result: what is seen; None when that is known.
    """

    log = make_logger()
    transport: Any

    def __init__(self, header: bytes, closing: Deadlines[Any]) -> None:
        self.result: Deferred[str] | None = None
        self._header = header
        self._closing = closing

    # Called by Twisted

    def connectionMade(self) -> None:
        if self.result is None:
            # It was cancelled, and the endpoint connected all the same.
            self.transport.abortConnection()
            return
        if self._header:
            self.transport.write(self._header)
        self.begin()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closing.clear(self.transport)
        self.unwell(reason)

    # Ours

    def begin(self) -> None:
        """
        It is connected.
        """

    def well(self, what: str) -> None:
        """
        The backend is well.
        """
        result, self.result = self.result, None
        if result is not None:
            self._close()
            result.callback(what)

    def unwell(self, failure: Failure) -> None:
        """
        It is not.
        """
        result, self.result = self.result, None
        if result is not None:
            result.errback(failure)

    def leave(self) -> None:
        """
        Nobody wants to know any more.
        """
        self.result = None
        if self.transport is not None:
            self.transport.abortConnection()

    def _close(self) -> None:
        self._closing.set(self.transport)
        self.transport.loseConnection()


class _Stay(_Conversation):
    """
    See whether the backend keeps the connection.
    """

    def __init__(self, header: bytes, closing: Deadlines[Any], clock: IReactorTime) -> None:
        super().__init__(header, closing)
        self._clock = clock
        self._timer: Any = None

    def begin(self) -> None:
        self._timer = self._clock.callLater(_STAY, self._stays)

    def dataReceived(self, data: bytes) -> None:
        self._forget()
        self.well("spoke")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._forget()
        super().connectionLost(reason)

    def leave(self) -> None:
        self._forget()
        super().leave()

    def _stays(self) -> None:
        self._timer = None
        self.well("connected")

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Ping(_Conversation):
    """
    See whether an echochat server answers.
    """

    def __init__(self, header: bytes, closing: Deadlines[Any]) -> None:
        super().__init__(header, closing)
        self._reader = LineReader(_MOST)

    def begin(self) -> None:
        self.transport.write(b"/ping\r\n")

    def dataReceived(self, data: bytes) -> None:
        for line in self._reader.feed(data)[:1]:
            if line == (b"/ok ping", b"\r\n"):
                self.well("answered /ping")
            else:
                self.unwell(Failure(WrongAnswer(line)))
                self._close()


class WrongAnswer(Exception):
    """
    A backend did not answer ``/ping`` as an echochat server does.
    """

    def __init__(self, line: Line | Overlong) -> None:
        # It goes to the log and to terminals, and is from who knows where.
        said = "a very long line" if isinstance(line, Overlong) else _HARMLESS.sub("?", line[0][:80].decode("latin-1"))
        super().__init__(f"it answered /ping with: {said}")
