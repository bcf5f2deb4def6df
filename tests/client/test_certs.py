"""
``echochat certs``, and what it makes.
"""

import datetime
import os
import shlex
import socket
import stat
from pathlib import Path
from typing import Any

from click.testing import Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, Subject, VerificationError
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.client.authority import Authority, Issued
from echochat.client.commands.certs import command
from echochat.net.tls import certificate_name
from echochat.net.tls.files import read_credentials, read_trust
from tests.client.click_runner import make_runner
from tests.client.processes import start_client, stop_program
from tests.net.authority import Folder, make
from tests.processes import start_server


class CertsTestCase(SynchronousTestCase):
    """
    Runs the command in a folder of the test's own.
    """

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())

    def run_certs(self, *arguments: str) -> Result:
        return make_runner().invoke(command, ["--directory", str(self.folder), *arguments])

    def made(self, *arguments: str) -> str:
        result = self.run_certs(*arguments)
        self.assertEqual((result.exit_code, result.stderr), (0, ""))
        return result.output

    def refused(self, words: str, *arguments: str, code: int = 1) -> None:
        before = self.contents()
        result = self.run_certs(*arguments)
        self.assertEqual(result.exit_code, code, result.output)
        self.assertIn(words, result.stderr)
        self.assertEqual(self.contents(), before)

    def contents(self) -> dict[str, bytes]:
        if not self.folder.is_dir():
            return {}
        return {each.name: each.read_bytes() for each in self.folder.iterdir() if each.is_file()}

    def certificate(self, stem: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.folder / f"{stem}.pem").read_bytes())


