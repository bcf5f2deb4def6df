"""
``echochat chat`` in a pipe: lines in, replies out, and an exit code that says whether all were answered.
"""

import os
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime, ISSLTransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from echochat.client.address import ServerAddress
from echochat.client.core import encode_command
from echochat.client.credentials import Credentials
from echochat.client.reasons import WANTS_TLS, why_not_reached, with_hint
from echochat.client.relay import Incoming, Outgoing, SigningIn, harmless_block
from echochat.client.running import CommandFailed, OutputClosed
from echochat.client.standard import InputStream, OutputStream
from echochat.client.stream import IStream

_QUIT_LABEL = "echochat-end-of-input"


class Relay(Protocol):
    """
    Standard input to the server, and the server's answers to standard output.

    :param server: for messages to a person.
    :param shown: whether the output is a terminal, on which what others wrote must not act.
    :param credentials: what is shown to the server first; nothing of the input is sent before it is accepted.
    """

    transport: IStream

    def __init__(
        self,
        reactor: Any,
        server: ServerAddress,
        *,
        shown: bool,
        credentials: Credentials | None = None,
        descriptors: tuple[int, int] = (0, 1),
    ) -> None:
        self._server = server
        self._shown = shown
        self._credentials = credentials
        self._signing_in = SigningIn()
        self._outgoing = Outgoing()
        self._incoming = Incoming(hidden=f"/ok#{_QUIT_LABEL} quit".encode())
        self._input = InputStream(reactor, descriptors[0], self._read, self._input_ended)
        self._output = OutputStream(reactor, descriptors[1], self._output_broken)
        self._half_closed = False
        # Until the server has said something.
        self._may_want_tls = server.is_plain
        self.finished: Deferred[None] = Deferred()
        """
        Fires when everything has been answered and written; fails with what the user is to be told.
        """

    # Called by Twisted

    def connectionMade(self) -> None:
        self._output.registerProducer(self.transport, streaming=True)
        if self._credentials is None:
            self._begin()
        else:
            self.transport.write(encode_command(self._credentials.verb, *self._credentials.arguments).line)

    def dataReceived(self, data: bytes) -> None:
        self._may_want_tls = False
        if self._credentials is not None and not self._signing_in.answered:
            data = self._signing_in.feed(data)
            if self._signing_in.refusal is not None:
                self.transport.abortConnection()
            elif self._signing_in.answered:
                self._begin()
        self._write(self._incoming.feed(data))

    def connectionLost(self, reason: Failure = Failure(Exception("lost"))) -> None:  # noqa: B008 (Twisted's signature)
        self._input.stopProducing()
        self._output.unregisterProducer()
        self._write(self._incoming.feed(self._signing_in.end()))
        self._write(self._incoming.end())
        self._output.flushed().addCallback(lambda _: self._finish(reason))

    # Called by the streams

    def _read(self, data: bytes) -> None:
        self.transport.write(self._outgoing.feed(data))
        if self._outgoing.finished:
            self._input.stopProducing()
            self._end_sending()

    def _input_ended(self) -> None:
        self.transport.write(self._outgoing.end())
        self._end_sending()

    def _output_broken(self) -> None:
        self.transport.abortConnection()

    # Ours

    def _begin(self) -> None:
        self.transport.registerProducer(self._input, True)
        self._input.start()

    def _end_sending(self) -> None:
        """
        Say that there is no more, in a way that still lets every reply come.
        """
        self._half_closed = True
        # A registered producer would keep the write side open for ever.
        self.transport.unregisterProducer()
        if ISSLTransport.providedBy(self.transport):
            # On TLS the half-close of Twisted would go to the socket below and cut the encrypted stream.
            self.transport.write(f"/quit#{_QUIT_LABEL}\n".encode())
        else:
            self.transport.loseWriteConnection()

    def _write(self, data: bytes) -> None:
        self._output.write(harmless_block(data) if self._shown else data)

    def _finish(self, reason: Failure) -> None:
        if self._output.broken:
            self.finished.errback(OutputClosed())
            return
        if self._signing_in.refusal is not None:
            self.finished.errback(
                CommandFailed(f"{self._server.name}: {self._signing_in.refusal.replace(' ', ': ', 1)}")
            )
            return
        missing = self._outgoing.expected - self._incoming.replies
        if self._half_closed and missing <= 0:
            self.finished.callback(None)
        elif self._incoming.bye is not None:
            self.finished.errback(CommandFailed(f"{self._server.name} closed the connection: {self._incoming.bye}"))
        elif reason.check(ConnectionDone) is None:
            self.finished.errback(CommandFailed(f"lost {self._server.name}: {with_hint(reason.value, self._server)}"))
        else:
            what = f"{self._server.name} closed the connection{_tell_missing(missing)}"
            self.finished.errback(CommandFailed(f"{what}: {WANTS_TLS}" if self._may_want_tls else what))


def _tell_missing(missing: int) -> str:
    if missing <= 0:
        return ""
    return f" with {missing} {'line' if missing == 1 else 'lines'} unanswered"


async def chat_in_pipe(reactor: Any, address: ServerAddress, credentials: Credentials | None) -> None:
    """
    Relay between the standard streams and a server until either ends.

    :raises CommandFailed: the server cannot be reached, does not accept the credentials, or went before it had answered
        everything.
    """
    shown = os.isatty(sys.stdout.fileno())
    relay = Relay(reactor, address, shown=shown, credentials=credentials)
    await connect_or_tell(reactor, address, relay)
    await relay.finished


async def connect_or_tell(reactor: IReactorTime, address: ServerAddress, protocol: Protocol) -> None:
    """
    Connect a protocol to the server that the user named.

    :raises CommandFailed: it is not there; the text says which one, and why.
    """
    try:
        await connectProtocol(address.endpoint(reactor), protocol)
    except Exception as error:
        raise CommandFailed(why_not_reached(error, address)) from error
