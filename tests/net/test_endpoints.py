"""
Tests for :mod:`echochat.net.endpoints`.
"""

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, clientFromString, serverFromString
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from echochat.net.endpoints import client_endpoint, refuse_unknown, server_endpoint, to_port, to_seconds
from echochat.net.proxied import ProxiedServerEndpoint
from echochat.net.tls.connecting import TlsClientEndpoint
from echochat.net.tls.ports import TlsServerEndpoint


class DescriptionTests(SynchronousTestCase):
    """
    Ours are found by their short names, Twisted's as ever.
    """

    def test_ours(self) -> None:
        """
        ``tls:`` is ours, on both sides, whatever Twisted has by that name.
        """
        reactor = MemoryReactorClock()
        for name in ("tls", "TLS", "echochat-tls"):
            self.assertIsInstance(server_endpoint(reactor, f"{name}:0:cert=a.pem"), TlsServerEndpoint)
            self.assertIsInstance(client_endpoint(reactor, f"{name}:localhost:1"), TlsClientEndpoint)
        self.assertIsInstance(
            server_endpoint(reactor, "proxied:from=127.0.0.1:tls:0:cert=a.pem"), ProxiedServerEndpoint
        )

    def test_elsewhere(self) -> None:
        """
        Other programs that read endpoints have them by their full names.
        """
        reactor = MemoryReactorClock()
        self.assertIsInstance(serverFromString(reactor, "echochat-tls:0:cert=a.pem"), TlsServerEndpoint)
        self.assertIsInstance(clientFromString(reactor, "echochat-tls:localhost:1"), TlsClientEndpoint)
        self.assertIsInstance(serverFromString(reactor, "proxied:from=127.0.0.1:tcp:0"), ProxiedServerEndpoint)

    def test_twisteds(self) -> None:
        """
        All others are Twisted's, and so is the complaint about one that does not exist.
        """
        reactor = MemoryReactorClock()
        self.assertIsInstance(server_endpoint(reactor, "tcp:0"), TCP4ServerEndpoint)
        self.assertIsInstance(client_endpoint(reactor, "tcp:localhost:1"), TCP4ClientEndpoint)
        for description in ("nonsense:1", "tls", "", "tcp", "tcp:0:nonsense=1", "tcp:x", "unix"):
            self.assertRaises(ValueError, server_endpoint, reactor, description)
        for description in ("nonsense:1", "tls", "", "tcp:a:1:2:3:4", "tcp:a:1:nonsense=1", "tcp:a:x", "unix"):
            self.assertRaises(ValueError, client_endpoint, reactor, description)


class OptionTests(SynchronousTestCase):
    """
    What is wrong in a description is told in a sentence that begins with the endpoint's name.
    """

    def test_files_of_twisteds(self) -> None:
        """
        One of Twisted's that reads its files at once complains as all do when it cannot.
        """
        for option in ("caCertsDir=/nowhere", "certKey=/nowhere:privateKey=/nowhere"):
            with self.assertRaisesRegex(ValueError, "ssl: cannot be used: ."):
                client_endpoint(MemoryReactorClock(), f"ssl:localhost:1:{option}")

    def test_unknown(self) -> None:
        """
        An option that does not exist is told with those that do.
        """
        refuse_unknown("x", ["a"], ("a", "b"))
        error = self.assertRaises(ValueError, refuse_unknown, "x", ["c"], ("a", "b"))
        self.assertEqual(str(error), "x: has no option c=; it has a=, b=")

    def test_port(self) -> None:
        """
        A port is a number that there is.
        """
        self.assertEqual([to_port("x", text) for text in ("0", "7443", "65535")], [0, 7443, 65_535])
        for text in (None, "", "-1", "65536", "http", "1.5", "\u0661"):
            error = self.assertRaises(ValueError, to_port, "x", text)
            self.assertEqual(str(error), "x: needs a port from 0 to 65535, as in x:7443")

    def test_seconds(self) -> None:
        """
        A time is a positive number, and not too large.
        """
        self.assertEqual([to_seconds("x", "t", text) for text in ("0.5", "5", "3600")], [0.5, 5, 3600])
        for text in ("", "0", "-1", "3601", "nan", "inf", "soon"):
            self.assertEqual(
                str(self.assertRaises(ValueError, to_seconds, "x", "t", text)), "x: t= is in seconds, up to 3600"
            )
