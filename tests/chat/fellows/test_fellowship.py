"""
Tests for :mod:`echochat.chat.fellows.fellowship`.
"""

from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.ban_book import BanRecord
from echochat.chat.fellows import fellowship as module
from echochat.chat.fellows.encoding import decode, encode
from echochat.chat.fellows.facts import Facts
from echochat.chat.fellows.messages import Alive, Ask, Done, Everything, Farewell, Hello, Message, News, Order
from echochat.chat.fellows.outcomes import Answered, Displaced, Lost, Met, Ordered
from tests.chat.fellows.cluster import BEAT, LEASE, Cluster

STRANGER = "stranger"


class FellowshipTestCase(SynchronousTestCase):
    """
    A server, and messages of another that the test writes.
    """

    def setUp(self) -> None:
        self.cluster = Cluster(1)
        [self.server] = self.cluster.servers
        self.server.outbox.clear()

    def hear(self, *messages: Message, now: float = 0.0) -> list[tuple[str | None, Message]]:
        """
        Messages come. Tells what the server wants sent then, and to whom.
        """
        for message in messages:
            self.server.receive(encode(message), now)
        said = [(to, decode(data)) for to, data in self.server.outbox]
        self.server.outbox.clear()
        return said

    @property
    def guests_of_stranger(self) -> list[str]:
        """
        Which names the other server is known to have.
        """
        return [name for name in ("alice", "bob", "carol") if self.server.fellowship.has(name)]


class AskingTests(FellowshipTestCase):
    """
    What is missing is asked for.
    """

    ask = (STRANGER, Ask("server01"))

    def test_a_stranger(self) -> None:
        """
        A server of which nothing is known is asked for everything, whatever is heard of it first; and not again before
        it had time to answer.
        """
        alive = Alive(STRANGER, 0, LEASE, "")
        self.assertEqual(self.hear(alive, News(STRANGER, 4, Facts(came=["alice"])), alive), [self.ask])
        self.assertEqual(self.hear(alive, now=LEASE), [self.ask])
        self.assertEqual(self.guests_of_stranger, [])

    def test_a_greeting(self) -> None:
        """
        Whoever greets is told that this server is there, and asked as any stranger is.
        """
        said = self.hear(Hello(Alive(STRANGER, 0, LEASE, "over there")))
        self.assertEqual(said, [self.ask, (STRANGER, Alive("server01", 0, LEASE, "at server01"))])
        self.assertEqual([fellow.place for fellow in self.server.fellowship.fellows], ["over there"])

    def test_a_hole(self) -> None:
        """
        News that are missing are noticed, with the next news or with a heartbeat, and nothing is taken before they are
        there. News that came already change nothing.
        """
        self.hear(Everything(Alive(STRANGER, 3, LEASE, ""), 1, 1, 1, Facts(came=["alice"])))
        later = 5.0
        self.assertEqual(self.hear(News(STRANGER, 4, Facts(came=["bob"])), now=later), [])
        self.assertEqual(self.hear(News(STRANGER, 4, Facts(came=["bob"])), News(STRANGER, 2, Facts()), now=later), [])
        self.assertEqual(self.hear(Alive(STRANGER, 4, LEASE, ""), Alive(STRANGER, 3, LEASE, ""), now=later), [])
        self.assertEqual(self.hear(News(STRANGER, 6, Facts(went=["alice"])), now=later), [self.ask])
        self.assertEqual(self.guests_of_stranger, ["alice", "bob"])
        self.assertEqual(self.hear(Alive(STRANGER, 6, LEASE, ""), now=2 * later), [self.ask])

    def test_everything_in_parts(self) -> None:
        """
        Everything is taken when all its parts have come, in any order and whatever comes twice; parts of what was told
        on another occasion, which may be cut otherwise, are not mixed with them.
        """
        old = [Everything(Alive(STRANGER, 2, LEASE, ""), 1, part, 2, Facts(came=["carol"])) for part in (1, 2)]
        new = [
            Everything(Alive(STRANGER, 3, LEASE, ""), 2, part, 2, Facts(came=[name]))
            for part, name in ((1, "alice"), (2, "bob"))
        ]
        self.assertEqual(self.hear(Alive(STRANGER, 3, LEASE, "")), [self.ask])
        self.hear(old[0], new[1], new[1], old[1], Alive(STRANGER, 3, LEASE, ""), now=2.0)
        self.assertEqual(self.guests_of_stranger, [])
        self.hear(new[0], now=2.0)
        self.assertEqual(self.guests_of_stranger, ["alice", "bob"])
        self.assertEqual(self.hear(*old, *new, Alive(STRANGER, 3, LEASE, ""), now=9.0), [])
        self.assertEqual(self.guests_of_stranger, ["alice", "bob"])

    def test_everything_again(self) -> None:
        """
        A server that has to tell everything once more, since some of its news were lost, is no new one: it is met once,
        and what it tells takes the place of what was known of it.
        """
        self.hear(Everything(Alive(STRANGER, 1, LEASE, ""), 1, 1, 1, Facts(came=["alice"])))
        self.assertEqual(self.hear(News(STRANGER, 3, Facts(came=["carol"])), now=5.0), [self.ask])
        self.hear(Everything(Alive(STRANGER, 3, LEASE, ""), 2, 1, 1, Facts(came=["bob", "carol"])), now=5.0)
        self.assertEqual(self.guests_of_stranger, ["bob", "carol"])
        self.assertEqual(self.server.outcomes.count(Met(STRANGER, "")), 1)

    def test_patience(self) -> None:
        """
        Whoever is being told is not asked again while parts go on to come.
        """
        alive = Alive(STRANGER, 3, LEASE, "")
        self.hear(alive)
        for seconds in (1.5, 3.0, 4.5):
            self.assertEqual(self.hear(Everything(alive, 1, 1, 2, Facts()), alive, now=seconds), [])
        self.assertEqual(self.hear(alive, now=6.5), [self.ask])


