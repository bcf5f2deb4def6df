"""
Tests for :mod:`echochat.broker.address`.
"""

import string

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.broker import WrongAddress, parse_address
from echochat.broker.address import BrokerAddress
from tests.wire.examples import reproducible


class AddressTests(SynchronousTestCase):
    """
    What an operator may write, and what it means.
    """

    def refusal(self, written: str) -> str:
        return str(self.assertRaises(WrongAddress, parse_address, written))

    def test_servers(self) -> None:
        """
        One or several; the port is NATS's own unless told; IPv6 in brackets.
        """
        for written, servers in (
            ("nats://a", ("a:4222",)),
            ("nats://127.0.0.1:1", ("127.0.0.1:1",)),
            ("nats://a,b.example:5,[::1]:6,[fe80::1]", ("a:4222", "b.example:5", "[::1]:6", "[fe80::1]:4222")),
        ):
            self.assertEqual(parse_address(written), BrokerAddress(servers))

    def test_everything(self) -> None:
        """
        TLS, a name, and options.
        """
        address = parse_address("tls://a:1/chat?ca=/ca.pem&cert=c&key=k&user=u&password-file=%2Frun%2Fp&sync=always")
        self.assertEqual(
            address,
            BrokerAddress(
                ("a:1",), True, "chat", "u", None, "/run/p", None, ca="/ca.pem", cert="c", key="k", synced=True
            ),
        )
        self.assertEqual(parse_address("nats://a?creds=x").creds, "x")

    def test_login_in_the_address(self) -> None:
        """
        As URLs have it, with percent signs for what would end it.
        """
        address = parse_address("nats://me:a%40b%2F@h")
        self.assertEqual((address.user, address.password, address.servers), ("me", "a@b/", ("h:4222",)))

    def test_no_secret_in_the_log(self) -> None:
        """
        However an address is printed, the password is not in it.
        """
        address = parse_address("nats://me:secret@h,i/name")
        self.assertNotIn("secret", f"{address} {address!r}")
        self.assertEqual(str(address), "nats://h:4222,i:4222/name")

    def test_wrong(self) -> None:
        """
        What is wrong is one sentence that names it, and no password.
        """
        for written, told in (
            ("", "a broker is nats://HOST:PORT"),
            ("http://a", "a broker is nats://HOST:PORT"),
            ("nats://", "a broker is nats://HOST:PORT"),
            ("nats://a/b/c", "a broker is nats://HOST:PORT"),
            ("nats://a,", "'' is not HOST:PORT"),
            ("nats://a:0", "'a:0' is not HOST:PORT"),
            ("nats://a:65536", "'a:65536' is not HOST:PORT"),
            ("nats://a b", "'a b' is not HOST:PORT"),
            ("nats://@a", "a user stands before the @"),
            ("nats://u@a", "a user has a password"),
            ("nats://u:secret@a?user=v", "in both"),
            ("nats://u:secret@a?password-file=f", "without another password"),
            ("nats://a?password-file=f", "goes with user="),
            ("nats://u:secret@a?creds=f", "creds= stands for user and password"),
            ("nats://a?key=f", "key= goes with cert="),
            ("nats://a?what=f", "'what' is not an option of a broker"),
            ("nats://a?ca=", "ca= has a value"),
            ("nats://a?ca", "the options of a broker are"),
            ("nats://a?ca=1&ca=2", "given once"),
            ("nats://a?sync=never", "sync=always is all"),
        ):
            refusal = self.refusal(written)
            self.assertIn(told, refusal)
            self.assertNotIn("secret", refusal)

    @settings(reproducible, max_examples=100)
    @given(st.text(string.printable, max_size=40))
    def test_anything(self, text: str) -> None:
        """
        Whatever is written is understood or refused, and what is understood can not carry anything into a URL.
        """
        try:
            address = parse_address(f"nats://{text}")
        except WrongAddress:
            return
        for server in address.servers:
            self.assertRegex(server, r"\A[\[\]A-Za-z0-9._:-]+:\d+\Z")
