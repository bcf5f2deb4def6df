"""
Tests for :mod:`echochat.history.memory`.
"""

from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.history import Deduplication, IHistory
from echochat.history.memory import MemoryBounds, MemoryHistory
from tests.history.doubles import Recorder, draft, texts
from tests.history.guarantees import HistoryGuarantees


class MemoryGuaranteesTests(HistoryGuarantees, TestCase):
    """
    The in-memory history keeps the promises of all histories.
    """

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        self.clock = Clock()
        await super().setUp()

    def make_history(self, deduplication: Deduplication) -> IHistory:
        return MemoryHistory(self.clock, deduplication=deduplication, monotonic=self.clock.seconds)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def settle(self) -> None:
        self.clock.advance(0)

    def test_leaves_no_timer_behind(self) -> None:
        """
        A closed history has nothing left to do.
        """
        self.history.append([draft("a")])
        self.history.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class MemoryBoundsTests(SynchronousTestCase):
    """
    The in-memory history forgets in a known order, and says what it forgot.
    """

    def history_with(self, bounds: MemoryBounds) -> MemoryHistory:
        self.clock = Clock()
        history = MemoryHistory(self.clock, bounds)
        self.successResultOf(history.open(Recorder()))
        return history

    def store(self, history: MemoryHistory, *texts_of: str, topic: str = "lobby") -> None:
        answer = history.append([draft(text, topic) for text in texts_of])
        self.clock.advance(0)
        self.successResultOf(answer)

    def test_is_not_durable(self) -> None:
        """
        It says of itself that an acknowledgement means in memory.
        """
        self.assertFalse(self.history_with(MemoryBounds()).durable)

    def test_keeps_the_last_events_of_a_topic(self) -> None:
        """
        Beyond the bound the oldest go; the floor is the last of them, and the head stays.
        """
        history = self.history_with(MemoryBounds(events=3))
        self.store(history, *"abcde")
        page = self.successResultOf(history.read_after("lobby", 0, 10, 100))
        self.assertEqual((texts(page), page.floor, page.complete), (["c", "d", "e"], 2, True))
        state = self.successResultOf(history.topic("lobby"))
        self.assertEqual((state.head, state.floor), (5, 2))
        self.assertEqual(history.status.removed, 2)

    def test_the_topic_that_was_quiet_longest_loses_first(self) -> None:
        """
        When all topics together are too large, one that is in use keeps its events.
        """
        history = self.history_with(MemoryBounds(size=4_000))
        self.store(history, "x" * 1_000, topic="quiet")
        self.store(history, "y" * 1_000, "z" * 1_000, topic="busy")
        self.store(history, "z" * 1_000, topic="busy")
        quiet = self.successResultOf(history.read_after("quiet", 0, 10, 10_000))
        self.assertEqual((quiet.events, quiet.floor), ([], 1))
        self.assertEqual(self.successResultOf(history.topic("quiet")).head, 1)
        self.assertEqual(len(self.successResultOf(history.read_after("busy", 0, 10, 10_000)).events), 3)

    def test_memory_is_bounded_by_bytes(self) -> None:
        """
        One topic alone cannot exceed the bound of all.
        """
        history = self.history_with(MemoryBounds(size=10_000))
        for _ in range(50):
            self.store(history, "x" * 1_000)
        page = self.successResultOf(history.read_after("lobby", 0, 100, 1 << 20))
        self.assertEqual(len(page.events), 8)
        self.assertEqual(page.floor, 42)

    def test_a_forgotten_topic_never_looks_as_if_it_had_lost_nothing(self) -> None:
        """
        With too many topics one is forgotten altogether; what is then said of it covers all that it had.
        """
        history = self.history_with(MemoryBounds(topics=2))
        for topic in ("a", "b", "c"):
            self.store(history, "x", topic=topic)
        state = self.successResultOf(history.topic("a"))
        self.assertGreaterEqual(state.floor, 1)
        self.assertEqual(state.head, state.floor)
        self.assertEqual([s.topic for s in self.successResultOf(history.topics())], ["b", "c"])
        self.store(history, "y", topic="a")
        page = self.successResultOf(history.read_after("a", 0, 10, 100))
        self.assertEqual((texts(page), page.floor), (["y"], 1))

    def test_appends_of_one_turn_are_one_commit(self) -> None:
        """
        What arrives in one turn of the reactor is delivered together.
        """
        history = self.history_with(MemoryBounds())
        answers = [history.append([draft("a")]), history.append([draft("b")])]
        self.assertNoResult(answers[0])
        self.clock.advance(0)
        self.assertEqual([list(self.successResultOf(answer).positions) for answer in answers], [[1], [2]])
        self.assertEqual(history.status.commits, 1)

    def test_an_append_made_while_answers_are_given_comes_next(self) -> None:
        """
        A publisher may publish again from its callback; also while the history is being closed, which it is told.
        """
        history = self.history_with(MemoryBounds())
        answer = history.append([draft("a")]).addCallback(lambda stored: history.append([draft("b")]))
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(list(self.successResultOf(answer).positions), [2])
        late = history.append([draft("c")]).addCallback(lambda stored: history.append([draft("d")]))
        self.successResultOf(history.close())
        self.failureResultOf(late)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closing_before_opening(self) -> None:
        """
        A service that failed to start can be stopped.
        """
        self.assertIsNone(self.successResultOf(succeed(MemoryHistory(Clock())).addCallback(MemoryHistory.close)))