class FilesTests(CertsTestCase):
    """
    What is made is for its owner alone, and nothing is ever overwritten.
    """

    def test_everything(self) -> None:
        """
        One call makes an authority, a server's certificate and clients', readable for their owner alone whatever the
        umask, and says so.
        """
        mask = os.umask(0)
        try:
            output = self.made("--client", "alice", "--client", "bob")
        finally:
            os.umask(mask)
        stems = ("ca", "server", "alice", "bob")
        self.assertEqual(set(self.contents()), {f"{stem}.{kind}" for stem in stems for kind in ("pem", "key")})
        for each in self.folder.iterdir():
            self.assertEqual(stat.S_IMODE(each.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.folder.stat().st_mode), 0o700)
        for stem in stems:
            self.assertIn(f"{self.folder / stem}.pem and .key: ", output)
            read_credentials(f"{self.folder / stem}.pem", f"{self.folder / stem}.key", None)

    def test_again(self) -> None:
        """
        A second call overwrites nothing; with another client it makes just that, by the same authority.
        """
        self.made("--client", "alice")
        before = self.contents()
        self.refused(f"{self.folder}/server.pem is there already, and nothing is overwritten")
        self.refused(f"{self.folder}/server.pem is there already", "--name", "chat.example", "--client", "bob")
        self.refused(f"{self.folder}/alice.pem is there already", "--client", "bob", "--client", "alice")
        self.made("--client", "bob")
        self.assertEqual({name: self.contents()[name] for name in before}, before)
        self.assertEqual(set(self.contents()) - set(before), {"bob.pem", "bob.key"})

    def test_another_server(self) -> None:
        """
        An authority that is there is used for a new server when the old one's files are gone.
        """
        self.made()
        authority = self.certificate("ca")
        for name in ("server.pem", "server.key"):
            (self.folder / name).unlink()
        self.made("--name", "chat.example")
        self.assertEqual(self.certificate("ca"), authority)
        self.certificate("server").verify_directly_issued_by(authority)

    def test_half(self) -> None:
        """
        A file without its other half is not guessed about.
        """
        self.made("--client", "alice")
        for missing, there in (("ca.key", "ca.pem"), ("alice.pem", "alice.key"), ("server.key", "server.pem")):
            content = (self.folder / missing).read_bytes()
            (self.folder / missing).unlink()
            self.refused(f"{self.folder}/{there} is there without {self.folder}/{missing}", "--client", "alice")
            (self.folder / missing).write_bytes(content)

    def test_link(self) -> None:
        """
        Nothing is written through a link that somebody put there, not even one that leads nowhere.
        """
        self.folder.mkdir()
        (self.folder / "ca.key").symlink_to("elsewhere")
        (self.folder / "ca.pem").symlink_to("elsewhere")
        self.refused("cannot read")
        self.assertEqual(self.contents(), {})

    def test_race(self) -> None:
        """
        Nothing is overwritten that somebody else makes in the same moment, and nothing is written through a link.
        """
        issue = Authority.issue_server
        for make_it in (lambda path: path.write_bytes(b"theirs"), lambda path: path.symlink_to("elsewhere")):
            self.folder = Path(self.mktemp())
            theirs = self.folder / "server.key"

            def meanwhile(
                authority: Authority, *arguments: Any, make_it: Any = make_it, theirs: Any = theirs
            ) -> Issued:
                make_it(theirs)
                return issue(authority, *arguments)

            self.patch(Authority, "issue_server", meanwhile)
            result = self.run_certs()
            self.assertEqual((result.exit_code, result.stderr), (1, f"Error: cannot write {theirs}: File exists\n"))
            self.assertFalse((self.folder / "elsewhere").exists())
            self.assertTrue(theirs.is_symlink() or theirs.read_bytes() == b"theirs")

    def test_unwritable(self) -> None:
        """
        A folder that cannot be made is told.
        """
        self.folder.write_bytes(b"a file")
        result = self.run_certs()
        self.assertEqual(result.exit_code, 1)
        self.assertEqual(result.stderr, f"Error: cannot write {self.folder}: File exists\n")

    def test_foreign_authority(self) -> None:
        """
        An authority that cannot sign is told: one that has expired, one with another's key, one of another kind.
        """
        folder = Folder(self)
        self.folder = folder.path
        folder.write_pair("ca", make("old", is_authority=True, begins=-3, ends=-1))
        self.refused("has expired")
        folder.write("ca.key", make().key_pem)
        folder.write("ca.pem", make("new", is_authority=True).pem)
        self.refused("is not that of the certificate")
        folder.write_pair("ca", make("nobody"))
        self.refused("is not the certificate of an authority")
        key = ed25519.Ed25519PrivateKey.generate()
        name = x509.Name([])
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
        folder.write("ca.pem", builder.sign(key, None).public_bytes(Encoding.PEM))
        folder.write("ca.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.refused("was not made by echochat certs")


class CertificateTests(CertsTestCase):
    """
    What is made is what TLS libraries want, and no more than it is for.
    """

    def verified(self, stem: str, server: Subject | None) -> bool:
        builder = PolicyBuilder().store(Store([self.certificate("ca")]))
        verifier = builder.build_client_verifier() if server is None else builder.build_server_verifier(server)
        try:
            verifier.verify(self.certificate(stem), [])
        except VerificationError:
            return False
        return True

    def test_names(self) -> None:
        """
        Host names and addresses are those that were given, in any of their spellings.
        """
        given = ("chat.example", "*.chat.example", "192.0.2.1", "2001:db8::1", "[::1]", "stra\u00dfe.example", "CHAT_2")
        self.made(*(word for name in given for word in ("--name", name)))
        alternatives = self.certificate("server").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(
            [str(each.value) for each in alternatives],
            ["chat.example", "*.chat.example", "192.0.2.1", "2001:db8::1", "::1", "strasse.example", "CHAT_2"],
        )

    def test_guessed_names(self) -> None:
        """
        Without names it is for this machine.
        """
        for host, expected in (("devbox", ["devbox"]), ("localhost", []), ("not a name", []), ("", [])):
            self.patch(socket, "gethostname", lambda host=host: host)
            self.folder = Path(self.mktemp())
            self.made()
            names = self.certificate("server").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            self.assertEqual([str(each.value) for each in names], ["localhost", "127.0.0.1", "::1", *expected])

    def test_verified(self) -> None:
        """
        An independent implementation accepts each for its purpose, and for no other.
        """
        self.made("--name", "chat.example", "--client", "alice")
        self.assertTrue(self.verified("server", x509.DNSName("chat.example")))
        self.assertTrue(self.verified("alice", None))
        self.assertFalse(self.verified("server", x509.DNSName("other.example")))
        self.assertFalse(self.verified("server", None))
        self.assertFalse(self.verified("alice", x509.DNSName("alice")))

    def test_kinds(self) -> None:
        """
        ECDSA on P-256; the authority lasts ten years and can sign, the others last one and cannot.
        """
        self.made("--client", "alice")
        now = datetime.datetime.now(datetime.UTC)
        for stem, days, signs in (("ca", 3_653, True), ("server", 365, False), ("alice", 365, False)):
            certificate = self.certificate(stem)
            key = certificate.public_key()
            assert isinstance(key, EllipticCurvePublicKey)
            self.assertIsInstance(key.curve, SECP256R1)
            left = certificate.not_valid_after_utc - now
            self.assertLess(abs(left - datetime.timedelta(days=days)), datetime.timedelta(minutes=1))
            self.assertLess(certificate.not_valid_before_utc, now)
            extensions = certificate.extensions
            self.assertEqual(extensions.get_extension_for_class(x509.BasicConstraints).value.ca, signs)
            usage = extensions.get_extension_for_class(x509.KeyUsage).value
            self.assertEqual((usage.key_cert_sign, usage.crl_sign, usage.digital_signature), (signs, signs, not signs))
            extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
            extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
        purposes = self.certificate("alice").extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        self.assertEqual(list(purposes), [ExtendedKeyUsageOID.CLIENT_AUTH])
        self.assertEqual(certificate_name(self.certificate("alice")), "alice")

    def test_days(self) -> None:
        """
        How long they are valid can be chosen, but nothing lasts longer than its authority.
        """
        self.made("--days", "7")
        left = self.certificate("server").not_valid_after_utc - datetime.datetime.now(datetime.UTC)
        self.assertEqual(round(left.total_seconds() / 86_400), 7)
        folder = Folder(self)
        self.folder = folder.path
        folder.write_pair("ca", make("another", is_authority=True, ends=2))
        self.made("--days", "30")
        self.assertEqual(self.certificate("server").not_valid_after_utc, self.certificate("ca").not_valid_after_utc)

    def test_bad_options(self) -> None:
        """
        What makes no sense is a usage error that says why, and nothing is made.
        """
        for words, arguments in (
            ("'a b' is neither a host name nor an address", ("--name", "a b")),
            ("'' is neither", ("--name", "")),
            ("'-a' is neither", ("--name", "-a")),
            ("'a..b' is neither", ("--name", "a..b")),
            ("is neither", ("--name", "a" * 64)),
            ("'Alice Example' is not a name", ("--client", "Alice Example")),
            ("'../alice' is not a name", ("--client", "../alice")),
            ("CA is the name of another file", ("--client", "CA")),
            ("server is the name of another file", ("--client", "server")),
            ("--revoke goes alone", ("--revoke", "alice", "--client", "bob")),
            ("--days", ("--days", "0")),
        ):
            self.refused(words, *arguments, code=2)


def _authority_for(days: float) -> "object": ...


class RevokeTests(CertsTestCase):
    """
    A client can be kept out again.
    """

    def revoked(self) -> set[int]:
        (trust,) = read_trust(str(self.folder / "ca.pem"), str(self.folder / "crl.pem")).revoked
        return {each.serial_number for each in trust}

    def test_list(self) -> None:
        """
        A list is made, and grows; revoking somebody twice changes nothing.
        """
        self.made("--client", "alice", "--client", "bob", "--client", "carol")
        alice, bob, carol = (self.certificate(name).serial_number for name in ("alice", "bob", "carol"))
        self.assertIn("crl.pem: 1 revoked", self.made("--revoke", "alice"))
        self.assertEqual(self.revoked(), {alice})
        self.assertIn("crl.pem: 3 revoked", self.made("--revoke", "alice", "--revoke", "bob", "--revoke", "carol"))
        self.assertEqual(self.revoked(), {alice, bob, carol})
        self.assertEqual(stat.S_IMODE((self.folder / "crl.pem").stat().st_mode), 0o600)

    def test_bad(self) -> None:
        """
        Nobody is revoked who is not there, without an authority, or on a list that cannot be read.
        """
        self.refused("ca.pem: No such file", "--revoke", "alice")
        self.made("--client", "alice")
        self.refused("bob.pem: No such file", "--revoke", "bob")
        (self.folder / "crl.pem").write_bytes(b"broken")
        self.refused("there is not a revocation list in", "--revoke", "alice")


class NewcomerTests(TestCase):
    """
    Whoever does what the command says has an encrypted chat.
    """

    async def test_next_steps(self) -> None:
        """
        The commands that are printed work as they are, but for the port, which others may have.
        """
        folder = Path(self.mktemp()).resolve()
        # A folder whose name has to be quoted twice, for the shell and for the endpoint.
        made = start_client("certs", "--directory", str(folder / "my: certs"), "--client", "alice")
        self.assertEqual(await made.ends(), 0, made.errors)
        listen, chat = (shlex.split(line) for line in made.output.decode().splitlines() if line.startswith("  "))
        self.assertEqual(listen[:3], ["twistd", "-n", "echochat"])
        server = start_server(
            self, "--history", "memory:", *[each.replace("tls:7443:", "tls:0:") for each in listen[3:]]
        )
        port = await server.port()
        self.assertEqual(chat[:2], ["echochat", "chat"])
        client = start_client(*chat[1:-1], f"{chat[-1]}:{port}")
        self.addCleanup(stop_program, client)
        client.types(b"hello\n/whoami\n")
        await client.says(b"HELLO\n/ok whoami alice certificate\n")
        client.transport.closeStdin()
        self.assertEqual(await client.ends(), 0, client.errors)
        await server.stop()
