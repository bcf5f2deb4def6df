"""
Tests for :mod:`echochat.net.tls.handshakes` and :mod:`echochat.net.tls.transport`, in memory.
"""

import datetime
from collections.abc import Callable, Sequence
from unittest import mock

from cryptography.x509 import UnrecognizedExtension
from cryptography.x509.oid import ExtensionOID
from OpenSSL import SSL
from OpenSSL._util import lib
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, ISSLTransport
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from echochat.net.tls import TlsFailed, handshakes, peer_name
from echochat.net.tls.handshakes import HandshakeCounts
from echochat.net.tls.transport import TlsTransport
from tests.net.authority import CLIENTS, SERVERS, Folder, Pair, alice, authority, make, revocation_list, stranger, uri
from tests.net.recorders import Recorder
from tests.net.tls_memory import CLIENT, TLS_1_2, TLS_1_3, Client, Greeter, Service, client_context

VERSIONS = (TLS_1_2, TLS_1_3)


def said(captured: Sequence[LogEvent]) -> list[str]:
    """
    What was logged, as lines.
    """
    return [formatEvent(each) for each in captured]


class ServiceTests(SynchronousTestCase):
    """
    What the tests here have in common.
    """

    def setUp(self) -> None:
        self.folder = Folder(self)

    def nothing_left(self, service: Service) -> None:
        """
        When the time of the last deadline has passed, no timer is left.
        """
        service.clock.advance(10)
        self.assertEqual(service.clock.getDelayedCalls(), [])

    def refused(self, service: Service, client: Client, words: str) -> None:
        """
        The client was refused before there was a protocol, and it was told why, once.
        """
        with capturedLogs() as captured:
            client.exchange()
        self.assertEqual(service.greeters.addresses, [])
        self.assertEqual(client.received, b"")
        self.assertTrue(client.socket.lost)
        self.assertEqual(said(captured), [f"TLS handshake with 192.0.2.1:4711 failed: {words}"])
        self.assertEqual(service.handshakes.counts, HandshakeCounts(refused=1))
        self.nothing_left(service)


