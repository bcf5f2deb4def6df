"""
Publishing over any number of connections.
"""

from twisted.internet.defer import CancelledError, Deferred, TimeoutError

from echochat.client.outbox import Unconfirmed
from echochat.client.outcomes import Refused
from echochat.client.reconnecting import Closed
from tests.client.in_memory import ReconnectingTestCase


class PublishTests(ReconnectingTestCase):
    """
    A publish is done once, and its caller is told its position, or that it was not done.
    """

    def published(self) -> list[tuple[str, str]]:
        """
        What the server hears now must be publishes: the label and the rest of each.
        """
        heard = []
        for line in self.server.hears():
            head, _, rest = line.partition(" ")
            verb, _, label = head.partition("#")
            self.assertEqual(verb, "/pub")
            heard.append((label, rest))
        return heard

    def test_acknowledged(self) -> None:
        """
        The position comes with the acknowledgement.
        """
        self.let_in()
        positions = [self.client.publish("lobby", text) for text in ("one", "  two")]
        (first, one), (second, two) = self.published()
        self.assertEqual((one, two), ("lobby one", "lobby   two"))
        self.assertNotEqual(first, second)
        self.server.says(f"/ok#{first} pub lobby 7", f"/ok#{second} pub lobby 9")
        self.assertEqual([self.successResultOf(position) for position in positions], [7, 9])

    def test_before_there_is_a_connection(self) -> None:
        """
        What is published before the first connection is sent on it.
        """
        self.client.publish("lobby", "early").addErrback(lambda _: None)
        self.let_in()
        self.assertEqual([rest for _, rest in self.published()], ["lobby early"])

    def test_on_the_next_connection(self) -> None:
        """
        What was not acknowledged is sent again, in order, under the same labels, and no more than that.
        """
        self.let_in()
        results = [self.client.publish("lobby", text) for text in "abc"]
        sent = self.published()
        self.server.says(f"/ok#{sent[0][0]} pub lobby 1")
        self.drop()
        results.append(self.client.publish("lobby", "d"))
        self.let_in("guest-2", kept="guest-1")
        again = self.published()
        self.assertEqual(again[:2], sent[1:])
        self.assertEqual(again[2][1], "lobby d")
        for position, (label, _) in enumerate(again, 2):
            self.server.says(f"/ok#{label} pub lobby {position}")
        self.assertEqual([self.successResultOf(result) for result in results], [1, 2, 3, 4])

    def test_labels_of_runs(self) -> None:
        """
        Two runs of a program never use one label.
        """
        labels = set()
        for _ in range(2):
            self.setUp()
            self.let_in()
            self.client.publish("lobby", "x").addErrback(lambda _: None)
            labels |= {label for label, _ in self.published()}
            self.end()
        self.assertEqual(len(labels), 2)

    def test_own_label(self) -> None:
        """
        A caller can name a publish, so that another run can repeat it.
        """
        self.let_in()
        self.client.publish("lobby", "x", label="order-17").addErrback(lambda _: None)
        self.assertEqual(self.published(), [("order-17", "lobby x")])

    def test_refused(self) -> None:
        """
        What the server will not have fails, and is not repeated.
        """
        self.let_in()
        refused = self.client.publish("lobby", "x")
        label = self.published()[0][0]
        self.server.says(f"/err#{label} denied not here")
        self.assertEqual(self.failureResultOf(refused, Refused).value.code, "denied")
        self.drop()
        self.let_in("guest-2", kept="guest-1")
        self.assertEqual(self.published(), [])

    def test_refused_for_the_moment(self) -> None:
        """
        What the server cannot take now is sent again, after longer and longer waits, with all that is unsent behind it.
        """
        self.let_in()
        result = self.client.publish("lobby", "x")
        sent = self.published()
        for wait, code in ((0.1, "unavailable"), (0.2, "slow-down"), (0.4, "unavailable")):
            self.server.says(f"/err#{sent[0][0]} {code} not now")
            self.clock.advance(wait - 0.01)
            self.assertEqual(self.published(), [])
            self.clock.advance(0.02)
            self.assertEqual(self.published(), sent)
        self.server.says(f"/ok#{sent[0][0]} pub lobby 3")
        self.assertEqual(self.successResultOf(result), 3)

    def test_while_waiting(self) -> None:
        """
        During such a wait nothing is published, which would overtake; on another connection there is no wait.
        """
        self.let_in()
        for text in "ab":
            self.client.publish("lobby", text).addErrback(lambda _: None)
        sent = self.published()
        for _ in range(3):
            self.server.says(f"/err#{sent[0][0]} unavailable not now", f"/err#{sent[1][0]} unavailable not now")
            self.clock.advance(0.4)
            self.assertEqual(self.published(), sent)
        self.server.says(f"/err#{sent[0][0]} unavailable not now", f"/err#{sent[1][0]} unavailable not now")
        self.client.publish("lobby", "c").addErrback(lambda _: None)
        self.assertEqual(self.published(), [])
        self.server.breaks()
        self.clock.advance(0.1)
        self.let_in("guest-2", kept="guest-1")
        self.assertEqual([rest for _, rest in self.published()], ["lobby a", "lobby b", "lobby c"])

    def test_unconfirmed(self) -> None:
        """
        What was sent longer ago than servers remember labels is not sent again, which could do it twice: its caller is
        told. What was never sent is sent.
        """
        self.let_in()
        sent = self.client.publish("lobby", "sent")
        self.published()
        self.drop(1.0)
        unsent = self.client.publish("lobby", "unsent")
        self.server.refuse()
        self.clock.advance(120.0)
        self.let_in("guest-2", kept="guest-1")
        self.failureResultOf(sent, Unconfirmed)
        ((label, rest),) = self.published()
        self.assertEqual(rest, "lobby unsent")
        self.server.says(f"/ok#{label} pub lobby 1")
        self.assertEqual(self.successResultOf(unsent), 1)

    def test_window(self) -> None:
        """
        However much is published, a bounded number is on the way.
        """
        self.let_in()
        for _ in range(1000):
            self.client.publish("lobby", "x").addErrback(lambda _: None)
        sent = self.published()
        self.assertEqual(len(sent), 256)
        self.server.says(f"/ok#{sent[0][0]} pub lobby 1")
        self.assertEqual(len(self.published()), 1)

    def test_room(self) -> None:
        """
        A caller who waits for room stays within it.
        """
        self.let_in()
        self.successResultOf(self.client.room(2))
        results = [self.client.publish("lobby", text) for text in "ab"]
        waiting, given_up = self.client.room(2), self.client.room(2)
        self.assertNoResult(waiting)
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        label = self.published()[0][0]
        self.server.says(f"/ok#{label} pub lobby 1")
        self.successResultOf(waiting)
        self.assertEqual(self.successResultOf(results[0]), 1)
        results[1].addErrback(lambda _: None)

    def test_room_given_up_by_another(self) -> None:
        """
        A caller who is told of room may give up others who wait for it.
        """
        self.let_in()
        result = self.client.publish("lobby", "a")
        first, second, third = (self.client.room(1) for _ in range(3))
        first.addCallback(lambda _: second.cancel())
        self.server.says(f"/ok#{self.published()[0][0]} pub lobby 1")
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)
        self.successResultOf(third)
        self.successResultOf(result)

    def test_cancelled(self) -> None:
        """
        What its caller gave up is not sent again, and its late acknowledgement disturbs nobody.
        """
        self.let_in()
        given_up, kept = self.client.publish("lobby", "a"), self.client.publish("lobby", "b")
        sent = self.published()
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        self.server.says(f"/ok#{sent[0][0]} pub lobby 1")
        self.drop()
        self.let_in("guest-2", kept="guest-1")
        self.assertEqual(self.published(), sent[1:])
        kept.addErrback(lambda _: None)

    def test_cancelled_when_another_fails(self) -> None:
        """
        Whoever gives up the others when one fails has given them up, also if they were about to fail: because they were
        sent too long ago, or because the client is closed.
        """
        self.let_in()
        sent = self.publish_together()
        self.published()
        self.drop(1.0)
        self.server.refuse()
        self.clock.advance(120.0)
        self.let_in("guest-2", kept="guest-1")
        unsent = self.publish_together()
        self.end()
        for one, other in (sent, unsent):
            self.successResultOf(one)
            self.failureResultOf(other, CancelledError)

    def publish_together(self) -> tuple[Deferred[object], Deferred[int]]:
        """
        Two publishes: when the one fails the other is given up.
        """
        one, other = self.client.publish("lobby", "a"), self.client.publish("lobby", "b")
        return one.addErrback(lambda _: other.cancel()), other

    def test_timeout(self) -> None:
        """
        A publish can have a deadline, connection or not.
        """
        late = self.client.publish("lobby", "x", timeout=5.0)
        self.clock.advance(5.0)
        self.failureResultOf(late, TimeoutError)
        self.server.refuse()
        self.clock.advance(0.1)
        self.let_in()
        self.assertEqual(self.published(), [])
        self.failureResultOf(self.started)

    def test_closed(self) -> None:
        """
        What is unacknowledged when the client is closed fails, and so does everything afterwards.
        """
        pending = self.client.publish("lobby", "x")
        self.end()
        self.failureResultOf(pending, Closed)
        self.failureResultOf(self.client.publish("lobby", "x"), Closed)
        self.failureResultOf(self.client.connected(), Closed)

    def test_closing(self) -> None:
        """
        What was sent before the client is closed is still acknowledged, and no other connection is made.
        """
        self.let_in()
        pending = self.client.publish("lobby", "x")
        label = self.published()[0][0]
        closing = self.client.close()
        self.assertIsNone(closing.send(None) and None)
        self.assertEqual(self.server.hears(), ["/quit"])
        self.server.says(f"/ok#{label} pub lobby 1", "/ok quit")
        self.server.breaks()
        self.assertEqual(self.successResultOf(pending), 1)
        self.clock.advance(100.0)
        self.assertEqual(len(self.endpoint.attempts), 1)
