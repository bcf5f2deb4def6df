"""
Several servers on one stream, with a real nats-server.
"""

from twisted.internet.defer import Deferred, gatherResults

from echochat.history import Event
from tests.history.doubles import draft, read_everything, texts
from tests.history.jetstream.sharing import Server, SharedCase


class SharingTests(SharedCase):
    """
    One log for all.
    """

    async def test_all_see_the_same(self) -> None:
        """
        What is published anywhere arrives everywhere that follows it, in one order, also while all publish at once.
        """
        servers = [await self.server("a", "b.c", "@alice") for _ in range(3)]
        topics = ("a", "b.c", "@alice")
        answers = [
            server.history.append([draft(f"{number} of {index}", topics[number % 3])])
            for number in range(100)
            for index, server in enumerate(servers)
        ]
        stored = await gatherResults(answers)
        self.assertEqual(len({position for each in stored for position in each.positions}), 300)
        for server in servers:
            await server.until(300)
            self.assert_once_and_in_order(server)
            self.assertEqual(server.receiver.events, servers[0].receiver.events)
        self.assertEqual(len({server.history.epoch for server in servers}), 1)

    async def test_only_what_is_followed_arrives(self) -> None:
        """
        A server is not sent the topics that nobody follows there, and may follow and unfollow at any time.
        """
        first, second = await self.server("a"), await self.server("b")
        await first.history.append([draft("1", "a"), draft("2", "b"), draft("3", "never")])
        await second.until(1)
        self.assertEqual([text for _, _, text in second.receiver.events], ["2"])
        self.assertEqual([text for _, _, text in first.receiver.events], ["1"])
        await second.history.follow("c")
        second.history.unfollow("b")
        await second.history.follow("d")
        await first.history.append([draft("4", "b"), draft("5", "c"), draft("6", "d")])
        await second.until(3)
        self.assertEqual([text for _, _, text in second.receiver.events], ["2", "5", "6"])

    async def test_following_while_others_publish(self) -> None:
        """
        From the moment at which a topic is followed every event above its head arrives, whatever goes on meanwhile.
        """
        publisher, follower = await self.server(), await self.server()
        topics = [f"t{number}" for number in range(60)]
        heads: dict[str, int] = {}

        async def follow(topic: str) -> None:
            await follower.history.follow(topic)
            heads[topic] = (await follower.history.topic(topic)).head

        following = []
        for number, topic in enumerate(topics):
            published = publisher.history.append([draft(str(number), each) for each in topics])
            following.append(Deferred.fromCoroutine(follow(topic)))
            if number % 3 == 0:
                await published
        await gatherResults(following)
        await publisher.history.append([draft("last", topic) for topic in topics])
        everything = [event for topic in topics for event in await self.events(publisher, topic)]
        expected = [each.position for each in everything if each.position > heads[each.topic]]
        await follower.until(len(expected))
        arrived = set(follower.receiver.positions())
        self.assertEqual([each for each in expected if each not in arrived], [])
        self.assert_once_and_in_order(follower)

    async def events(self, server: Server, topic: str) -> list[Event]:
        return [event for page in await read_everything(server.history, topic) for event in page.events]

    async def test_a_label_counts_everywhere(self) -> None:
        """
        A publisher that tries again at another server gets the first position.
        """
        first, second = await self.server("a"), await self.server("a")
        stored = await first.history.append([draft("x", "a", label="1")])
        again = await second.history.append([draft("x", "a", label="1"), draft("y", "a")])
        self.assertEqual(again.positions[0], stored.positions[0])
        self.assertEqual(list(again.repeated), [0])
        await self.nats.kill()
        await self.nats.start()
        after = await second.publish(draft("x", "a", label="1"))
        self.assertEqual((list(after.positions), list(after.repeated)), (list(stored.positions), [0]))

    async def test_very_many_topics(self) -> None:
        """
        With more topics than the broker should compare, all are taken; nothing is missed on the way there.
        """
        server, other = await self.server("first"), await self.server()
        topics = [f"topic-{number}" for number in range(1_100)]
        await gatherResults([server.history.follow(topic) for topic in topics])
        await other.history.append([draft(topic, topic) for topic in ("first", *topics[::50], "unknown")])
        await server.until(24)
        self.assertEqual([text for _, _, text in server.receiver.events], ["first", *topics[::50], "unknown"])

    async def test_reading_back_a_rare_topic(self) -> None:
        """
        The last events of a topic are found wherever they lie among those of others.
        """
        server = await self.server()
        drafts = [draft(str(number), "rare" if number in (3, 4, 900, 1_500) else "busy") for number in range(2_000)]
        await server.history.append(drafts)
        for last in range(1, 6):
            page = await server.history.read_before("rare", None, last, 1 << 20)
            self.assertEqual((texts(page), page.complete), (["3", "4", "900", "1500"][-last:], last >= 4))
        page = await server.history.read_before("rare", 901, 1, 1 << 20)
        self.assertEqual(texts(page), ["4"])
        page = await server.history.read_before("busy", 1_000, 10, 1 << 20)
        self.assertEqual([event.position for event in page.events], list(range(990, 1_000)))
