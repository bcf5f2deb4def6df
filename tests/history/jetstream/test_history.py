"""
Tests for :mod:`echochat.history.jetstream.history`, with a real nats-server.
"""

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from echochat.broker import Broker, parse_address
from echochat.history import Deduplication, IHistory, Retention
from echochat.history.jetstream import flight, publishing
from echochat.history.jetstream.api import ask
from echochat.history.jetstream.history import JetStreamHistory
from echochat.history.jetstream.settings import Settings
from tests.broker.nats import Nats
from tests.history.doubles import draft
from tests.history.guarantees import DurableHistoryGuarantees

TOPICS = ("lobby", "other", "Lobby", "a", "b", "c", "@alice", "t0", "t1", "t2")
"""
Those of the guarantees.
"""


class JetStreamGuaranteesTests(DurableHistoryGuarantees, TestCase):
    """
    The history in JetStream keeps the promises of all histories, and of durable ones, for topics that are followed.
    """

    timeout = 120
    window = 150.0

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        self.nats = await Nats(self).start()
        await super().setUp()

    async def start(self, deduplication: Deduplication | None = None) -> None:
        await super().start(deduplication)
        for topic in TOPICS:
            await self.history.follow(topic)

    def make_history(self, deduplication: Deduplication) -> IHistory:
        settings = Settings(retention=Retention(events=self.kept), deduplication=Deduplication(self.window))
        self.broker = Broker(reactor, parse_address(self.nats.address))
        return JetStreamHistory(reactor, self.broker, settings)

    async def let_retention_work(self) -> None:
        assert isinstance(self.history, JetStreamHistory)
        await self.history.look()

    async def test_too_much_waiting_is_refused_at_once(self) -> None:
        """
        As for all histories, with more than may be on their way at once. They are fewer than retention keeps of a
        topic: a slow broker that removes events before they have arrived here makes the history unavailable.
        """
        self.patch(flight, "IN_FLIGHT", self.kept // 10)
        self.patch(publishing, "WAITING", self.kept // 2)
        self.patch(self.history, "waiting_bound", self.kept // 2)
        await super().test_too_much_waiting_is_refused_at_once()

    async def test_labels_are_kept_for_two_minutes(self) -> None:
        """
        The broker's window is the one that was asked for, and ends.
        """
        self.assertGreaterEqual(self.window, 120)
        info = await ask(self.broker, "STREAM.INFO.echochat")
        self.assertEqual(info["config"]["duplicate_window"], self.window * 1_000_000_000)
        await self.history.close()
        self.window = 0.2
        await self.start()
        first = await self.stored(draft("a", label="1"))
        for _ in range(1_000):
            again = await self.stored(draft("a", label="1"))
            if not again.repeated:
                break
        self.assertGreater(again.positions[0], first.positions[0])

    async def test_labels_beyond_the_bound_are_refused_one_by_one(self) -> None:
        """
        The broker has no bound for labels: none is forgotten early, and none is refused.
        """
        stored = await self.stored(*[draft(text, label=text) for text in "abc"], draft("a", label="a"))
        self.assertEqual((list(stored.repeated), dict(stored.refused)), ([3], {}))

    def pass_time(self, seconds: float) -> None:
        """
        The broker's window is in its own time: tests that need its end have a short one.
        """