class AnsweringTests(FellowshipTestCase):
    """
    Whoever asks is told.
    """

    def test_news_first(self) -> None:
        """
        What has changed is told to all before everything is told to who asked, so that both have the same number.
        """
        self.server.people.claim("alice")
        self.server.people.reserve("carol")
        self.server.ban("bob", None)
        facts = Facts(came=["alice"], shown=["carol"], bans=[BanRecord("bob", 1, None)])
        self.assertEqual(
            self.hear(Ask(STRANGER)),
            [
                (None, News("server01", 1, facts)),
                (STRANGER, Everything(Alive("server01", 1, LEASE, "at server01"), 1, 1, 1, facts)),
            ],
        )
        self.assertEqual(self.server.fellowship.news(), [])

    def test_in_parts(self) -> None:
        """
        What does not fit into one message is told in several; each time they have another number.
        """
        self.patch(module, "split", lambda facts: [Facts(came=[name]) for name in facts.came])
        for name in ("alice", "bob"):
            self.server.people.claim(name)
        self.assertEqual([type(each) for _, each in self.hear(Ask(STRANGER))], [News, News, Everything, Everything])
        told = [each for _, each in self.hear(Ask(STRANGER)) if isinstance(each, Everything)]
        self.assertEqual(
            [(each.alive.seq, each.telling, each.part, each.parts) for each in told], [(2, 2, 1, 2), (2, 2, 2, 2)]
        )

    def test_own_messages(self) -> None:
        """
        What this server has sent to all comes back to it, and means nothing.
        """
        for message in (self.server.fellowship.greet(), self.server.fellowship.beat(), self.server.fellowship.leave()):
            self.assertEqual(self.server.fellowship.receive(message, 0.0), [])
        self.assertEqual(self.server.fellowship.fellows, [])

    def test_orders(self) -> None:
        """
        Orders, and that they were carried out, are passed on.
        """
        order, done = Order(STRANGER, 1, "alice", None), Done(STRANGER, 1, 2)
        self.hear(order, done)
        self.assertEqual(self.server.outcomes, [Ordered(order), Answered(done)])