class AcceptedTests(ServiceTests):
    """
    Who is accepted talks to a protocol that knows nothing of the handshake.
    """

    def test_conversation(self) -> None:
        """
        The protocol is made for the client's address when the handshake is over, and what the client sent early comes
        after its connection was made.
        """
        for version in VERSIONS:
            service = Service(self.folder)
            client = service.connect(version=version)
            self.assertEqual(service.greeters.addresses, [])
            client.exchange()
            (greeter,) = service.greeters.made
            self.assertEqual(service.greeters.addresses, [CLIENT])
            self.assertEqual(greeter.told, ["connectionMade", "dataReceived"])
            self.assertEqual((client.received, bytes(greeter.received)), (b"welcome\n", b"hello\n"))
            self.assertEqual(service.handshakes.counts, HandshakeCounts(accepted=1))
            self.assertTrue(ISSLTransport.providedBy(greeter.transport))
            self.assertIsNone(peer_name(greeter.transport))
            self.assertEqual(greeter.transport.getPeer(), CLIENT)

    def test_tls_from_the_first(self) -> None:
        """
        It is known to be TLS also where zope.interface has looked at connections without it before, and at none with
        it: the first client of a server may have gone away in the handshake.
        """

        class Unseen(TlsTransport):
            """
            As none that was looked at.
            """

        below = StringTransport()
        self.assertFalse(ISSLTransport.providedBy(below))
        transport = Unseen.__new__(Unseen)
        transport.transport = below
        self.assertTrue(ISSLTransport.providedBy(transport))

    def test_any_segments(self) -> None:
        """
        A handshake that comes byte by byte is the same.
        """
        service = Service(self.folder, clients=authority())
        client = service.connect(alice())
        while not service.greeters.made:
            for byte in client.speak():
                client.protocol.dataReceived(bytes([byte]))
                service.clock.advance(0)
            client.connection.bio_write(client.socket.value())
            client.socket.clear()
        client.exchange()
        self.assertEqual((client.received, bytes(service.greeters.made[0].received)), (b"welcome\n", b"hello\n"))

    def test_versions_and_suites(self) -> None:
        """
        Forward secrecy and authenticated encryption only, on X25519; in TLS 1.3 with the least dear suite.
        """
        for version, suites in ((TLS_1_2, r"ECDHE-ECDSA-.*(GCM|POLY1305)"), (TLS_1_3, r"TLS_AES_128_GCM_SHA256")):
            client = Service(self.folder).connect(version=version).exchange()
            self.assertRegex(client.connection.get_cipher_name() or "", suites)
            self.assertEqual((client.connection.get_group_name() or "").lower(), "x25519")

    def test_end(self) -> None:
        """
        The end is told once, with its reason; what OpenSSL says is told in words.
        """
        for reason in (ConnectionDone(), ConnectionLost()):
            # An end that the client has not announced may be an attacker's, who cuts off what follows.
            service = Service(self.folder)
            client = service.connect().exchange()
            client.socket.lose(reason)
            (greeter,) = service.greeters.made
            assert greeter.reason is not None
            self.assertEqual((greeter.times_lost, type(greeter.reason.value)), (1, ConnectionLost))
        service = Service(self.folder)
        client = service.connect().exchange()
        client.protocol.dataReceived(b"\x17\x03\x03\0\x20" + bytes(32))
        service.clock.advance(0)
        (greeter,) = service.greeters.made
        assert greeter.reason is not None
        greeter.reason.trap(TlsFailed)
        self.assertRegex(
            str(greeter.reason.value), "^the client sent something that is not as it should be: decryption failed"
        )

    def test_goodbye(self) -> None:
        """
        A client's farewell ends the connection in good order.
        """
        service = Service(self.folder)
        client = service.connect().exchange()
        client.connection.shutdown()
        client.exchange()
        (greeter,) = service.greeters.made
        assert greeter.reason is not None
        greeter.reason.trap(ConnectionDone)

    def test_listener(self) -> None:
        """
        A protocol that wants to be told of the handshake is told when it has its transport.
        """

        @implementer(IHandshakeListener)
        class Listener(Greeter):
            def handshakeCompleted(self) -> None:
                self.told.append("handshakeCompleted")

        service = Service(self.folder)
        service.greeters.make = Listener
        service.connect().exchange()
        self.assertEqual(service.greeters.made[0].told, ["connectionMade", "handshakeCompleted", "dataReceived"])

    def test_unwanted(self) -> None:
        """
        A client for whom there is no protocol is gone at once.
        """
        service = Service(self.folder)
        service.greeters.make = lambda: None
        client = service.connect().exchange()
        self.assertTrue(client.socket.aborted)
        self.assertEqual(client.received, b"")
        self.assertEqual(service.handshakes.counts, HandshakeCounts(accepted=1))
        self.nothing_left(service)

    def test_failing_protocol(self) -> None:
        """
        A protocol that fails when it is connected fails alone: the port sees the error, and the connection ends.
        """

        class Failing(Recorder):
            def connectionMade(self) -> None:
                raise ZeroDivisionError

        service = Service(self.folder)
        service.greeters.make = Failing
        client = service.connect(version=TLS_1_2)
        self.assertRaises(ZeroDivisionError, client.exchange)
        self.assertTrue(client.socket.aborted)


