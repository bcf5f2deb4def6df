"""
Tests for :mod:`echochat.net.limits`.
"""

import resource
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echochat.net import limits
from echochat.net.limits import AddressLimit, connections_for, is_remote, raise_descriptor_limit


def address(host: str, port: int = 5000) -> Any:
    """
    A peer's address.
    """
    return IPv6Address("TCP", host, port) if ":" in host else IPv4Address("TCP", host, port)


class AddressLimitTests(SynchronousTestCase):
    """
    Nobody takes all places, however many addresses of a network somebody has.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000)
        self.limit = AddressLimit(self.clock, 3)

    def admit(self, host: str) -> str | None:
        return self.limit.admit(address(host))

    def admitted(self, host: str) -> str:
        source = self.admit(host)
        assert source is not None, host
        return source

    def test_at_once(self) -> None:
        """
        As many connections at once as are allowed, from each address; who has left makes room.
        """
        sources = [self.admitted("192.0.2.1") for _ in range(3)]
        self.assertIsNone(self.admit("192.0.2.1"))
        self.assertIsNotNone(self.admit("192.0.2.2"))
        self.limit.release(sources[0])
        self.assertIsNotNone(self.admit("192.0.2.1"))
        self.assertIsNone(self.admit("192.0.2.1"))

    def test_new_in_ten_seconds(self) -> None:
        """
        Twice as many may be new within any ten seconds, however soon they leave; those that were refused do not count.
        """
        for _ in range(6):
            self.limit.release(self.admitted("192.0.2.1"))
            self.clock.advance(1)
        for _ in range(20):
            self.assertIsNone(self.admit("192.0.2.1"))
        self.clock.advance(3.9)
        self.assertIsNone(self.admit("192.0.2.1"))
        self.clock.advance(0.1)
        # The first of them is ten seconds ago.
        self.limit.release(self.admitted("192.0.2.1"))
        self.assertIsNone(self.admit("192.0.2.1"))
        self.clock.advance(1)
        self.limit.release(self.admitted("192.0.2.1"))

    def test_ipv6(self) -> None:
        """
        All addresses of one IPv6 /64 are one.
        """
        for host in ("2001:db8:0:3::1", "2001:db8:0:3::2", "2001:db8:0:3:ffff:ffff:ffff:ffff"):
            self.admitted(host)
        self.assertIsNone(self.admit("2001:db8:0:3::3"))
        self.assertIsNone(self.admit("2001:db8:0:3::3%eth0"))
        self.admitted("2001:db8:0:2::1")

    def test_mapped(self) -> None:
        """
        An IPv4 address is the same when it comes to an IPv6 socket; two of them are two.
        """
        for host in ("192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201"):
            self.admitted(host)
        self.assertIsNone(self.admit("192.0.2.1"))
        self.admitted("::ffff:192.0.2.2")

    def test_exempt(self) -> None:
        """
        Loopback and UNIX sockets are not counted, and give back nothing.
        """
        for host in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
            for _ in range(10):
                self.assertEqual(self.admit(host), "")
        for path in (b"/run/socket", None):
            for _ in range(10):
                self.assertEqual(self.limit.admit(UNIXAddress(path)), "")
        self.limit.release("")

    def test_no_limit(self) -> None:
        """
        0 means that nobody counts.
        """
        limit = AddressLimit(self.clock, 0)
        for _ in range(1_000):
            self.assertEqual(limit.admit(address("192.0.2.1")), "")

    def test_forgets(self) -> None:
        """
        Who has come once is not remembered for ever.
        """
        for number in range(100):
            self.limit.release(self.admitted(f"192.0.2.{number}"))
        self.clock.advance(10)
        stays = self.admitted("198.51.100.1")
        self.assertEqual(list(self.limit._recent), [stays])
        self.assertEqual(list(self.limit._open), [stays])

    def test_flood_of_addresses(self) -> None:
        """
        However many addresses somebody comes from, a bounded number is remembered; connections that last are counted
        all the same.
        """
        self.patch(limits, "MOST_REMEMBERED", 50)
        lasting = [self.admitted("2001:db8:ffff::1") for _ in range(3)]
        for number in range(1_000):
            self.limit.release(self.admitted(f"2001:db8:{number:x}::1"))
        self.assertEqual(len(self.limit._recent), 50)
        self.assertIsNone(self.admit("2001:db8:ffff::1"))
        for source in lasting:
            self.limit.release(source)
        self.admitted("2001:db8:ffff::1")

    def test_is_remote(self) -> None:
        """
        Other machines are remote; this one, and what has no address, are not.
        """
        for host in ("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"):
            self.assertTrue(is_remote(address(host)), host)
        for host in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
            self.assertFalse(is_remote(address(host)), host)
        self.assertFalse(is_remote(UNIXAddress(b"/run/socket")))
        self.assertFalse(is_remote(None))

    def test_what_is_no_address(self) -> None:
        """
        A name in an address's place is taken as it is.
        """
        self.assertEqual(self.admit("a-name"), "a-name")


class DescriptorTests(SynchronousTestCase):
    """
    Descriptors are used, and some are kept in reserve.
    """

    def test_reserve(self) -> None:
        """
        128 or one in twenty is kept for other things; where there are few, half of them.
        """
        for descriptors, connections in (
            (1_048_576, 996_148),
            (20_000, 19_000),
            (1_024, 896),
            (64, 32),
            (2, 1),
            (1, 1),
        ):
            self.assertEqual(connections_for(descriptors), connections, descriptors)

    def test_soft_limit_is_raised(self) -> None:
        """
        The soft limit becomes the hard one.
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard - 1, hard))
        self.assertEqual(raise_descriptor_limit(), hard)
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE), (hard, hard))

    def test_soft_limit_cannot_be_raised(self) -> None:
        """
        Where that is not allowed, the one there is holds.
        """

        def refuse(*arguments: object) -> None:
            raise PermissionError

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard - 1, hard))
        self.patch(resource, "setrlimit", refuse)
        self.assertEqual(raise_descriptor_limit(), hard - 1)