class LeaseTests(SynchronousTestCase):
    """
    Servers that are not heard of.
    """

    def setUp(self) -> None:
        self.cluster = Cluster(3)
        self.one, self.other, self.third = self.cluster.servers
        self.cluster.pass_time(BEAT)

    def test_a_dead_server(self) -> None:
        """
        The people of a server that is gone without a word are gone within its lease and a look, not before; those who
        watch are told; and their names are free.
        """
        watcher = self.one.watch("lobby", "watcher")
        self.other.follow("lobby", "bob")
        self.other.people.claim("bob")
        self.third.follow("lobby", "carol")
        self.cluster.settle()
        self.cluster.kill(self.other)
        self.cluster.pass_time(LEASE - BEAT)
        self.assertEqual(sorted(self.one.hub.who("lobby")), ["bob", "carol", "watcher"])
        self.cluster.pass_time(BEAT + 1)
        self.assertEqual(sorted(self.one.hub.who("lobby")), ["carol", "watcher"])
        self.assertEqual(watcher.told[-1], ("bob", False))
        self.one.people.claim("bob")
        self.assertEqual([each.server for each in self.one.fellowship.fellows], [self.third.id])

    def test_a_farewell(self) -> None:
        """
        Those of a server that takes its leave are gone at once; one that nobody knew may do so, too.
        """
        watcher = self.one.watch("lobby", "watcher")
        self.other.follow("lobby", "bob")
        self.cluster.settle()
        self.other.say(self.other.fellowship.leave())
        self.cluster.settle()
        self.assertEqual(watcher.told, [("bob", True), ("bob", False)])
        self.one.receive(encode(Farewell(STRANGER)), self.cluster.now)
        self.assertEqual(
            [each for each in self.one.outcomes if isinstance(each, Met | Lost)],
            [
                Met("server02", "at server02"),
                Met("server03", "at server03"),
                Lost("server02", "at server02", "it was stopped"),
            ],
        )

    def test_names_of_a_server_that_is_missed(self) -> None:
        """
        The names of guests whose server is not heard of are free long before its people are gone, so that they can
        take them on another server; they are taken again when it is heard of.
        """
        self.other.people.claim("bob")
        self.cluster.settle()
        self.cluster.kill(self.other)
        self.cluster.pass_time(LEASE / 4 - BEAT)
        self.assertTrue(self.one.fellowship.has("bob"))
        self.cluster.pass_time(BEAT)
        self.assertFalse(self.one.fellowship.has("bob"))
        self.one.receive(self.other.fellowship.beat(), self.cluster.now)
        self.assertTrue(self.one.fellowship.has("bob"))

    def test_their_own_lease(self) -> None:
        """
        A server says for how long it is to be believed.
        """
        self.one.receive(encode(Alive(STRANGER, 0, 1.0, "")), self.cluster.now)
        self.one.look(self.cluster.now + 0.9)
        self.assertEqual(len(self.one.fellowship.fellows), 3)
        self.one.look(self.cluster.now + 1.0)
        self.assertEqual(len(self.one.fellowship.fellows), 2)

    def test_after_a_pause(self) -> None:
        """
        A server that was stopped for a while believes that the others are there until it has had the time to hear of
        them: it is not they who were away.
        """
        watcher = self.one.watch("lobby", "watcher")
        self.other.follow("lobby", "bob")
        self.cluster.settle()
        self.cluster.now += 100 * LEASE
        self.one.look(self.cluster.now)
        self.assertEqual(watcher.told, [("bob", True)])
        self.cluster.kill(self.other)
        self.cluster.pass_time(LEASE + 1)
        self.assertEqual(watcher.told, [("bob", True), ("bob", False)])

    def test_a_server_that_was_away(self) -> None:
        """
        Of a server that could not be reached for longer than its lease everything is known again when it can be, and
        those who watch are told of those who are there.
        """
        watcher = self.one.watch("lobby", "watcher")
        self.other.follow("lobby", "bob")
        self.cluster.settle()
        self.cluster.kill(self.other)
        self.cluster.pass_time(LEASE + 1)
        self.other.follow("lobby", "carol")
        self.cluster.servers.append(self.other)
        self.other.say(self.other.fellowship.greet())
        self.cluster.settle()
        self.assertEqual(watcher.told, [("bob", True), ("bob", False), ("bob", True), ("carol", True)])
        self.assertTrue(watcher.is_right)

    def test_nothing_happened_meanwhile(self) -> None:
        """
        When all can be reached again before a lease has ended, and nothing has changed, nobody tells everything again.
        """
        for server in self.cluster.servers:
            server.say(server.fellowship.greet())
        self.cluster.collect()
        while self.cluster.parcels:
            self.assertNotIsInstance(decode(self.cluster.parcels[0].data), Everything | Ask)
            self.cluster.deliver(self.cluster.parcels.pop(0))
            self.cluster.collect()


class ThirdServerTests(SynchronousTestCase):
    """
    What two other servers say of one name.
    """

    def test_following_on_both(self) -> None:
        """
        Somebody who follows a topic on two other servers is told of once, and is gone when they follow it on neither.
        """
        cluster = Cluster(3)
        one, other, third = cluster.servers
        cluster.settle()
        watcher = one.watch("lobby", "watcher")
        followers = [(server, server.follow("lobby", "bob")) for server in (other, third)]
        cluster.settle()
        for server, follower in followers:
            self.assertEqual(watcher.told, [("bob", True)])
            server.unfollow(follower)
            cluster.settle()
        self.assertEqual(watcher.told, [("bob", True), ("bob", False)])


class ConflictTests(FellowshipTestCase):
    """
    A name that was taken twice.
    """

    def test_who_keeps_it(self) -> None:
        """
        Of two servers exactly one tells its guest to go: the one whose id comes last.
        """
        self.server.people.claim("bob")
        self.hear(Everything(Alive(STRANGER, 1, LEASE, ""), 1, 1, 1, Facts(came=["bob", "alice"])))
        self.assertNotIn(Displaced("bob"), self.server.outcomes)
        self.hear(Everything(Alive("another1", 1, LEASE, ""), 1, 1, 1, Facts(came=["bob", "alice"])))
        self.assertIn(Displaced("bob"), self.server.outcomes)
        self.assertFalse(self.server.people.is_guests("bob"))

    def test_taken_while_it_was_missed(self) -> None:
        """
        A name that was taken while its guest's server was silent is that guest's again when the server speaks, if that
        is the one who keeps it.
        """
        alive = Alive("another1", 1, LEASE, "")
        self.hear(Everything(alive, 1, 1, 1, Facts(came=["bob", "alice"])))
        for second in range(1, 8):
            self.server.look(float(second))
        self.server.people.claim("bob")
        self.hear(alive, now=8.0)
        self.assertEqual(self.server.outcomes[-1], Displaced("bob"))
        self.assertFalse(self.server.people.is_guests("bob"))
        self.hear(alive, now=9.0)
        self.assertEqual(self.server.outcomes.count(Displaced("bob")), 1)
