"""
Tests for :mod:`echochat.identity.keys`.
"""

import os
import stat
from base64 import b64encode

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.trial.unittest import SynchronousTestCase

from echochat.identity.files import FileRefused
from echochat.identity.keys import create_key, read_checking_key, read_signing_key
from tests.identity.doubles import write_file

ED25519 = Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)
SMALL_RSA = rsa.generate_private_key(65537, 1024)
CURVE = ec.generate_private_key(ec.SECP256R1())
SHARED = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJ"


def private_pem(
    key: Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes = b""
) -> bytes:
    """
    A private key as ``openssl genpkey`` writes it.
    """
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def public_key(
    key: Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    encoding: serialization.Encoding = serialization.Encoding.PEM,
) -> bytes:
    """
    Its public key, as ``openssl pkey -pubout`` writes it, or otherwise.
    """
    return key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def ssh_key(key: Ed25519PrivateKey) -> bytes:
    """
    Its public key in SSH's format.
    """
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


class KeyTestCase(SynchronousTestCase):
    """
    Reads keys that are wrong.
    """

    def checking_refusal(self, content: bytes | str, mode: int = 0o600) -> str:
        """
        What a server says about a key.
        """
        return str(self.assertRaises(FileRefused, read_checking_key, write_file(self, content, mode)))

    def signing_refusal(self, content: bytes | str, mode: int = 0o600) -> str:
        """
        What is said about a key that tokens should be made with.
        """
        return str(self.assertRaises(FileRefused, read_signing_key, write_file(self, content, mode)))


class SharedKeyTests(KeyTestCase):
    """
    A key that server and issuer share is a secret of both, and nothing else is taken for one.
    """

    def test_new_key(self) -> None:
        """
        A new key is good for both, is its owner's only, is never made twice the same, and overwrites nothing.
        """
        first, second = self.mktemp(), self.mktemp()
        create_key(first)
        create_key(second)
        self.assertEqual(stat.S_IMODE(os.stat(first).st_mode), 0o600)
        self.assertEqual(read_checking_key(first), read_signing_key(first))
        self.assertEqual(read_checking_key(first).algorithm, "HS256")
        self.assertGreaterEqual(len(read_checking_key(first).material), 32)
        self.assertNotEqual(read_checking_key(first), read_checking_key(second))
        self.assertRaises(FileRefused, create_key, first)

    def test_as_it_stands(self) -> None:
        """
        The key is the line itself, without its end: other programs can use the same file.
        """
        for end in ("", "\n", "\r\n"):
            self.assertEqual(read_checking_key(write_file(self, SHARED + end)).material, SHARED.encode())

    def test_modes(self) -> None:
        """
        A shared key that others can read is refused on both sides.
        """
        self.assertIn("chmod 600", self.checking_refusal(SHARED, 0o644))
        self.assertIn("chmod 600", self.signing_refusal(SHARED, 0o640 | 0o004))

    def test_wrong(self) -> None:
        """
        What is short, or not random, or not one line of Base64, is no key; the reason does not repeat it.
        """
        for content, reason in (
            ("", "is not a key"),
            (SHARED[:31], "at least 32 characters"),
            (SHARED + "\n" + SHARED + "\n", "one line"),
            (SHARED + " canary", "is not a key"),
            (SHARED + "ä", "is not a key"),
            ('{"kty":"oct","k":"' + SHARED + '"}', "is not a key"),
            ("a" * 40, "is not random"),
            ("abcabcab" * 5, "is not random"),
        ):
            for refusal in (self.checking_refusal(content), self.signing_refusal(content)):
                self.assertIn(reason, refusal)
                self.assertNotIn(SHARED[:20], refusal)
                self.assertNotIn("canary", refusal)

    def test_public_keys_are_not_shared_ones(self) -> None:
        """
        A public key in any other form than PEM is not taken for a shared one: anybody could sign with it.
        """
        for key in (ED25519, RSA, CURVE):
            der = public_key(key, serialization.Encoding.DER)
            bare = public_key(key).split(b"-----")[2].replace(b"\n", b"")
            urlsafe = bare.replace(b"+", b"-").replace(b"/", b"_").rstrip(b"=")
            for content in (der, b64encode(der), bare, urlsafe):
                self.checking_refusal(content)
                self.signing_refusal(content)
        ssh = ssh_key(ED25519)
        for content in (ssh, ssh.split()[1]):
            self.checking_refusal(content)


class AsymmetricKeyTests(KeyTestCase):
    """
    The server has public keys, the issuer private ones.
    """

    def test_kinds(self) -> None:
        """
        The kind of the key decides on the algorithm, and public keys may be known by anybody.
        """
        for key, algorithm in ((ED25519, "EdDSA"), (RSA, "RS256")):
            self.assertEqual(read_signing_key(write_file(self, private_pem(key))).algorithm, algorithm)
            self.assertEqual(read_checking_key(write_file(self, public_key(key), 0o644)).algorithm, algorithm)

    def test_public_keys_that_others_can_change(self) -> None:
        """
        Whoever can change the public key can log in as anybody: it is refused.
        """
        self.assertIn("can be changed by everybody", self.checking_refusal(public_key(ED25519), 0o666))

    def test_private_keys_that_others_can_read(self) -> None:
        """
        A private key that others can read is refused.
        """
        self.assertIn("chmod 600", self.signing_refusal(private_pem(ED25519), 0o644))

    def test_exchanged(self) -> None:
        """
        A server does not take the private key, and a public one cannot sign: each is told what it has.
        """
        self.assertIn("give the server the public one only", self.checking_refusal(private_pem(ED25519)))
        self.assertIn("the private one is needed", self.signing_refusal(public_key(ED25519)))

    def test_other_kinds(self) -> None:
        """
        Other kinds of keys, and RSA keys that are too short, are refused with the reason.
        """
        self.assertIn("use Ed25519 or RSA", self.checking_refusal(public_key(CURVE)))
        self.assertIn("use Ed25519 or RSA", self.signing_refusal(private_pem(CURVE)))
        self.assertIn("at least 2048 bits", self.checking_refusal(public_key(SMALL_RSA)))
        self.assertIn("at least 2048 bits", self.signing_refusal(private_pem(SMALL_RSA)))
        self.assertIn("behind a password", self.signing_refusal(private_pem(ED25519, b"secret")))

    def test_broken_pem(self) -> None:
        """
        What only looks like PEM is refused, also when it has a key that might be shared.
        """
        for content in (public_key(ED25519)[:-40], b"-----BEGIN CERTIFICATE-----\n" + SHARED.encode(), b"-----BEGIN "):
            self.assertIn("is not a public key in PEM", self.checking_refusal(content))
            self.signing_refusal(content)
        self.assertIn("is not a private key in PEM", self.signing_refusal(private_pem(ED25519)[:-40]))


class SecrecyTests(SynchronousTestCase):
    """
    A key is not shown.
    """

    def test_repr(self) -> None:
        """
        What a key looks like in a log tells its kind only.
        """
        key = read_signing_key(write_file(self, SHARED))
        self.assertEqual(repr(key), "Key(algorithm='HS256')")
