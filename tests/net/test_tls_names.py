"""
Tests for :mod:`echochat.net.tls.names`.
"""

from cryptography.x509 import GeneralName, UnrecognizedExtension
from cryptography.x509.oid import ExtensionOID
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from echochat.net.tls import certificate_name, peer_name
from tests.net.authority import address, dns, email, make, uri

TABLE: list[tuple[str | None, list[str], list[GeneralName]]] = [
    # The URI of ours is first.
    ("alice", [], [uri("echochat:alice")]),
    ("Alice.B-2_c", [], [uri("echochat:Alice.B-2_c")]),
    ("alice", [], [uri("ECHOCHAT:alice")]),
    ("alice", ["bob"], [dns("carol"), email("dave@example.org"), uri("echochat:alice")]),
    ("alice", [], [uri("https://example.org/bob"), uri("echochat:alice")]),
    ("alice", [], [uri("echochat:alice"), uri("echochat:alice")]),
    (None, ["bob"], [uri("echochat:")]),
    (None, ["bob"], [uri("echochat:alice smith")]),
    (None, ["bob"], [uri("echochat:-alice")]),
    (None, ["bob"], [uri("echochat:" + "a" * 33)]),
    (None, ["bob"], [uri("echochat:alice"), uri("echochat:bob")]),
    (None, ["bob"], [uri("echochat:alice"), uri("echochat:Alice")]),
    # Then an e-mail address.
    ("alice", ["bob"], [email("alice@example.org"), dns("carol")]),
    ("alice", [], [email("alice@example.org"), email("alice@example.com")]),
    ("alice", [], [uri("https://example.org/"), email("alice@example.org")]),
    (None, ["bob"], [email("alice+chat@example.org")]),
    (None, ["bob"], [email("alice@example.org"), email("carol@example.org")]),
    # Then a DNS name.
    ("sensor-7.example.org", ["bob"], [dns("sensor-7.example.org")]),
    ("sensor-7", [], [address("127.0.0.1"), dns("sensor-7")]),
    (None, ["bob"], [dns("*.example.org")]),
    (None, ["bob"], [dns("a.example.org"), dns("b.example.org")]),
    (None, ["bob"], [dns("a-name-that-is-too-long.example.org")]),
    # Then the common name.
    ("bob", ["bob"], []),
    ("bob", ["bob"], [address("127.0.0.1")]),
    ("bob", ["bob"], [uri("https://example.org/alice")]),
    (None, [], []),
    (None, [], [address("127.0.0.1")]),
    (None, ["Bob Example"], []),
    (None, ["bob\n"], []),
    (None, ["b\u00f6b"], []),
    (None, ["bob", "carol"], []),
]


class CertificateNameTests(SynchronousTestCase):
    """
    A certificate gives its owner one name, or none.
    """

    def test_table(self) -> None:
        """
        The first place with a name decides; what is no name, or more than one, is nobody's.
        """
        for expected, common_names, alternatives in TABLE:
            certificate = make(common_names, alternatives=alternatives).certificate
            self.assertEqual(certificate_name(certificate), expected, (common_names, alternatives))

    def test_unreadable(self) -> None:
        """
        A certificate with something that cannot be read gives no name: nobody knows what it would say.
        """
        for content in (b"junk", b"", b"0\x06\x82\x04a\xffb\xfc", b"0\x05\xa3\x03\x02\x01\x01"):
            extension = UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, content)
            self.assertIsNone(certificate_name(make("bob", more=[extension]).certificate))


class PeerNameTests(SynchronousTestCase):
    """
    Most connections have nobody with a certificate at the other end.
    """

    def test_plain(self) -> None:
        """
        A transport without TLS has no name at the other end.
        """
        self.assertIsNone(peer_name(StringTransport()))
        self.assertIsNone(peer_name(None))
