"""
A server for clients in tests that is played by hand: what it hears and says is in the test, line by line.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from echochat.client.keeper import Status
from echochat.client.reconnecting import ReconnectingClient


class AbortableTransport(StringTransport):
    """
    A transport that can be aborted, as the real ones.
    """

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class Attempt:
    """
    One attempt to connect, and the connection when it is accepted.
    """

    def __init__(self, factory: IProtocolFactory, result: Deferred[IProtocol]) -> None:
        self._factory = factory
        self._result = result
        self._protocol: Any = None
        self.transport = AbortableTransport()

    def accept(self) -> None:
        """
        Let the client in.
        """
        self._protocol = self._factory.buildProtocol(None)  # type: ignore[arg-type]  # the client looks at no address
        self._protocol.makeConnection(self.transport)
        self._result.callback(self._protocol)

    def refuse(self) -> None:
        """
        Nobody is listening.
        """
        self._result.errback(Failure(ConnectionRefusedError()))

    def hears(self) -> list[str]:
        """
        The lines that the client has written since this was asked last.
        """
        lines: list[str] = self.transport.value().decode().splitlines()
        self.transport.clear()
        return lines

    def says(self, *lines: str) -> None:
        """
        Write lines to the client.
        """
        self._protocol.dataReceived("".join(f"{line}\r\n" for line in lines).encode())

    def breaks(self) -> None:
        """
        End the connection.
        """
        self._protocol.connectionLost(Failure(ConnectionLost()))


@implementer(IStreamClientEndpoint)
class MemoryEndpoint:
    """
    An endpoint whose attempts wait for the test to decide about them.
    """

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        result: Deferred[IProtocol] = Deferred()
        self.attempts.append(Attempt(protocolFactory, result))
        return result


class ReconnectingTestCase(SynchronousTestCase):
    """
    A reconnecting client, a server played by hand, and a clock that stands still; jitter is always the longest wait.
    """

    name: str | None = None

    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = MemoryEndpoint()
        self.statuses: list[Status] = []
        self.client = ReconnectingClient(
            self.endpoint,
            self.clock,
            name=self.name,
            on_status=self.statuses.append,
            jitter=lambda least, most: most,
        )
        self.started = self.client.start()

    def tearDown(self) -> None:
        self.end()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def end(self) -> None:
        """
        Close the client, whatever state the test left it in.
        """
        self.started.addErrback(lambda _: None)
        closing = Deferred.fromCoroutine(self.client.close())
        if not closing.called:
            self.server.breaks()
        self.successResultOf(closing)

    @property
    def server(self) -> Attempt:
        """
        The server's end of the latest attempt.
        """
        return self.endpoint.attempts[-1]

    def let_in(self, given: str = "guest-1", *, kept: str = "guest-1") -> None:
        """
        Accept the connection, and give the client the name that it keeps.
        """
        self.server.accept()
        self.assertEqual(self.server.hears(), ["/whoami"])
        self.server.says(f"/ok whoami {given} guest")
        if given != kept:
            self.assertEqual(self.server.hears(), [f"/nick {kept}"])
            self.server.says(f"/ok nick {kept}")

    def confirm(self, line: str, head: int = 0, epoch: str = "e1") -> None:
        """
        Answer a ``/sub`` as a server that has published so far.
        """
        verb, topic, *_ = line.split(" ")
        self.assertEqual(verb, "/sub")
        self.server.says(f"/ok sub {topic} {head} {epoch}")

    def drop(self, seconds: float = 10.0) -> None:
        """
        Break the connection after so many seconds, and wait until the client tries again.
        """
        self.clock.advance(seconds)
        self.server.breaks()
        attempts = len(self.endpoint.attempts)
        self.clock.advance(0.1)
        self.assertEqual(len(self.endpoint.attempts), attempts + 1)