class ClientCertificateTests(ServiceTests):
    """
    A client's certificate is looked at in the handshake, in both versions alike.
    """

    def test_name(self) -> None:
        """
        The verified certificate's name is the connection's.
        """
        for version in VERSIONS:
            service = Service(self.folder, clients=authority(), revoked=revocation_list(authority()))
            client = service.connect(alice(), version).exchange()
            self.assertEqual(client.received, b"welcome\n")
            transport = service.greeters.made[0].transport
            self.assertEqual(peer_name(transport), "alice")
            client.socket.lose(ConnectionLost())
            self.assertIsNone(peer_name(transport))

    def test_optional(self) -> None:
        """
        Where it is optional, nobody is refused for showing none.
        """
        for version in VERSIONS:
            service = Service(self.folder, clients=authority(), required=False)
            self.assertEqual(service.connect(version=version).exchange().received, b"welcome\n")
            self.assertEqual(service.connect(alice(), version).exchange().received, b"welcome\n")
            self.assertEqual([peer_name(each.transport) for each in service.greeters.made], [None, "alice"])

    def test_not_asked(self) -> None:
        """
        A server that does not ask for a certificate learns nothing of one.
        """
        service = Service(self.folder)
        self.assertEqual(service.connect(make("bob", stranger())).exchange().received, b"welcome\n")
        self.assertIsNone(peer_name(service.greeters.made[0].transport))

    def test_chain(self) -> None:
        """
        A certificate may be by an authority that one of ours has signed, if the client shows that too.
        """
        between = make("between", authority(), is_authority=True)
        shown = make("carol", between, purpose=CLIENTS)
        for chain, received in (([], b""), ([between], b"welcome\n")):
            service = Service(self.folder, clients=authority())
            context = client_context(shown)
            for each in chain:
                context.add_extra_chain_cert(each.certificate)
            client = Client(service.handshakes, service.clock, context).exchange()
            self.assertEqual(client.received, received)

    def _matrix(self, revoked: Pair) -> list[tuple[str, Pair | None, str]]:
        from_us = authority()
        words = "the client's certificate "
        untrusted = words + "is from an authority that is not trusted here"
        return [
            ("missing", None, "the client has shown no certificate"),
            ("expired", make("bob", from_us, purpose=CLIENTS, begins=-3, ends=-1), words + "has expired"),
            (
                "not yet valid",
                make("bob", from_us, purpose=CLIENTS, begins=1),
                words + "is not valid yet (or a clock is wrong)",
            ),
            ("wrong authority", make("bob", stranger(), purpose=CLIENTS), untrusted),
            (
                "namesake",
                make("bob", make("the authority", is_authority=True)),
                words + "is not signed by the authority that it names",
            ),
            ("self-signed", make("bob", purpose=CLIENTS), words + "is signed by nobody but itself"),
            ("wrong purpose", make("bob", from_us, purpose=SERVERS), words + "is for another purpose"),
            ("revoked", revoked, words + "was revoked"),
            (
                "unmapped",
                make("Bob Example", from_us, purpose=CLIENTS),
                words + "has no name that could be one here",
            ),
            (
                "unreadable name",
                make("bob", from_us, more=[UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"junk")]),
                untrusted,
            ),
            (
                "two names",
                make("bob", from_us, purpose=CLIENTS, alternatives=[uri("echochat:bob"), uri("echochat:carol")]),
                words + "has no name that could be one here",
            ),
        ]

    def test_matrix(self) -> None:
        """
        No certificate that is not as it should be gets to a byte of the protocol, in TLS 1.2 and 1.3, where it is
        required and (but for a missing one) where it is optional.
        """
        revoked = make("bob", authority(), purpose=CLIENTS)
        lists = revocation_list(authority(), revoked)
        for kind, shown, words in self._matrix(revoked):
            for version in VERSIONS:
                for required in (True, False) if shown is not None else (True,):
                    service = Service(self.folder, clients=authority(), revoked=lists, required=required)
                    client = service.connect(shown, version)
                    self.refused(service, client, words)
                    self.assertIsNotNone(client.error, kind)

    def test_list_out_of_date(self) -> None:
        """
        A list that runs out while the server runs lets nobody in: whoever was revoked since would not be on it.
        """
        earlier = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=12)
        with mock.patch("echochat.net.tls.files._now", return_value=earlier):
            service = Service(self.folder, clients=authority(), revoked=revocation_list(authority(), ends=-0.25))
        self.refused(
            service,
            service.connect(alice()),
            "the client's certificate cannot be checked: the revocation list here is out of date",
        )

    def test_no_resumption(self) -> None:
        """
        No session is resumed: who was revoked since the last connection is refused, and so is who shows nothing.
        """
        for version in VERSIONS:
            service = Service(self.folder, clients=authority(), revoked=revocation_list(authority()))
            context = client_context(alice(), version)
            first = Client(service.handshakes, service.clock, context).exchange()
            again = Client(service.handshakes, service.clock, context, first.connection.get_session()).exchange()
            self.assertEqual(again.received, b"welcome\n")
            self.assertFalse(lib.SSL_session_reused(again.connection._ssl))
            self.folder.write("crl.pem", revocation_list(authority(), alice()))
            service.creator.reload()
            last = Client(service.handshakes, service.clock, context, again.connection.get_session()).exchange()
            self.assertEqual((last.received, last.socket.lost), (b"", True))

    def test_renegotiation(self) -> None:
        """
        A client of TLS 1.2 cannot make the server do the dear part again and again.
        """
        service = Service(self.folder)
        client = service.connect(version=TLS_1_2).exchange()
        at_the_server = service.greeters.made[0].transport.getHandle()
        client.connection.renegotiate()
        client.exchange()
        self.assertEqual(at_the_server.total_renegotiations(), 0)
        self.assertEqual(client.error.args[0][-1][-1] if client.error else "", "no renegotiation")


