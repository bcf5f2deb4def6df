"""
Tests for :mod:`echochat.chat.fellows.census`.
"""

from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.ban_book import BanRecord
from echochat.chat.fellows.facts import Facts, TopicFacts
from tests.chat.fellows.cluster import Cluster


class CensusTests(SynchronousTestCase):
    """
    What a server has to tell.
    """

    def setUp(self) -> None:
        [self.server] = Cluster(1).servers
        self.census = self.server.census

    def test_news_once(self) -> None:
        """
        What has changed is told once; then there is no news until something changes again.
        """
        self.assertFalse(self.census.has_news)
        follower = self.server.follow("lobby", "Alice")
        self.server.people.claim("Alice")
        self.server.people.reserve("Carol")
        self.server.ban("bob", None)
        self.assertTrue(self.census.has_news)
        told = Facts({"lobby": TopicFacts(1, ["Alice"])}, ["alice"], [], ["carol"], [BanRecord("bob", 1, None)])
        self.assertEqual(self.census.take_news(), told)
        self.assertFalse(self.census.has_news)
        self.server.unfollow(follower)
        self.server.people.release("Alice")
        self.assertEqual(self.census.take_news(), Facts({"lobby": TopicFacts(0, [], ["Alice"])}, went=["alice"]))

    def test_unnoticed(self) -> None:
        """
        Who came and went in between is not told, nor who went and came; that there are as many subscriptions is.
        """
        stays = self.server.follow("lobby", "alice")
        self.census.take_news()
        self.server.unfollow(self.server.follow("lobby", "bob"))
        self.server.unfollow(stays)
        self.server.follow("lobby", "alice")
        for _ in range(2):
            self.server.people.claim("bob")
            self.server.people.release("bob")
        self.assertEqual(self.census.take_news(), Facts({"lobby": TopicFacts(1)}))

    def test_more_subscriptions(self) -> None:
        """
        One more subscription of a name is a number.
        """
        self.server.follow("lobby", "alice")
        self.census.take_news()
        self.server.follow("lobby", "alice")
        self.assertEqual(self.census.take_news(), Facts({"lobby": TopicFacts(2)}))

    def test_told_once(self) -> None:
        """
        Whoever tells is woken once for all that is to be told.
        """
        woken = []
        self.census.on_news = lambda: woken.append(self.census.has_news)
        for _ in range(2):
            self.server.follow("lobby", "alice")
            self.server.people.reserve("carol")
        self.assertEqual(woken, [False])
        self.census.take_news()
        self.server.people.reserve("dave")
        self.server.people.reserve("erin")
        self.assertEqual(woken, [False, False])

    def test_untold(self) -> None:
        """
        Whoever told is not woken any more when the server has said farewell, though people go on to leave.
        """
        follower = self.server.follow("lobby", "alice")
        self.census.take_news()
        woken = []
        self.census.on_news = lambda: woken.append(True)
        self.census.leave_untold()
        self.server.unfollow(follower)
        self.assertEqual((woken, self.census.has_news), ([], True))

    def test_everything(self) -> None:
        """
        Everything is what there is, whether it was told as news or not.
        """
        self.server.follow("lobby", "Alice")
        self.server.follow("lobby", "bob")
        self.server.follow("games", "bob")
        self.server.people.claim("alice")
        self.server.people.reserve("carol")
        self.server.ban("dave", 0)
        topics = {"lobby": TopicFacts(2, ["Alice", "bob"]), "games": TopicFacts(1, ["bob"])}
        everything = Facts(topics, ["alice"], [], ["carol"], [BanRecord("dave", 1, 0)])
        self.assertEqual(self.census.everything, everything)
        self.census.take_news()
        self.assertEqual(self.census.everything, everything)
