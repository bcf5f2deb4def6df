"""
Why there is no connection, in words.
"""

import errno

from twisted.internet import defer
from twisted.internet.error import (
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
)
from twisted.trial.unittest import SynchronousTestCase

from echochat.client.address import ServerAddress, parse_server
from echochat.client.outcomes import Disconnected, Moved, Silent
from echochat.client.reasons import in_words, tell_loss, why_not_reached
from echochat.net.tls.client_files import ClientFiles
from echochat.net.tls.reasons import TlsFailed

PLAIN = parse_server("example:7007")
ENCRYPTED = PLAIN.encrypted(ClientFiles())
UNTRUSTED = TlsFailed("the server's certificate is from an authority that is not trusted here")
WANTS_ONE = Disconnected("the server asks for a certificate")


class ReasonsTests(SynchronousTestCase):
    """
    Whoever typed a command is told what is wrong, and what may help.
    """

    def test_words(self) -> None:
        """
        Each reason is a clause that is true: nobody is told that a server which was killed closed cleanly.
        """
        for error, words in (
            (ConnectionDone(), "the server closed the connection"),
            (ConnectionLost(), "the connection broke"),
            (ConnectionAborted(), "the server did not answer"),
            (TimeoutError(), "no answer in time"),
            (defer.TimeoutError(10.0, "Deferred"), "no answer in time"),
            (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "connection refused"),
            (ConnectError(errno.EHOSTUNREACH, "No route to host"), "no route to host"),
            (
                DNSLookupError("no results for hostname lookup: x"),
                "DNS lookup failed: no results for hostname lookup: x",
            ),
            (
                Disconnected("the server is going away: reconnect (draining)"),
                "the server is going away: reconnect (draining)",
            ),
            (ValueError(), "ValueError"),
        ):
            self.assertEqual(in_words(error), words)

    def test_hints(self) -> None:
        """
        What may help is told where something may, and only there.
        """
        refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        silent = Silent("the server closed the connection")
        trusting = ServerAddress("example:7443", ("example", 7443), files=ClientFiles("ca.pem", "a.pem"))
        endpoint = parse_server("tls:example:7443")
        for error, server, hint in (
            (refused, PLAIN, ": is the server running?"),
            (ConnectError(errno.ENOENT, "No such file"), parse_server("unix:nowhere"), ": is the server running?"),
            (ConnectError(errno.EHOSTUNREACH, "No route to host"), PLAIN, ""),
            (silent, PLAIN, ": it may want TLS: --tls"),
            (silent, ENCRYPTED, ""),
            (silent, endpoint, ""),
            (Disconnected("the server closed the connection"), PLAIN, ""),
            (UNTRUSTED, ENCRYPTED, ": name the certificate of one with --ca FILE"),
            (UNTRUSTED, trusting, ""),
            (UNTRUSTED, endpoint, ""),
            (WANTS_ONE, ENCRYPTED, ": name yours with --cert FILE --key FILE"),
            (WANTS_ONE, trusting, ""),
        ):
            self.assertEqual(why_not_reached(error, server), f"cannot reach {server.name}: {in_words(error)}{hint}")

    def test_loss(self) -> None:
        """
        A connection that was left because the server asked for it is not told as lost.
        """
        self.assertEqual(
            tell_loss(ConnectionDone(), PLAIN), "lost example:7007: the server closed the connection. Trying again."
        )
        self.assertEqual(tell_loss(Moved("x"), PLAIN), "example:7007 asked its clients to reconnect")