class RefusedTests(ServiceTests):
    """
    Who cannot speak TLS as it is spoken here is told in the log in words.
    """

    def test_strangers(self) -> None:
        """
        Other protocols are named where they can be told.
        """
        for first, words in (
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "the client speaks HTTP and not TLS"),
            (b"CONNECT a:1 HTTP/1.1\r\n\r\n", "the client speaks HTTP and not TLS"),
            (b"hello, is there anybody?\n", "the client does not speak TLS"),
            (b"SSH-2.0-OpenSSH_9.2p1\r\n", "the client does not speak TLS"),
        ):
            service = Service(self.folder)
            client = service.connect()
            client.speak = lambda: b""  # type: ignore[method-assign]  # it is another program
            client.protocol.dataReceived(first)
            self.refused(service, client, words)

    def test_version(self) -> None:
        """
        What is older than TLS 1.2 is not spoken.
        """
        service = Service(self.folder)
        context = client_context()
        context.set_min_proto_version(SSL.TLS1_VERSION)
        context.set_max_proto_version(SSL.TLS1_1_VERSION)
        # OpenSSL itself does not speak it any more unless it is told to.
        context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
        client = Client(service.handshakes, service.clock, context)
        self.refused(service, client, "the client speaks no TLS that is newer than 1.1")

    def test_suites(self) -> None:
        """
        Suites without forward secrecy or without authenticated encryption are not spoken.
        """
        for suites in (b"AES128-GCM-SHA256", b"ECDHE-ECDSA-AES128-SHA256"):
            service = Service(self.folder)
            context = client_context(version=TLS_1_2)
            context.set_cipher_list(suites)
            client = Client(service.handshakes, service.clock, context)
            self.refused(service, client, "the client has no cipher suite that is accepted here")

    def test_distrust(self) -> None:
        """
        A client that does not trust us has said so.
        """
        for version in VERSIONS:
            service = Service(self.folder)
            client = Client(service.handshakes, service.clock, client_context(version=version, trusted=stranger()))
            self.refused(service, client, "the client does not trust the authority of our certificate")

    def test_gone(self) -> None:
        """
        A client that goes in the middle of it.
        """
        service = Service(self.folder)
        client = service.connect()
        client.protocol.dataReceived(client.speak())
        with capturedLogs() as captured:
            client.socket.lose(ConnectionLost())
        self.assertEqual(said(captured), ["TLS handshake with 192.0.2.1:4711 failed: the client went away"])
        self.nothing_left(service)


