"""
Tests for :mod:`echochat.net.tls.files`.
"""

import os

from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from echochat.net.tls.files import Credentials, TlsFileError, read_credentials, read_trust
from tests.net.authority import CLIENTS, SERVERS, Folder, authority, make, revocation_list, server, stranger


class CredentialsTests(SynchronousTestCase):
    """
    A certificate and a key are read, or it is said in one line which file is not right and why.
    """

    def setUp(self) -> None:
        self.folder = Folder(self)
        self.certificate, self.key = self.folder.write_pair("server", server())

    def read(self, certificate: str | None = None, key: str | None = None) -> Credentials:
        return read_credentials(certificate or self.certificate, key or self.key, SERVERS)

    def refused(self, words: str, certificate: str | None = None, key: str | None = None) -> None:
        error = self.assertRaises(TlsFileError, self.read, certificate, key)
        self.assertIn(words, str(error))
        self.assertNotIn("\n", str(error))

    def test_good(self) -> None:
        """
        What belongs together is taken, with the certificates that lead to an authority.
        """
        read = self.read()
        self.assertEqual((read.certificate, read.chain), (server().certificate, ()))
        chained = self.folder.write("chained.pem", server().pem + authority().pem)
        self.assertEqual(self.read(chained).chain, (authority().certificate,))

    def test_one_file(self) -> None:
        """
        Certificate and key may be in one file, which is the key's then.
        """
        both = self.folder.write("both.pem", server().key_pem + server().pem)
        self.assertEqual(self.read(both, both).certificate, server().certificate)
        self.folder.write("both.pem", server().key_pem + server().pem, 0o644)
        self.refused("chmod 600", both, both)

    def test_no_purpose(self) -> None:
        """
        A certificate that does not say what it is for is for everything.
        """
        certificate, key = self.folder.write_pair("any", make("localhost", authority()))
        self.read(certificate, key)

    def test_missing(self) -> None:
        """
        The file that is not there is named.
        """
        absent = str(self.folder.path / "absent.pem")
        self.refused(f"cannot read {absent}: No such file or directory", absent)
        self.refused(f"cannot read {absent}: No such file or directory", key=absent)
        self.refused("Is a directory", str(self.folder.path))

    def test_readable_by_others(self) -> None:
        """
        A key that others can read is not used, whatever it is that they may do.
        """
        for mode in (0o640, 0o604, 0o644, 0o620, 0o601):
            os.chmod(self.key, mode)
            self.refused(f"others can read the private key in {self.key} (mode {mode:o}): chmod 600", key=self.key)
        os.chmod(self.key, 0o400)
        self.read()

    def test_link(self) -> None:
        """
        What counts is the file behind a link: those who renew certificates keep them so.
        """
        link = self.folder.path / "link.key"
        link.symlink_to(os.path.abspath(self.key))
        self.read(key=str(link))
        os.chmod(self.key, 0o640)
        self.refused("others can read", key=str(link))

    def test_unreadable(self) -> None:
        """
        A file that we may not read is named.
        """
        if os.geteuid() == 0:
            raise SkipTest("root may read everything")
        os.chmod(self.key, 0)
        self.refused("Permission denied")

    def test_damaged(self) -> None:
        """
        What is not what it should be is told, and nothing of it is shown.
        """
        for content in (b"", b"secret", server().pem[:-30], b"\xff\xfe", server().key_pem):
            self.refused("there is not a certificate in", self.folder.write("bad.pem", content))
        for cut in (authority().pem[:-30], authority().pem[30:]):
            self.refused("or it is damaged", self.folder.write("half.pem", server().pem + cut))
        for content in (b"", b"secret", server().key_pem[:-30], server().pem):
            self.refused("there is not a private key in", key=self.folder.write("bad.key", content))

    def test_passphrase(self) -> None:
        """
        There is nobody to type a passphrase.
        """
        protected = server().key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
        self.refused("protected by a passphrase", key=self.folder.write("protected.key", protected))

    def test_useless_key(self) -> None:
        """
        A key that cannot sign is told as such.
        """
        key = x25519.X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.refused("of a kind that TLS has no use for", key=self.folder.write("x25519.key", key))

    def test_other_key(self) -> None:
        """
        A certificate with another's key is told with both names.
        """
        _, other = self.folder.write_pair("other", make())
        self.refused(f"the private key in {other} is not that of the certificate in {self.certificate}", key=other)

    def test_not_valid_now(self) -> None:
        """
        An expired certificate, and one that is not valid yet, would be refused by every client.
        """
        expired, key = self.folder.write_pair("expired", make("localhost", authority(), begins=-3, ends=-1))
        self.refused(f"the certificate in {expired} has expired on ", expired, key)
        early, key = self.folder.write_pair("early", make("localhost", authority(), begins=1))
        self.refused(f"the certificate in {early} is not valid before ", early, key)

    def test_other_purpose(self) -> None:
        """
        A client's certificate is not a server's.
        """
        client, key = self.folder.write_pair("client", make("alice", authority(), purpose=CLIENTS))
        self.refused(f"the certificate in {client} is not for servers", client, key)
        error = self.assertRaises(TlsFileError, read_credentials, self.certificate, self.key, CLIENTS)
        self.assertIn("is not for clients", str(error))


class TrustTests(SynchronousTestCase):
    """
    Authorities and their revocation lists are read, or it is said what is wrong.
    """

    def setUp(self) -> None:
        self.folder = Folder(self)
        self.authorities = self.folder.write("ca.pem", stranger().pem + authority().pem)

    def refused(self, words: str, revoked: str | None, authorities: str | None = None) -> None:
        error = self.assertRaises(TlsFileError, read_trust, authorities or self.authorities, revoked)
        self.assertIn(words, str(error))

    def test_good(self) -> None:
        """
        A file may have several authorities, and several lists.
        """
        lists = self.folder.write("crl.pem", revocation_list(authority(), server()) + revocation_list(stranger()))
        trust = read_trust(self.authorities, lists)
        self.assertEqual(trust.authorities, (stranger().certificate, authority().certificate))
        self.assertEqual([len(list(each)) for each in trust.revoked], [1, 0])
        self.assertEqual(read_trust(self.authorities, None).revoked, ())

    def test_bad(self) -> None:
        """
        A file without what it should have, or with what is out of date or another's.
        """
        self.refused("there is not a certificate in", None, self.folder.write("empty.pem", b""))
        self.refused("there is not a revocation list in", self.folder.write("not.pem", authority().pem))
        good = revocation_list(authority())
        self.refused("there is not a revocation list in", self.folder.write("half.pem", good[:50]))
        self.refused("there is not a revocation list in", self.folder.write("more.pem", good + good[:-30]))
        self.refused("No such file", str(self.folder.path / "absent.pem"))
        old = self.folder.write("old.pem", revocation_list(authority(), ends=-1))
        self.refused(f"the revocation list in {old} is out of date since ", old)
        other = self.folder.write("other.pem", revocation_list(make("somebody", is_authority=True)))
        self.refused(f"the revocation list in {other} is not by an authority in {self.authorities}", other)
        namesake = self.folder.write("namesake.pem", revocation_list(make("the authority", is_authority=True)))
        self.refused("is not by an authority in", namesake)
