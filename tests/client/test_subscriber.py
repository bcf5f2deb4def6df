"""
Following topics over any number of connections, with consumers of any speed.
"""

from twisted.internet.defer import Deferred

from echochat.client import subscription
from echochat.client.cursor import Delivery, Replaced
from echochat.client.outcomes import Refused
from echochat.client.subscription import Subscription
from echochat.wire.answers import Event, Gap, Joined, Parted
from tests.client.in_memory import ReconnectingTestCase


def event(position: int, text: str = "x") -> Event:
    return Event("lobby", position, "2026-01-02T03:04:05.678Z", "alice", text)


class SubscriberTestCase(ReconnectingTestCase):
    """
    Helpers for a server that publishes.
    """

    def publishes(self, *positions: int) -> None:
        self.server.says(*(event(position).encode().decode().rstrip() for position in positions))

    def next_of(self, following: Subscription) -> Delivery:
        return self.successResultOf(Deferred.fromCoroutine(following.__anext__()))

    def positions_of(self, following: Subscription) -> list[int]:
        """
        Take all that waits; it must be events.
        """
        positions = []
        while not following.empty:
            delivery = self.next_of(following)
            assert isinstance(delivery, Event)
            positions.append(delivery.position)
        return positions

    def heard_sub(self) -> str:
        (line,) = self.server.hears()
        return line