class LimitTests(ServiceTests):
    """
    A handshake has a deadline, there are only so many, and together they have a share of each turn.
    """

    def test_deadline(self) -> None:
        """
        A client that does not finish is broken off on the second, whether it has said something or nothing.
        """
        for begin in (lambda client: None, lambda client: client.protocol.dataReceived(client.speak())):
            service = Service(self.folder, seconds=5)
            client = service.connect()
            begin(client)
            service.clock.advance(4.9)
            self.assertFalse(client.socket.aborted)
            with capturedLogs() as captured:
                service.clock.pump([0.1, 0])
            self.assertTrue(client.socket.aborted)
            self.assertEqual(said(captured), ["TLS handshake with 192.0.2.1:4711 failed: it was not over within 5 s"])
            self.assertEqual(service.handshakes.counts, HandshakeCounts(refused=1, late=1))
            self.nothing_left(service)

    def test_deadline_is_over(self) -> None:
        """
        After the handshake nobody is in a hurry.
        """
        service = Service(self.folder, seconds=5)
        client = service.connect().exchange()
        service.clock.advance(3600)
        self.assertFalse(client.socket.disconnecting)
        self.nothing_left(service)

    def test_crowd(self) -> None:
        """
        The oldest unfinished handshake makes room for a new one, and those that are finished do not count.
        """
        self.patch(handshakes, "MOST_UNFINISHED", 2)
        service = Service(self.folder)
        finished = service.connect().exchange()
        clients = [service.connect() for _ in range(4)]
        service.clock.advance(0)
        self.assertEqual([client.socket.aborted for client in clients], [True, True, False, False])
        self.assertFalse(finished.socket.aborted)
        self.assertEqual(service.handshakes.counts, HandshakeCounts(accepted=1, refused=2, crowded_out=2))
        self.assertEqual(clients[3].exchange().received, b"welcome\n")

    def test_closed_port(self) -> None:
        """
        When the port closes, handshakes that are not over end, and nothing is left behind; connections stay.
        """
        service = Service(self.folder)
        there = service.connect().exchange()
        half = service.connect()
        half.protocol.dataReceived(half.speak())
        service.handshakes.doStop()
        service.clock.advance(0)
        self.assertEqual((there.socket.aborted, half.socket.aborted), (False, True))
        self.assertEqual(service.clock.getDelayedCalls(), [])

    def test_share_of_a_turn(self) -> None:
        """
        When the share of a turn is used up, those that come are not read from until the next.
        """
        service = Service(self.folder)
        clients = [service.connect() for _ in range(5)]
        hellos = [client.speak() for client in clients]
        with _slow_handshakes(service, 0.004):
            for client, hello in zip(clients, hellos, strict=True):
                client.protocol.dataReceived(hello)
            # 12 ms of the 10 are used up; the other two wait, and are not read from.
            self.assertEqual([bool(client.socket.value()) for client in clients], [True] * 3 + [False] * 2)
            states = [client.socket.producerState for client in clients]
            self.assertEqual(states, ["producing"] * 3 + ["paused"] * 2)
            service.clock.advance(0)
        self.assertEqual([bool(client.socket.value()) for client in clients], [True] * 5)
        self.assertEqual([client.socket.producerState for client in clients], ["producing"] * 5)
        for client in clients:
            client.connection.bio_write(client.socket.value())
            client.socket.clear()
            self.assertEqual(client.exchange().received, b"welcome\n")
        self.nothing_left(service)

    def test_broken_off_while_it_waits(self) -> None:
        """
        A handshake whose deadline comes before its turn is not gone on with.
        """
        service = Service(self.folder)
        with _slow_handshakes(service, 0.02):
            first, second = service.connect(), service.connect()
            for client in (first, second):
                client.protocol.dataReceived(client.speak())
            second.protocol.abortConnection()
            service.clock.advance(0)
        handshake = b"\x16"
        self.assertEqual([client.socket.value()[:1] == handshake for client in (first, second)], [True, False])

    def test_gone_while_it_waits(self) -> None:
        """
        Who goes while its turn has not come is not missed.
        """
        service = Service(self.folder)
        with _slow_handshakes(service, 0.02):
            first, second = service.connect(), service.connect()
            for client in (first, second):
                client.protocol.dataReceived(client.speak())
            second.socket.lose(ConnectionLost())
            service.clock.advance(0)
        self.assertEqual(service.handshakes.counts, HandshakeCounts(refused=1))

    def test_failing_while_it_waits(self) -> None:
        """
        A protocol that fails when its turn comes is ended there, and the others' turn comes too.
        """

        class Failing(Recorder):
            def connectionMade(self) -> None:
                raise ZeroDivisionError

        service = Service(self.folder)
        first, second = service.connect(version=TLS_1_2), service.connect(version=TLS_1_2)
        for client in (first, second):
            client.protocol.dataReceived(client.speak())
            client.connection.bio_write(client.socket.value())
            client.socket.clear()
        service.clock.advance(0)
        with _slow_handshakes(service, 0.02):
            first.protocol.dataReceived(first.speak())
            service.greeters.make = Failing
            second.protocol.dataReceived(second.speak())
            service.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((first.socket.aborted, second.socket.aborted), (False, True))


def _slow_handshakes(service: Service, seconds: float) -> "mock._patch[Callable[..., None]]":
    """
    Each step of a handshake takes so long.
    """
    ration = service.handshakes.ration
    take = ration._take

    def slow(work: Callable[[], object]) -> None:
        def longer() -> None:
            work()
            service.clock.rightNow += seconds

        take(longer)

    return mock.patch.object(ration, "_take", slow)
