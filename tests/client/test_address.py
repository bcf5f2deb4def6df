"""
What people type to name a server.
"""

from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from echochat.client.address import parse_server


class ParseServerTests(SynchronousTestCase):
    """
    Short forms mean loopback and the usual port; everything else is Twisted's to read.
    """

    def test_names(self) -> None:
        """
        The name is what a message shows: host and port, complete.
        """
        for text, name in (
            ("", "127.0.0.1:7007"),
            ("localhost", "localhost:7007"),
            ("chat.example:9", "chat.example:9"),
            (":9", "127.0.0.1:9"),
            ("::1", "[::1]:7007"),
            ("[::1]", "[::1]:7007"),
            ("[::1]:9", "[::1]:9"),
            ("unix:/run/x.sock", "unix:/run/x.sock"),
            ("tls:chat.example:7008", "tls:chat.example:7008"),
            ("tcp:host=127.0.0.1:port=9", "tcp:host=127.0.0.1:port=9"),
        ):
            self.assertEqual(parse_server(text).name, name)

    def test_twisted_reads_the_endpoints(self) -> None:
        """
        The colons of an IPv6 address do not fall apart in the endpoint.
        """
        reactor = MemoryReactorClock()
        self.assertIn("::1", repr(parse_server("[::1]:9").endpoint(reactor)))
        self.assertIsInstance(parse_server("unix:/x").endpoint(reactor), UNIXClientEndpoint)
        self.assertRaises(ValueError, parse_server("nonsense:x").endpoint, reactor)

    def test_nonsense(self) -> None:
        """
        What is no server is told so, with what was typed or why.
        """
        self.assertIn("1 to 65535", str(self.assertRaises(ValueError, parse_server, "host:0")))
        self.assertIn("1 to 65535", str(self.assertRaises(ValueError, parse_server, "host:65536")))
        self.assertIn("'[nothing]:1'", str(self.assertRaises(ValueError, parse_server, "[nothing]:1")))