class FollowingTests(SubscriberTestCase):
    """
    Nothing is missed, nothing comes twice.
    """

    def test_events(self) -> None:
        """
        What is published is delivered in order, with the position to continue from.
        """
        self.let_in()
        following = self.client.subscribe("lobby")
        self.assertEqual(self.heard_sub(), "/sub lobby")
        self.server.says("/ok sub lobby 5 e1")
        self.assertEqual((following.position, following.epoch), (5, "e1"))
        waiting = Deferred.fromCoroutine(following.__anext__())
        self.assertNoResult(waiting)
        self.publishes(6, 9)
        self.assertEqual(self.successResultOf(waiting), event(6))
        self.assertEqual((following.position, following.epoch), (6, "e1"))
        self.assertEqual(self.next_of(following), event(9))
        self.assertEqual(following.position, 9)

    def test_other_topics(self) -> None:
        """
        Each topic's events go to its own consumer; those of a topic that nobody follows, to nobody.
        """
        self.let_in()
        lobby, other = self.client.subscribe("lobby"), self.client.subscribe("other")
        for line in self.server.hears():
            self.confirm(line)
        self.server.says(
            "/event other 1 2026-01-02T03:04:05.678Z bob o", "/event third 2 2026-01-02T03:04:05.678Z bob t"
        )
        self.assertTrue(lobby.empty)
        self.assertEqual(self.next_of(other), Event("other", 1, "2026-01-02T03:04:05.678Z", "bob", "o"))

    def test_resume(self) -> None:
        """
        On the next connection the subscription continues behind the last event that arrived, consumed or not.
        """
        self.let_in()
        following = self.client.subscribe("lobby")
        self.confirm(self.heard_sub(), 5)
        self.publishes(6, 7, 8)
        self.assertEqual(self.next_of(following), event(6))
        self.drop()
        self.server.accept()
        self.server.says("/ok whoami guest-1 guest")
        self.assertEqual(self.server.hears()[1], "/sub lobby after=8 epoch=e1")
        self.confirm("/sub lobby", 10)
        self.publishes(9, 10)
        self.assertEqual(self.positions_of(following), [7, 8, 9, 10])

    def test_resume_before_the_first_event(self) -> None:
        """
        What is published while the first connection is being replaced is not skipped, though none had come yet.
        """
        self.let_in()
        self.client.subscribe("lobby")
        self.confirm(self.heard_sub(), 5)
        self.drop()
        self.server.accept()
        self.server.says("/ok whoami guest-1 guest")
        self.assertEqual(self.server.hears()[1], "/sub lobby after=5 epoch=e1")

    def test_options(self) -> None:
        """
        A caller's position, log, and wish to know who is there, reach the server.
        """
        self.let_in()
        self.client.subscribe("lobby", after=7, epoch="e0", presence=True)
        self.assertEqual(self.heard_sub(), "/sub lobby after=7 epoch=e0 presence=on")

    def test_last(self) -> None:
        """
        To begin some events back is to begin behind a position, so that a lost connection changes nothing.
        """
        self.let_in()
        following = self.client.subscribe("lobby", last=2)
        self.assertEqual(self.heard_sub(), "/history lobby last=2")
        self.server.says(
            "/past lobby 7 2026-01-02T03:04:05.678Z alice x",
            "/past lobby 9 2026-01-02T03:04:05.678Z alice x",
            "/ok history lobby 2",
        )
        self.assertEqual(self.heard_sub(), "/sub lobby after=6")
        self.confirm("/sub lobby", 9)
        self.publishes(7, 9)
        self.assertEqual(self.positions_of(following), [7, 9])

    def test_last_of_few(self) -> None:
        """
        Where there are fewer, it begins with the first that there is; where there is nothing, with what there will be.
        """
        self.let_in()
        self.client.subscribe("lobby", last=2)
        self.server.hears()
        self.server.says("/past lobby 7 2026-01-02T03:04:05.678Z alice x", "/ok history lobby 1")
        self.assertEqual(self.heard_sub(), "/history lobby last=1 before=7")
        self.server.says("/ok history lobby 0")
        self.assertEqual(self.heard_sub(), "/sub lobby after=6")
        self.client.subscribe("other", last=2)
        self.server.hears()
        self.server.says("/ok sub lobby 7 e1", "/ok history other 0")
        self.assertEqual(self.heard_sub(), "/sub other after=0")

    def test_last_of_many(self) -> None:
        """
        More than the server gives at once is counted back in steps.
        """
        self.let_in()
        self.client.subscribe("lobby", last=1500)
        self.assertEqual(self.heard_sub(), "/history lobby last=1000")
        page = [f"/past lobby {position} 2026-01-02T03:04:05.678Z alice x" for position in range(2001, 3001)]
        self.server.says(*page, "/ok history lobby 1000")
        self.assertEqual(self.heard_sub(), "/history lobby last=500 before=2001")
        page = [f"/past lobby {position} 2026-01-02T03:04:05.678Z alice x" for position in range(1501, 2001)]
        self.server.says(*page, "/ok history lobby 500")
        self.assertEqual(self.heard_sub(), "/sub lobby after=1500")

    def test_gap(self) -> None:
        """
        What is lost is told, in its place.
        """
        self.let_in()
        following = self.client.subscribe("lobby", after=1)
        self.confirm(self.heard_sub(), 9)
        self.server.says("/gap lobby 1 7")
        self.publishes(8)
        self.assertEqual(self.next_of(following), Gap("lobby", 1, 7))
        self.assertEqual(following.position, 7)
        self.assertEqual(self.next_of(following), event(8))

    def test_another_log(self) -> None:
        """
        When the log was replaced, everything of the new one comes, positions that the old one had too.
        """
        self.let_in()
        following = self.client.subscribe("lobby")
        self.confirm(self.heard_sub(), 50)
        self.drop()
        self.let_in_following("/sub lobby after=50 epoch=e1")
        self.server.says("/ok sub lobby 2 e2", "/gap lobby 50 2")
        self.publishes(1, 2)
        self.assertEqual(self.next_of(following), Replaced("lobby", 50, 2))
        self.assertEqual(self.positions_of(following), [1, 2])
        self.assertEqual((following.position, following.epoch), (2, "e2"))

    def let_in_following(self, *subscribing: str) -> None:
        self.server.accept()
        self.server.says("/ok whoami guest-1 guest")
        self.assertEqual(self.server.hears()[1:], list(subscribing))

    def test_presence(self) -> None:
        """
        Who comes and goes is told, in order with the events.
        """
        self.let_in()
        following = self.client.subscribe("lobby", presence=True)
        self.confirm(self.heard_sub().removesuffix(" presence=on"))
        self.server.says("/join lobby bob")
        self.publishes(1)
        self.server.says("/part lobby bob")
        deliveries = [self.next_of(following) for _ in range(3)]
        self.assertEqual(deliveries, [Joined("lobby", "bob"), event(1), Parted("lobby", "bob")])

    def test_refused(self) -> None:
        """
        A subscription that the server will not have fails for its consumer, and can be tried again.
        """
        self.let_in()
        following = Deferred.fromCoroutine(self.client.subscribe("lobby").__anext__())
        self.heard_sub()
        self.server.says("/err denied not for you")
        self.assertEqual(self.failureResultOf(following, Refused).value.code, "denied")
        self.client.subscribe("lobby")
        self.assertEqual(self.heard_sub(), "/sub lobby")

    def test_refused_for_the_moment(self) -> None:
        """
        One that it cannot have now is asked for again after a while, as long as the connection lasts.
        """
        self.let_in()
        self.client.subscribe("lobby")
        for wait in (0.1, 0.2):
            self.heard_sub()
            self.server.says("/err unavailable not now")
            self.clock.advance(wait - 0.01)
            self.assertEqual(self.server.hears(), [])
            self.clock.advance(0.02)
        self.heard_sub()
        self.server.says("/err unavailable not now")
        self.server.breaks()
        self.clock.advance(0.2)
        self.let_in_following("/sub lobby")

    def test_unreadable_confirmation(self) -> None:
        """
        A confirmation that makes no sense is the consumer's to know, rather than silence.
        """
        self.let_in()
        following = Deferred.fromCoroutine(self.client.subscribe("lobby").__anext__())
        self.heard_sub()
        self.server.says("/ok sub lobby many e1")
        self.failureResultOf(following, ValueError)

    def test_inbox(self) -> None:
        """
        One's inbox is asked for under one's own name only, in the form that the server uses.
        """
        self.let_in("guest-1")
        self.client.subscribe("@Guest-1")
        self.confirm(self.heard_sub(), 3)
        self.drop()
        self.server.accept()
        self.server.says("/ok whoami guest-2 guest")
        self.assertEqual(self.server.hears(), ["/whoami", "/nick guest-1"])
        self.server.says("/err name-taken somebody has that name")
        self.assertEqual(self.server.hears(), [])
        self.clock.advance(0.1)
        self.assertEqual(self.server.hears(), ["/nick guest-1"])
        self.server.says("/ok nick guest-1")
        self.assertEqual(self.heard_sub(), "/sub @guest-1 after=3 epoch=e1")

    def test_nonsense(self) -> None:
        """
        What no server would accept, and a second subscription of a topic, is refused at once.
        """
        self.client.subscribe("lobby")
        self.assertRaises(ValueError, self.client.subscribe, "lobby")
        self.assertRaises(ValueError, self.client.subscribe, "no topic")
        self.assertRaises(ValueError, self.client.subscribe, "a", after=1, last=1)
        self.assertRaises(ValueError, self.client.subscribe, "a", epoch="e1")

    def test_repeated(self) -> None:
        """
        A server that repeats itself is not believed, but counted.
        """
        self.let_in()
        following = self.client.subscribe("lobby")
        self.confirm(self.heard_sub(), 5)
        self.publishes(6, 6, 5, 7)
        self.assertEqual(self.positions_of(following), [6, 7])
        self.assertEqual(following.repeated, 2)


