"""
Tests for :mod:`echochat.broker.credentials`, and that a real nats-server accepts what is made of them.
"""

import base64
import binascii
import json
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.broker import Broker, parse_address
from echochat.broker.credentials import UserCredentials, make_user_key, read_secret_line
from echochat.broker.errors import CredentialsRefused
from echochat.history.parse import UnknownHistory, from_string
from tests.broker.nats import Connections, Nats, connected, reactor
from tests.net.certificates import identity

_SEED = 18 << 3
_KINDS = {"operator": 14 << 3, "account": 0, "user": 20 << 3}


class Identity:
    """
    A key of NATS's kind, and what it signs.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._key = Ed25519PrivateKey.generate()
        self.public = _encoded(bytes([_KINDS[kind]]) + self._key.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        kind = _KINDS[self.kind]
        return _encoded(bytes([_SEED | kind >> 5, (kind & 31) << 3]) + self._key.private_bytes_raw())

    def sign(self, whom: "Identity", claims: dict[str, object]) -> str:
        """
        A JWT (https://docs.nats.io/running-a-nats-service/nats_admin/security/jwt).
        """
        nats = {"type": whom.kind, "version": 2, **claims}
        parts = [
            {"typ": "JWT", "alg": "ed25519-nkey"},
            {"jti": "1", "iat": 1, "iss": self.public, "name": whom.kind, "sub": whom.public, "nats": nats},
        ]
        signed = ".".join(_b64(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{_b64(self._key.sign(signed.encode()))}"


def _encoded(raw: bytes) -> str:
    checked = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode().rstrip("=")


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def written(path: str, content: str, mode: int = 0o600) -> str:
    Path(path).write_text(content)
    os.chmod(path, mode)
    return path


def credentials(user: Identity, jwt: str) -> str:
    """
    As ``nsc generate creds`` writes it.
    """
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\nNKEY Seed printed below.\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n\n*****\n"
    )


def identity_key_with(passphrase: bytes) -> str:
    """
    The key, as somebody keeps it who types a passphrase.
    """
    key = load_pem_private_key(identity().key, None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase)).decode()


def another_key() -> str:
    """
    A key that is not the certificate's.
    """
    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class FilesTests(SynchronousTestCase):
    """
    Files with secrets, and what is wrong with them.
    """

    def test_password(self) -> None:
        """
        The first line is the password.
        """
        self.assertEqual(read_secret_line(written(self.mktemp(), "pass word\nmore\n")), "pass word")

    def test_refused(self) -> None:
        """
        A file that others can read, that is not there, or that has nothing in it is named.
        """
        for path, told in (
            (written(self.mktemp(), "x", 0o640), "chmod 600"),
            (self.mktemp(), "No such file"),
            (written(self.mktemp(), ""), "is empty"),
        ):
            error = self.assertRaises(CredentialsRefused, read_secret_line, path)
            self.assertIn(path, str(error))
            self.assertIn(told, str(error))

    def test_not_credentials(self) -> None:
        """
        ... and so is one that has no JWT, no seed, or a damaged one.
        """
        user = Identity("user")
        good = credentials(user, "a.b.c")
        self.assertEqual(UserCredentials(written(self.mktemp(), good)).public, user.public)
        self.assertEqual(UserCredentials(written(self.mktemp(), good)).jwt, b"a.b.c")
        for content in (
            "x",
            good.replace("NATS USER JWT", "JWT"),
            good.replace("USER NKEY SEED", "SEED"),
            good.replace(user.seed, user.seed[:-3] + "AAA"),
            good.replace(user.seed, "not base 32".replace(" ", "")),
        ):
            error = self.assertRaises(CredentialsRefused, UserCredentials, written(self.mktemp(), content))
            self.assertNotIn(user.seed, str(error))

    def test_a_key_like_a_jwt(self) -> None:
        """
        A key alone is one, also if its seed happens to have the letters JWT in it, as one of some hundreds has.
        """
        key = next(key for key in iter(make_user_key, "") if "JWT" in key)
        self.assertIsNone(UserCredentials(written(self.mktemp(), key)).jwt)


class AddressFilesTests(SynchronousTestCase):
    """
    The files that an address names are looked at when a server starts, and what is wrong is one line that names them.
    """

    def setUp(self) -> None:
        self.ca = written(self.mktemp(), identity().certificate.decode())
        self.key = written(self.mktemp(), identity().key.decode())

    def refusal(self, options: str) -> str:
        """
        What is said of these options, when a history is made with them.
        """
        error = self.assertRaises(UnknownHistory, from_string, f"tls://127.0.0.1:1?{options}", reactor)
        return str(error)

    def test_good(self) -> None:
        """
        Files that can be used are, the certificate and its key in one file, too.
        """
        both = written(self.mktemp(), identity().certificate.decode() + identity().key.decode())
        password = written(self.mktemp(), "secret")
        for options in (
            f"ca={self.ca}",
            f"ca={self.ca}&cert={self.ca}&key={self.key}",
            f"cert={both}",
            f"user=me&password-file={password}",
        ):
            parse_address(f"tls://127.0.0.1:1?{options}").check_files()

    def test_refused(self) -> None:
        """
        Missing ones, ones of another kind, and a key that others can read or that has a passphrase: nobody is asked
        for it.
        """
        missing, wrong, readable = self.mktemp(), written(self.mktemp(), "x"), written(self.mktemp(), "x", 0o644)
        locked = identity_key_with(b"passphrase")
        encrypted = written(self.mktemp(), locked)
        other = written(self.mktemp(), another_key())
        for options, path, told in (
            (f"ca={missing}", missing, "cannot be read: No such file"),
            (f"ca={wrong}", wrong, "cannot be used for TLS"),
            (f"cert={missing}&key={self.key}", missing, "cannot be read: No such file"),
            (f"cert={self.ca}&key={missing}", missing, "cannot be read: No such file"),
            (f"cert={wrong}&key={self.key}", wrong, "cannot be used for TLS"),
            (f"cert={self.ca}&key={other}", other, "cannot be used for TLS"),
            (f"cert={self.ca}&key={readable}", readable, "can be read or changed by others"),
            (f"cert={self.ca}&key={encrypted}", encrypted, "is protected by a passphrase"),
            (f"user=me&password-file={missing}", missing, "cannot be read"),
            (f"creds={wrong}", wrong, "is not a credentials file"),
        ):
            refusal = self.refusal(options)
            self.assertIn(path, refusal)
            self.assertIn(told, refusal)


class LoginTests(TestCase):
    """
    A broker that wants to know who we are.
    """

    timeout = 60

    async def test_password(self) -> None:
        """
        From a file, read anew for each connection; or in the address.
        """
        nats = await Nats(self, 'authorization { user: "me", password: "secret" }').start()
        where = f"127.0.0.1:{nats.port}"
        await connected(self, f"nats://me:secret@{where}")
        path = written(self.mktemp(), "wrong")
        broker, connections = (
            Broker(reactor, parse_address(f"nats://{where}?user=me&password-file={path}")),
            Connections(),
        )
        broker.watch(connections)
        self.addCleanup(broker.stop)
        refused, up = connections.when("disconnected: authorization violation"), connections.when("connected")
        broker.start()
        await refused
        written(path, "secret\n")
        await up

    async def test_key(self) -> None:
        """
        A key of which the broker knows the public half: what is said to a broker, or to whoever took its port, does
        not let anybody in.
        """
        path = written(self.mktemp(), make_user_key())
        user = UserCredentials(path)
        self.assertIsNone(user.jwt)
        nats = await Nats(self, f"authorization {{ users: [ {{ nkey: {user.public} }} ] }}").start()
        await connected(self, f"{nats.address}?creds={path}")
        written(path, make_user_key())
        broker, connections = Broker(reactor, parse_address(f"{nats.address}?creds={path}")), Connections()
        broker.watch(connections)
        self.addCleanup(broker.stop)
        refused = connections.when("disconnected: authorization violation")
        broker.start()
        await refused

    async def test_credentials(self) -> None:
        """
        A user's JWT and key, as NATS's operators hand them out.
        """
        operator, account, user = Identity("operator"), Identity("account"), Identity("user")
        unlimited: dict[str, object] = {"subs": -1, "data": -1, "payload": -1}
        limits = {**unlimited, "conn": -1, "leaf": -1, "imports": -1, "exports": -1, "wildcards": True}
        nats = await Nats(
            self,
            f"operator: {operator.sign(operator, {})}\n"
            "resolver: MEMORY\n"
            f"resolver_preload: {{ {account.public}: {operator.sign(account, {'limits': limits})} }}\n",
            jetstream=False,
        ).start()
        path = written(self.mktemp(), credentials(user, account.sign(user, unlimited)))
        await connected(self, f"{nats.address}?creds={path}")
        broker, connections = Broker(reactor, parse_address(nats.address)), Connections()
        broker.watch(connections)
        self.addCleanup(broker.stop)
        refused = connections.when("disconnected: authorization violation")
        broker.start()
        await refused
