"""
What the broker removes, and what is told of it, with a real nats-server.
"""

from twisted.internet.task import deferLater

from echochat.history import Retention
from echochat.history.records import EVERYTHING
from tests.history.doubles import draft, texts
from tests.history.jetstream.sharing import SharedCase, reactor


class RetentionTests(SharedCase):
    """
    Events go when they are over a bound, and nobody takes what is missing for nothing.
    """

    async def test_size(self) -> None:
        """
        The oldest of all topics go, and the floor covers them: also of a topic that has nothing left, whose head stays
        where nobody can be beyond it.
        """
        server = await self.server(retention=Retention(size=20_000))
        old = await server.history.append([draft("old", "quiet"), draft("old", "both")])
        new = await server.history.append([draft("x" * 1_000, "both") for _ in range(50)])
        page = await server.history.read_after("both", old.positions[1], 100, 1 << 20)
        self.assertLess(len(page.events), 20)
        self.assertEqual(page.events[0].position, page.floor + 1)
        self.assertEqual(page.events[-1].position, new.positions[-1])
        state = await server.history.topic("quiet")
        self.assertEqual((state.head, state.floor), (page.floor, page.floor))
        page = await server.history.read_before("quiet", None, 10, 1 << 20)
        self.assertEqual((page.events, page.complete, page.floor), ([], True, state.floor))
        self.assertEqual([state.topic for state in await server.history.topics()], ["both"])
        await server.history.look()
        self.assertGreater(server.history.status.removed, 30)

    async def test_age(self) -> None:
        """
        What is too old goes by itself, and positions go on behind it.
        """
        server = await self.server(retention=Retention(age=0.3))
        stored = await server.history.append([draft("1", "a"), draft("2", "a")])
        for _ in range(1_000):
            page = await server.history.read_after("a", 0, 10, 1_000)
            if not page.events:
                break
            await deferLater(reactor, 0.01)
        self.assertEqual((page.events, page.floor), ([], 2))
        again = await server.history.append([draft("3", "a")])
        self.assertGreater(again.positions[0], stored.positions[1])

    async def test_a_topic_that_is_full(self) -> None:
        """
        A topic keeps its last events; others keep theirs, and their floor is where it was.
        """
        server = await self.server(retention=Retention(events=5))
        await server.history.append([draft("quiet", "quiet"), *[draft(str(n), "busy") for n in range(12)]])
        page = await server.history.read_after("busy", 0, 10, 1_000)
        self.assertEqual((texts(page), page.floor), (["7", "8", "9", "10", "11"], 8))
        page = await server.history.read_after("quiet", 0, 10, 1_000)
        self.assertEqual((texts(page), page.floor), (["quiet"], 0))

    async def test_bounds_that_change(self) -> None:
        """
        A server that is started with other bounds has the stream kept by these; what was removed under the older ones
        is still told. Who only reads changes nothing.
        """
        first = await self.server(retention=Retention(events=3))
        await first.history.append([draft(str(n), f"t{n % 2}") for n in range(10)])
        second = await self.server(retention=Retention(events=100))
        for server in (first, second):
            await server.history.look()
            page = await server.history.read_after("t1", 0, 10, 1_000)
            self.assertEqual((texts(page), page.floor), (["5", "7", "9"], 5))
        reader = await self.server(retention=EVERYTHING)
        self.assertEqual(texts(await reader.history.read_after("t1", 0, 10, 1_000)), ["5", "7", "9"])
        config = (await first.api("STREAM.INFO.echochat"))["config"]
        self.assertEqual((config["max_msgs_per_subject"], config["num_replicas"]), (100, 1))

    async def test_what_is_not_ours(self) -> None:
        """
        Something that others have put into the stream is not served, and in nobody's way: least of all what would act
        on a terminal, or be another line there.
        """
        server = await self.server("a")
        await server.history.append([draft("1", "a")])
        others = [
            ("echochat.a", b"no event"),
            ("echochat.==", b"no event"),
            ("echochat.=0Aa", b"1 alice to no topic"),
            ("echochat.a", b"1 mallory x\r\n/bye banned you\x1b[2J"),
            ("echochat.a", "1 mallory a line\u2028and another".encode()),
            ("echochat.a", b"1 mal\x07lory x"),
            ("echochat.a", b"1 \n/bye x"),
            ("echochat.a", b"1  x"),
        ]
        for subject, payload in others:
            await server.broker.request(subject, payload, 5)
        await server.history.append([draft("2", "a")])
        self.assertEqual([text for _, _, text in server.receiver.events], ["1", "2"])
        for limit in (1, 2, 10):
            page = await server.history.read_after("a", 1, limit, 1_000)
            self.assertEqual(texts(page), ["2"])
        self.assertEqual(texts(await server.history.read_before("a", None, 1, 1_000)), ["2"])
        self.assertEqual([state.topic for state in await server.history.topics()], ["a"])
