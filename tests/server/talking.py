"""
Clients of a real server, as many as a test likes, on the test's reactor: each sends a line and waits for its answer.
"""

import os
from collections import deque
from typing import Any

from OpenSSL.crypto import X509
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.protocol import connectionDone
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS, trustRootFromCertificates
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from tests.processes import DEADLINE

reactor: Any = _reactor


class Talker(LineOnlyReceiver):
    """
    One connection.

    :ivar answered: how many lines were answered.
    :ivar lost: whether the connection is over.
    """

    MAX_LENGTH = 1 << 20

    transport: Any

    def __init__(self) -> None:
        self.answered = 0
        self.lost = False
        self._lines: deque[bytes] = deque()
        self._waiting: deque[Deferred[bytes]] = deque()

    # Called by the test

    def say(self, line: bytes) -> None:
        """
        Send a line.
        """
        self.transport.write(line + b"\r\n")

    def hear(self) -> "Deferred[bytes]":
        """
        Wait for the next line. The Deferred fails when the connection ends before it.
        """
        waiting: Deferred[bytes] = Deferred()
        self._waiting.append(waiting)
        self._give()
        return waiting.addTimeout(DEADLINE, reactor)

    def ask(self, line: bytes) -> "Deferred[bytes]":
        """
        Send a line and wait for the answer.
        """
        self.say(line)
        return self.hear()

    def certificate(self) -> X509:
        """
        What the server has shown.
        """
        shown: X509 = self.transport.getPeerCertificate()
        return shown

    def end(self) -> None:
        """
        Close.
        """
        self.transport.loseConnection()

    # Called by Twisted

    def lineReceived(self, line: bytes) -> None:
        self.answered += 1
        self._lines.append(line)
        self._give()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        waiting, self._waiting = self._waiting, deque()
        for each in waiting:
            if not each.called:
                each.errback(reason)

    # Ours

    def _give(self) -> None:
        while self._lines and self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.called:
                waiting.callback(self._lines.popleft())


async def talk_to(port: int, certificates: str | None = None, client: str | None = None) -> Talker:
    """
    Connect to a port of 127.0.0.1.

    :param certificates: a folder that ``echochat certs`` made: speak TLS, and trust its authority.
    :param client: whose certificate to show.
    """
    endpoint: Any = TCP4ClientEndpoint(reactor, "127.0.0.1", port, timeout=DEADLINE)
    if certificates is not None:
        authority = Certificate.loadPEM(_read(certificates, "ca.pem"))
        own = None
        if client is not None:
            own = PrivateCertificate.loadPEM(
                _read(certificates, f"{client}.pem") + _read(certificates, f"{client}.key")
            )
        options: Any = optionsForClientTLS("localhost", trustRootFromCertificates([authority]), own)
        endpoint = wrapClientTLS(options, endpoint)
    talker = Talker()
    await connectProtocol(endpoint, talker)
    return talker


def _read(folder: str, name: str) -> bytes:
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()
