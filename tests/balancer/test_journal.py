"""
Tests for :mod:`echochat.balancer.journal`.
"""

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from echochat.balancer.journal import SINGLE, WINDOW, Ended, Journal, in_words


def ended(number: int) -> Ended:
    return Ended(number, ("192.0.2.1", 50_000), "a", 0.25, "client closed", 7, 9)


def line(number: int) -> str:
    return f"connection {number} from 192.0.2.1:50000 to a ended after 0.250 s: client closed; 7 bytes in, 9 bytes out"


class JournalTests(SynchronousTestCase):
    """
    What became of each connection is logged once, in order.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.journal = Journal(self.clock)

    def test_few(self) -> None:
        """
        Few are logged as they come, each in an event of its own.
        """
        with capturedLogs() as captured:
            for number in range(3 * SINGLE):
                self.journal.add(ended(number))
                self.clock.advance(WINDOW / (SINGLE - 1))
        self.assertEqual([formatEvent(each) for each in captured], [line(number) for number in range(3 * SINGLE)])
        self.assertEqual([each["ended"] for each in captured], [[ended(number)] for number in range(3 * SINGLE)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many(self) -> None:
        """
        Of many the first are, too, and the others follow in one event, with a line and all fields of each.
        """
        with capturedLogs() as captured:
            # As trial -j tells of what is logged, one event has at most 64 KiB.
            for number in range(500):
                self.journal.add(ended(number))
            self.assertEqual(len(captured), SINGLE)
            self.clock.advance(WINDOW)
            self.assertEqual(len(captured), SINGLE + 1)
            self.journal.add(ended(500))
        lines = "\n".join(formatEvent(each) for each in captured).split("\n")
        self.assertEqual(lines, [line(number) for number in range(501)])
        self.assertEqual([one for each in captured for one in each["ended"]], [ended(number) for number in range(501)])

    def test_stopped(self) -> None:
        """
        At the end nothing is left.
        """
        with capturedLogs() as captured:
            for number in range(SINGLE + 2):
                self.journal.add(ended(number)._replace(cause="{lines}"))
            self.journal.stop()
            self.journal.stop()
        last = formatEvent(captured[-1]).split("\n")
        self.assertEqual(last, [line(SINGLE + each).replace("client closed", "{lines}") for each in range(2)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_addresses(self) -> None:
        """
        A client is named by where it is, whoever gave its address: Twisted, or a socket.
        """
        for address, words in (
            (IPv4Address("TCP", "192.0.2.1", 5), "192.0.2.1:5"),
            (("192.0.2.1", 5), "192.0.2.1:5"),
            (IPv6Address("TCP", "2001:db8::1", 5), "[2001:db8::1]:5"),
            (("2001:db8::1", 5, 0, 0), "[2001:db8::1]:5"),
            (UNIXAddress(None), "a UNIX socket"),
            ("", "a UNIX socket"),
        ):
            self.assertEqual(in_words(address), words)