class EndingTests(SubscriberTestCase):
    """
    A subscription ends when its consumer wants, or there is nothing more to come.
    """

    def test_close(self) -> None:
        """
        What has arrived is still given, then the iteration ends; the server is told, and the topic is free.
        """
        self.let_in()
        following = self.client.subscribe("lobby")
        self.confirm(self.heard_sub(), 5)
        self.publishes(6)
        following.close()
        following.close()
        self.assertEqual(self.server.hears(), ["/unsub lobby"])
        self.assertEqual(self.next_of(following), event(6))
        self.failureResultOf(Deferred.fromCoroutine(following.__anext__()), StopAsyncIteration)
        again = self.client.subscribe("lobby")
        self.publishes(7)
        self.assertTrue(again.empty)

    def test_close_while_waiting(self) -> None:
        """
        A consumer that waits is released.
        """
        self.let_in()
        following = self.client.subscribe("lobby")
        waiting = Deferred.fromCoroutine(following.__anext__())
        following.close()
        self.failureResultOf(waiting, StopAsyncIteration)

    def test_closed_before_it_was_asked_for(self) -> None:
        """
        A subscription that was closed while its beginning was looked for does not begin.
        """
        self.let_in()
        following = self.client.subscribe("lobby", last=1)
        self.server.hears()
        following.close()
        self.assertEqual(self.server.hears(), ["/unsub lobby"])
        self.server.says("/ok history lobby 0", "/ok unsub lobby")
        self.assertEqual(self.server.hears(), [])

    def test_cancelled_consumer(self) -> None:
        """
        A consumer that gives up waiting can come back.
        """
        self.let_in()
        following = self.client.subscribe("lobby")
        self.confirm(self.heard_sub(), 5)
        waiting = Deferred.fromCoroutine(following.__anext__())
        waiting.cancel()
        self.failureResultOf(waiting)
        self.publishes(6)
        self.assertEqual(self.next_of(following), event(6))

    def test_two_consumers(self) -> None:
        """
        Two consumers of one subscription would steal each other's events: the second is refused.
        """
        following = self.client.subscribe("lobby")
        waiting = Deferred.fromCoroutine(following.__anext__())
        self.failureResultOf(Deferred.fromCoroutine(following.__anext__()), RuntimeError)
        self.assertNoResult(waiting)
        following.close()
        self.failureResultOf(waiting, StopAsyncIteration)

    def test_client_closed(self) -> None:
        """
        Iterations end when the client is closed.
        """
        waiting = Deferred.fromCoroutine(self.client.subscribe("lobby").__anext__())
        self.end()
        self.failureResultOf(waiting, StopAsyncIteration)


