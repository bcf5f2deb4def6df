"""
Tests for :mod:`echochat.chat.elsewhere`, and of the hub and the people of a server that has fellows.
"""

from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.elsewhere import ALONE
from echochat.chat.people import NameTaken
from tests.chat.fellows.cluster import Cluster


class AloneTests(SynchronousTestCase):
    """
    A server without others.
    """

    def test_nobody_is_elsewhere(self) -> None:
        """
        Nobody is anywhere else, whatever happens here.
        """
        self.assertIsNone(ALONE.entered("lobby", "alice"))
        self.assertIsNone(ALONE.left("lobby", "alice"))
        ALONE.counted("lobby")
        ALONE.took("alice")
        ALONE.gave_up("alice")
        ALONE.showed("alice")
        self.assertEqual(([*ALONE.names("lobby")], [*ALONE.topics]), ([], []))
        self.assertEqual((ALONE.followers("lobby"), ALONE.has("alice")), (0, False))


class TwoServersTestCase(SynchronousTestCase):
    """
    Two servers that know of each other.
    """

    def setUp(self) -> None:
        self.cluster = Cluster(2)
        self.one, self.other = self.cluster.servers
        self.cluster.settle()


class WhoTests(TwoServersTestCase):
    """
    Who follows a topic, and how many do.
    """

    def test_each_name_once(self) -> None:
        """
        Whoever follows a topic on both servers is named once, and each subscription counts.
        """
        self.one.follow("lobby", "alice")
        self.one.follow("lobby", "bob")
        self.other.follow("lobby", "bob")
        self.other.follow("lobby", "carol")
        self.other.follow("lobby", "carol")
        self.cluster.settle()
        for server in self.cluster.servers:
            self.assertEqual(sorted(server.hub.who("lobby")), ["alice", "bob", "carol"])
            self.assertEqual(server.hub.followers("lobby"), 5)
        self.assertEqual((self.one.hub.followers_here("lobby"), self.other.hub.followers_here("lobby")), (2, 3))

    def test_one_subscription_less(self) -> None:
        """
        When one of a name's subscriptions ends the number is told, though the name is still there.
        """
        followers = [self.other.follow("lobby", "bob") for _ in range(2)]
        self.cluster.settle()
        self.other.unfollow(followers[0])
        self.cluster.settle()
        self.assertEqual((self.one.hub.who("lobby"), self.one.hub.followers("lobby")), (["bob"], 1))

    def test_a_log_that_was_interrupted(self) -> None:
        """
        When a server lets go of all who follow something, for they have to resume, nobody is there for the others.
        """
        follower = self.other.follow("lobby", "bob")
        self.cluster.settle()
        self.other.hub.start_over(0)
        self.other.unfollow(follower)
        self.cluster.settle()
        self.assertEqual((self.one.hub.followed, self.one.hub.who("lobby")), ([], []))

    def test_topics_of_others(self) -> None:
        """
        A topic that is followed elsewhere only is one of the topics, until nobody follows it.
        """
        follower = self.other.follow("lobby", "alice")
        self.cluster.settle()
        self.assertEqual((self.one.hub.followed, self.one.hub.who("lobby")), (["lobby"], ["alice"]))
        self.other.unfollow(follower)
        self.cluster.settle()
        self.assertEqual((self.one.hub.followed, self.one.hub.who("lobby")), ([], []))


class PresenceTests(TwoServersTestCase):
    """
    Who comes and goes.
    """

    def test_first_and_last_anywhere(self) -> None:
        """
        Whoever watches is told of a name when it follows the topic anywhere, and when it follows it nowhere any more.
        """
        watcher = self.one.watch("lobby", "watcher")
        there, here = self.other.follow("lobby", "bob"), self.one.follow("lobby", "bob")
        self.cluster.settle()
        self.assertEqual(watcher.told, [("bob", True)])
        self.one.unfollow(here)
        self.cluster.settle()
        here = self.one.follow("lobby", "bob")
        self.other.unfollow(there)
        self.cluster.settle()
        self.assertEqual(watcher.told, [("bob", True)])
        self.one.unfollow(here)
        self.assertEqual(watcher.told, [("bob", True), ("bob", False)])

    def test_coming_and_going_unnoticed(self) -> None:
        """
        What came and went before the other server was told of it was not there.
        """
        watcher = self.one.watch("lobby", "watcher")
        self.other.unfollow(self.other.follow("lobby", "bob"))
        self.cluster.settle()
        self.assertEqual(watcher.told, [])

    def test_written_otherwise(self) -> None:
        """
        A name that is written otherwise here than elsewhere is one name: it is told as it is written here, then as it
        is written there, so that each end is that of a name that was told.
        """
        watcher = self.one.watch("lobby", "watcher")
        there = self.other.follow("lobby", "BOB")
        self.cluster.settle()
        here = self.one.follow("lobby", "bob")
        self.assertEqual(watcher.told, [("BOB", True), ("BOB", False), ("bob", True)])
        self.assertEqual(self.one.hub.who("lobby"), ["watcher", "bob"])
        self.one.unfollow(here)
        self.other.unfollow(there)
        self.cluster.settle()
        self.assertEqual(watcher.told[3:], [("bob", False), ("BOB", True), ("BOB", False)])
        self.assertTrue(watcher.is_right)

    def test_unwatched(self) -> None:
        """
        Moves in a topic that nobody here follows, or watches, are of no consequence.
        """
        self.one.follow("lobby", "alice")
        self.one.hub.moved_elsewhere([("lobby", None, "bob"), ("games", None, "bob"), ("lobby", None, "ALICE")])
        self.assertFalse(self.one.hub.is_watched("lobby"))
        self.assertFalse(self.one.hub.is_watched("games"))

    def test_whoever_is_woken_may_end(self) -> None:
        """
        A subscriber that ends when it is told of somebody, and with it the topic, does no harm, and what is told to
        others then is as it is.
        """
        watchers = [self.one.watch(topic, "watcher") for topic in ("lobby", "games")]

        def end() -> None:
            for watcher in watchers:
                self.one.hub.unfollow(watcher.cursor, watcher.name)

        for watcher in watchers:
            self.patch(watcher, "wake", end)
        self.one.hub.moved_elsewhere([("lobby", None, "bob"), ("games", None, "bob")])
        self.assertEqual(self.one.hub.followed, [])


class NameTests(TwoServersTestCase):
    """
    Names in use.
    """

    def test_a_guests_name_is_one(self) -> None:
        """
        A name that a guest has on one server is not free on the other, in any letter case, until it is given up.
        """
        self.other.people.claim("Bob")
        self.cluster.settle()
        self.assertRaises(NameTaken, self.one.people.claim, "bOB")
        self.other.people.rename("bob", "carol")
        self.cluster.settle()
        self.one.people.claim("bob")
        self.assertRaises(NameTaken, self.one.people.rename, "bob", "CAROL")

    def test_at_the_same_moment(self) -> None:
        """
        Of two guests who take a name at the same moment one has to go.
        """
        for server in self.cluster.servers:
            server.people.claim("bob")
            server.guests.append("bob")
        self.cluster.settle()
        self.assertEqual([server.guests for server in self.cluster.servers], [["bob"], []])
        self.assertRaises(NameTaken, self.other.people.claim, "bob")

    def test_shown(self) -> None:
        """
        A name that somebody has shown to be theirs on one server is no guest's on the other.
        """
        self.other.people.reserve("Bob")
        self.cluster.settle()
        self.assertRaises(NameTaken, self.one.people.claim, "bob")
