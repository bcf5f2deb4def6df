"""
Bans: whom they keep out, and until when.
"""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.ban_book import LIFTED, BanRecord
from echochat.server.bans import Bans
from tests.server.house import ELSEWHERE, HouseTestCase

NOW = 10**12
"""
The time of day, in milliseconds.
"""


class BansTests(SynchronousTestCase):
    """
    Names and addresses that are banned.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.wall = NOW
        self.bans = Bans(self.clock, lambda: self.wall)

    def test_nobody(self) -> None:
        """
        At first nobody is banned, and nobody can be unbanned.
        """
        self.assertNotIn("alice", self.bans)
        self.assertNotIn("", self.bans)
        self.assertFalse(self.bans.remove("alice"))

    def test_for_good(self) -> None:
        """
        A ban without a time lasts as long as the server.
        """
        self.bans.add("alice", None)
        self.clock.advance(1e9)
        self.assertIn("alice", self.bans)
        self.assertNotIn("bob", self.bans)

    def test_for_a_time(self) -> None:
        """
        A ban with a time ends by itself, not before; then there is nothing to remove.
        """
        self.bans.add("alice", 60)
        self.clock.advance(59.9)
        self.assertIn("alice", self.bans)
        self.clock.advance(0.1)
        self.assertNotIn("alice", self.bans)
        self.assertFalse(self.bans.remove("alice"))

    def test_an_ended_ban_cannot_be_removed(self) -> None:
        """
        Nor when nobody has asked for it in between.
        """
        self.bans.add("alice", 60)
        self.clock.advance(60)
        self.assertFalse(self.bans.remove("alice"))

    def test_ended_ones_are_forgotten(self) -> None:
        """
        Bans that have ended go although nobody asks for those names again, and those that have not are kept.
        """
        for number in range(10_000):
            self.bans.add(f"guest-{number}", 60)
            self.bans.learn(BanRecord(f"stranger-{number}", self.wall, self.wall + 60_000))
            self.clock.advance(1)
            self.wall += 1000
        self.assertLess(len(self.bans._until), 500)
        for name in ("guest-9999", "guest-9941", "stranger-9999"):
            self.assertIn(name, self.bans)

    def test_again(self) -> None:
        """
        The last ban's time counts, whether it is longer or shorter.
        """
        self.bans.add("alice", None)
        self.bans.add("alice", 60)
        self.clock.advance(60)
        self.assertNotIn("alice", self.bans)
        self.bans.add("alice", 60)
        self.bans.add("alice", None)
        self.clock.advance(60)
        self.assertIn("alice", self.bans)

    def test_told(self) -> None:
        """
        What others are told of a ban has its end as a time of day, which is not what it ends by here.
        """
        self.assertEqual(self.bans.add("Alice", 60), BanRecord("alice", NOW, NOW + 60_000))
        self.assertEqual(self.bans.add("192.0.2.1", None), BanRecord("192.0.2.1", NOW, None))
        self.wall += 10**9
        self.assertIn("alice", self.bans)
        lifted = self.bans.remove("Alice")
        self.assertEqual(lifted, BanRecord("alice", self.wall, LIFTED))
        assert lifted is not None
        self.assertFalse(self.bans.is_in_force(lifted))

    def test_learn(self) -> None:
        """
        What another server has decided later holds here, and is news once; what was decided earlier is not.
        """
        self.assertTrue(self.bans.learn(BanRecord("alice", 5, NOW + 60_000)))
        self.assertFalse(self.bans.learn(BanRecord("alice", 5, NOW + 60_000)))
        self.clock.advance(59.9)
        self.assertIn("alice", self.bans)
        self.clock.advance(0.1)
        self.assertNotIn("alice", self.bans)
        self.assertTrue(self.bans.learn(BanRecord("alice", 6, None)))
        self.assertFalse(self.bans.learn(BanRecord("alice", 5, LIFTED)))
        self.assertIn("alice", self.bans)
        self.assertTrue(self.bans.learn(BanRecord("alice", 7, LIFTED)))
        self.assertNotIn("alice", self.bans)
        self.assertTrue(self.bans.learn(BanRecord("bob", 7, NOW - 1)))
        self.assertNotIn("bob", self.bans)

    def test_remove(self) -> None:
        """
        Who is unbanned is not banned, once.
        """
        self.bans.add("alice", None)
        self.bans.add("bob", None)
        self.assertTrue(self.bans.remove("alice"))
        self.assertFalse(self.bans.remove("alice"))
        self.assertNotIn("alice", self.bans)
        self.assertIn("bob", self.bans)

    def test_letter_case(self) -> None:
        """
        Names are one in any letter case.
        """
        self.bans.add("Alice", None)
        self.assertIn("aLICE", self.bans)
        self.assertTrue(self.bans.remove("ALICE"))

    def test_forms_of_an_address(self) -> None:
        """
        An address is one in whatever way it is written, and so is IPv4 within IPv6.
        """
        for banned, others in (
            ("2001:DB8:0:0::1", ("2001:db8::1", "2001:0db8::0001")),
            ("192.0.2.7", ("::ffff:192.0.2.7", "::FFFF:c000:0207")),
            ("::ffff:192.0.2.8", ("192.0.2.8",)),
            ("fe80::1", ("fe80::1%eth0",)),
        ):
            self.bans.add(banned, None)
            for other in others:
                self.assertIn(other, self.bans)
        self.assertNotIn("2001:db8::2", self.bans)
        self.assertNotIn("192.0.2.9", self.bans)
        self.assertTrue(self.bans.remove("2001:db8::1"))


class BannedAddressTests(HouseTestCase):
    """
    Who comes from a banned address.
    """

    def test_refused(self) -> None:
        """
        They are told, and closed, and nothing that they say is answered or counted.
        """
        house = self.open()
        house.factory.bans.add(ELSEWHERE, None)
        visitor = house.connect(ELSEWHERE)
        self.assertRegex(visitor.received, rb"\A/bye banned [^\r\n]+\r\n\Z")
        self.assertEqual(visitor.say(b"hello\r\n"), b"")
        self.assertEqual(house.factory.connections, set())
        house.wait(10)
        self.assertTrue(visitor.lost)

    def test_in_any_form(self) -> None:
        """
        A server on an IPv6 socket sees IPv4 addresses within IPv6 ones: they are the same.
        """
        house = self.open()
        house.factory.bans.add(ELSEWHERE, None)
        self.assertIn(b"/bye banned ", house.connect(f"::ffff:{ELSEWHERE}").received)
        house.wait(10)

    def test_encrypted(self) -> None:
        """
        With TLS, with a certificate even, likewise.
        """
        house = self.open()
        house.factory.bans.add(ELSEWHERE, None)
        self.assertIn(b"/bye banned ", house.connect(ELSEWHERE, certified="alice").received)
        house.wait(10)

    def test_until_it_ends(self) -> None:
        """
        Afterwards they are let in, and so are all others meanwhile.
        """
        house = self.open()
        house.factory.bans.add(ELSEWHERE, 60)
        self.assertEqual(house.connect("192.0.2.8").say(b"hello\r\n"), b"HELLO\r\n")
        self.assertEqual(house.connect("").say(b"hello\r\n"), b"HELLO\r\n")
        house.wait(60)
        self.assertEqual(house.connect(ELSEWHERE).say(b"hello\r\n"), b"HELLO\r\n")