class FlowTests(SubscriberTestCase):
    """
    A slow consumer costs a bounded amount of memory, loses nothing, and holds up nobody else.
    """

    def setUp(self) -> None:
        self.patch(subscription, "MOST_ITEMS", 10)
        super().setUp()
        self.let_in()
        self.following = self.client.subscribe("lobby")
        self.confirm(self.heard_sub())

    @property
    def is_read(self) -> bool:
        return self.server.transport.producerState == "producing"

    def test_reading_stops(self) -> None:
        """
        While a consumer lags and nobody waits for anything else, nothing is read; when half is free, it goes on.
        """
        self.publishes(*range(1, 10))
        self.assertTrue(self.is_read)
        self.publishes(10)
        self.assertFalse(self.is_read)
        for _ in range(5):
            self.next_of(self.following)
            self.assertFalse(self.is_read)
        self.next_of(self.following)
        self.assertTrue(self.is_read)
        self.assertEqual(self.server.hears(), [])
        self.assertEqual(self.positions_of(self.following), [7, 8, 9, 10])

    def test_long_texts(self) -> None:
        """
        Few long texts count as much as many short ones.
        """
        self.patch(subscription, "MOST_CHARACTERS", 1000)
        self.server.says(event(1, "x" * 1000).encode().decode().rstrip())
        self.assertFalse(self.is_read)
        self.next_of(self.following)
        self.assertTrue(self.is_read)

    def left(self) -> None:
        """
        The lagging subscription is left instead, and asked for again where it stopped when its consumer has caught up.
        """
        self.assertTrue(self.is_read)
        self.publishes(11, 12)
        self.server.says("/ok unsub lobby")
        self.assertEqual(self.server.hears(), [])
        for position in range(1, 11):
            self.assertEqual(self.next_of(self.following), event(position))
        self.assertEqual(self.heard_sub(), "/sub lobby after=10 epoch=e1")
        self.publishes(12)
        self.confirm("/sub lobby", 12)
        self.publishes(11, 12)
        self.assertEqual(self.positions_of(self.following), [11, 12])
        self.assertEqual(self.following.repeated, 0)

    def test_reply_is_awaited(self) -> None:
        """
        A consumer that publishes within its loop gets its acknowledgement, however many events are before it.
        """
        published = self.client.publish("other", "x")
        (publish,) = self.server.hears()
        self.publishes(*range(1, 11))
        self.assertEqual(self.server.hears(), ["/unsub lobby"])
        label = publish.split(" ")[0].removeprefix("/pub#")
        self.server.says(f"/ok#{label} pub other 99")
        self.assertEqual(self.successResultOf(published), 99)
        self.left()

    def test_something_is_asked_then(self) -> None:
        """
        The same when it is asked while nothing is read.
        """
        self.publishes(*range(1, 11))
        self.assertFalse(self.is_read)
        asked = Deferred.fromCoroutine(self.client.command("ping"))
        self.assertEqual(self.server.hears(), ["/ping", "/unsub lobby"])
        self.server.says("/ok ping")
        self.successResultOf(asked)
        self.left()

    def test_message_is_sent_then(self) -> None:
        """
        The same with a message.
        """
        self.publishes(*range(1, 11))
        asked = Deferred.fromCoroutine(self.client.echo("hello"))
        self.assertEqual(self.server.hears(), ["hello", "/unsub lobby"])
        self.server.says("HELLO")
        self.assertEqual(self.successResultOf(asked), "HELLO")
        self.left()

    def test_another_consumer_waits(self) -> None:
        """
        The consumer of another topic gets its events, though this one lags.
        """
        other = self.client.subscribe("other")
        self.confirm(self.heard_sub())
        waiting = Deferred.fromCoroutine(other.__anext__())
        self.publishes(*range(1, 11))
        self.assertEqual(self.server.hears(), ["/unsub lobby"])
        self.server.says("/event other 50 2026-01-02T03:04:05.678Z bob hi")
        self.successResultOf(waiting)
        self.left()

    def test_another_consumer_begins_to_wait(self) -> None:
        """
        The same when it begins to wait while nothing is read.
        """
        other = self.client.subscribe("other")
        self.confirm(self.heard_sub())
        self.publishes(*range(1, 11))
        self.assertFalse(self.is_read)
        waiting = Deferred.fromCoroutine(other.__anext__())
        self.assertEqual(self.server.hears(), ["/unsub lobby"])
        self.left()
        other.close()
        self.failureResultOf(waiting, StopAsyncIteration)
        self.server.hears()

    def test_lost_while_lagging(self) -> None:
        """
        A connection that ends while a consumer lags is replaced; the topic is asked for when it has caught up.
        """
        self.publishes(*range(1, 11))
        self.drop()
        self.server.accept()
        self.server.says("/ok whoami guest-1 guest")
        self.assertEqual(self.server.hears(), ["/whoami"])
        self.assertEqual(self.positions_of(self.following), list(range(1, 11)))
        self.assertEqual(self.heard_sub(), "/sub lobby after=10 epoch=e1")
