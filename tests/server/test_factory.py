"""
Tests for :mod:`echochat.server.factory`: who is let in. Addresses of other machines come in memory here; what a
connection does is tested on real sockets elsewhere.
"""

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echochat.net.gate import Gate
from echochat.server.factory import GRACE, MOST_REFUSALS
from echochat.server.line import EchoChatProtocol
from echochat.server.settings import ServerSettings
from tests.server.serving import make_factory


class Transport(StringTransport):
    """
    One that may be asked to unregister a producer that it has not, as real ones may, and tells of an abort.
    """

    aborted = False

    def unregisterProducer(self) -> None:
        self.producer = None

    def abortConnection(self) -> None:
        self.aborted = True


class FactoryTests(SynchronousTestCase):
    """
    Limits of connections.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.gate = Gate(0)
        self.factory = make_factory(self.clock, self.gate, per_address=2)
        self.open: list[tuple[Any, Transport]] = []
        self.events: list[Any] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def tearDown(self) -> None:
        for protocol, _ in list(self.open):
            self.lose(protocol)
        self.factory.stop_timers()
        self.factory.exchange.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual((self.factory.refusals, self.gate.inside), (0, 0))

    def connect(self, host: str) -> tuple[Any, Transport]:
        kind = IPv6Address if ":" in host else IPv4Address
        address = kind("TCP", host, 5000)
        protocol = self.factory.buildProtocol(address)
        assert protocol is not None
        transport = Transport(peerAddress=address)
        protocol.makeConnection(transport)
        self.open.append((protocol, transport))
        return protocol, transport

    def lose(self, protocol: Any) -> None:
        self.open = [each for each in self.open if each[0] is not protocol]
        protocol.connectionLost(Failure(ConnectionDone()))

    def test_too_many_from_one_address(self) -> None:
        """
        One more than may come from an address is told so and let go; it does not count, and the others stay.
        """
        (first, _), _ = self.connect("192.0.2.1"), self.connect("192.0.2.1")
        refused, transport = self.connect("192.0.2.1")
        told = b"/err too-many connections from your address: 2 at once, and 4 new in 10 seconds\r\n"
        self.assertEqual(transport.value(), told)
        self.assertTrue(transport.disconnecting)
        self.assertEqual((self.gate.inside, len(self.factory.connections)), (2, 2))
        self.lose(refused)
        self.lose(first)
        protocol, transport = self.connect("192.0.2.1")
        protocol.dataReceived(b"hello\r\n")
        self.assertEqual(transport.value(), b"HELLO\r\n")

    def test_loopback_is_exempt(self) -> None:
        """
        Whoever is on this machine may come as often as they like.
        """
        for _ in range(10):
            protocol, transport = self.connect("127.0.0.1")
            protocol.dataReceived(b"hello\r\n")
            self.assertEqual(transport.value(), b"HELLO\r\n")

    def test_refused_lingers_not_for_ever(self) -> None:
        """
        A refused client that does not let go is aborted.
        """
        for _ in range(3):
            _, transport = self.connect("2001:db8::1")
        self.clock.advance(GRACE)
        self.assertTrue(transport.aborted)

    def test_flood_of_refused(self) -> None:
        """
        Only so many that are refused are told why at once: the others take no descriptor.
        """
        transports = [self.connect("192.0.2.1")[1] for _ in range(2 + MOST_REFUSALS + 10)]
        said = [bool(transport.value()) for transport in transports[2:]]
        self.assertEqual(said, [True] * MOST_REFUSALS + [False] * 10)
        self.assertTrue(all(transport.aborted for transport in transports[-10:]))

    def test_refusal_is_logged(self) -> None:
        """
        A refusal is a line in the log with the address.
        """
        for _ in range(3):
            self.connect("192.0.2.1")
        [event] = [event for event in self.events if "why" in event]
        self.assertIn("192.0.2.1", formatEvent(event))
        self.assertEqual(event["why"], "too-many")

    def test_other_limits(self) -> None:
        """
        Other limits hold for whatever comes, and begins to wait, after they were set.
        """
        self.factory.apply(ServerSettings(per_address=1, first_line=5))
        _, transport = self.connect("192.0.2.1")
        self.assertIn(b"/err too-many", self.connect("192.0.2.1")[1].value())
        self.clock.advance(5)
        self.assertIn(b"/bye idle", transport.value())

    def test_when_empty(self) -> None:
        """
        Whoever waits for the last connection's end is told, once.
        """
        one, two = self.connect("192.0.2.1")[0], self.connect("192.0.2.2")[0]
        waiting: Deferred[None] = self.factory.when_empty()
        self.lose(one)
        self.assertNoResult(waiting)
        self.lose(two)
        self.successResultOf(waiting)
        self.lose(self.connect("192.0.2.3")[0])

    def test_one_that_cannot_be_told(self) -> None:
        """
        When all are asked to resume, one connection whose part of it fails is aborted and logged, and all others are
        asked none the less, whichever comes first.
        """
        connected = [self.connect("192.0.2.1"), self.connect("192.0.2.2"), self.connect("192.0.2.3")]
        for protocol, _ in connected:
            protocol.dataReceived(b"/sub lobby\r\n")

        first = next(iter(self.factory.connections))
        resume = EchoChatProtocol.have_resumed

        def fails_once(connection: EchoChatProtocol) -> None:
            if connection is first:
                raise ValueError("a bug")
            resume(connection)

        self.patch(EchoChatProtocol, "have_resumed", fails_once)
        self.factory.exchange.interrupted("the stream is another one")
        for protocol, transport in connected:
            self.assertEqual(transport.aborted, protocol is first)
            self.assertEqual(b"/bye restarted" in transport.value(), protocol is not first)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_numbers(self) -> None:
        """
        Each connection has a number of its own.
        """
        self.assertEqual([self.connect("127.0.0.1")[0].number for _ in range(3)], [1, 2, 3])
