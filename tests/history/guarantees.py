"""
What every history promises, whatever it is made of: one class of tests, run over each implementation.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, gatherResults
from zope.interface.verify import verifyObject

from echochat.history import (
    Deduplication,
    Draft,
    HistoryBusy,
    HistoryUnavailable,
    IHistory,
    Stored,
)
from tests.history.doubles import Recorder, draft, read_everything, texts

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase

    _Base = TestCase
else:
    _Base = object


class HistoryGuarantees(_Base):
    """
    Mix into a TestCase. A history that is made for it keeps :attr:`kept` events of a topic, and takes the time for its
    dedupe window from :meth:`pass_time`.
    """

    receiver: Recorder
    history: IHistory
    kept = 1_000
    timeout = 30

    def make_history(self, deduplication: Deduplication) -> IHistory:
        """
        :return: a history that is not open, on a store that is the same whenever this is called within one test.
        """
        raise NotImplementedError

    def pass_time(self, seconds: float) -> None:
        """
        Let the clock of the dedupe window advance.
        """
        raise NotImplementedError

    async def let_retention_work(self) -> None:
        """
        Wait until every topic holds few more than :attr:`kept` events.
        """

    def settle(self) -> None:
        """
        Let what was asked for begin to happen, where that takes a push.
        """

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        self.receiver = Recorder()
        await self.start()

    async def start(self, deduplication: Deduplication | None = None) -> None:
        self.history = self.make_history(deduplication or Deduplication())
        history = self.history
        self.addCleanup(lambda: history.close())
        await self.history.open(self.receiver)

    async def stored(self, *drafts: Draft) -> Stored:
        answer = self.history.append(drafts)
        self.settle()
        return await answer

    def appended(self, batches: Sequence[Sequence[Draft]]) -> "Deferred[list[Stored]]":
        answers = [self.history.append(batch) for batch in batches]
        self.settle()
        return gatherResults(answers, consumeErrors=True)

    def test_is_a_history(self) -> None:
        """
        It has all that the interface lists, with the same arguments.
        """
        verifyObject(IHistory, self.history)

    def test_epoch_is_a_short_word(self) -> None:
        """
        The epoch fits into a line of the protocol.
        """
        self.assertRegex(self.history.epoch, r"\A[A-Za-z0-9]{8,16}\Z")

    async def test_positions_grow_in_the_order_of_the_drafts(self) -> None:
        """
        Every event gets a position above all earlier ones, across topics and appends.
        """
        first = await self.stored(draft("a"), draft("b", "other"))
        second = await self.stored(draft("c"))
        positions = [*first.positions, *second.positions]
        self.assertEqual(positions, sorted(set(positions)))
        self.assertGreater(positions[0], 0)
        self.assertEqual(self.history.head, positions[-1])

    async def test_what_is_stored_is_what_was_given(self) -> None:
        """
        Text, name, time and topic come back exactly, whatever characters they have of those that may be published.
        """
        text = 'tab\there "quoted" \\ back, straße, 日本, 😀, \xa0, \ufeff and nothing else'
        stored = await self.stored(Draft("lobby", "Alice", text, None, 1_700_000_000_123), draft("", name="b"))
        page = await self.history.read_after("lobby", 0, 10, 1 << 20)
        self.assertEqual(
            [(e.position, e.topic, e.name, e.text, e.time) for e in page.events],
            [
                (stored.positions[0], "lobby", "Alice", text, 1_700_000_000_123),
                (stored.positions[1], "lobby", "b", "", 1_000),
            ],
        )

    async def test_receiver_is_given_events_before_the_answer(self) -> None:
        """
        When a publisher is told that its event is stored, every subscriber has been given it.
        """
        happened: list[str] = []
        self.receiver.on_arrived = lambda: happened.append("arrived")
        answer = self.history.append([draft("a")])
        answer.addCallback(lambda stored: happened.append("answered"))
        self.settle()
        await answer
        self.assertEqual(happened, ["arrived", "answered"])

    async def test_receiver_is_given_everything_in_order(self) -> None:
        """
        The receiver sees the log: each fresh event once, by ascending positions, as the answers name them.
        """
        batches = [[draft(f"{batch}.{n}", f"t{n % 3}") for n in range(20)] for batch in range(10)]
        answers = await self.appended(batches)
        expected = [
            (position, a_draft.topic, a_draft.text)
            for batch, stored in zip(batches, answers, strict=True)
            for a_draft, position in zip(batch, stored.positions, strict=True)
        ]
        self.assertEqual(self.receiver.events, expected)
        self.assertEqual(self.receiver.positions(), sorted(set(self.receiver.positions())))

    async def test_answers_come_in_the_order_of_the_appends(self) -> None:
        """
        A caller may rely on the order of answers to match them.
        """
        order: list[int] = []
        answers = [self.history.append([draft(str(n))]) for n in range(50)]
        for n, answer in enumerate(answers):
            answer.addCallback(lambda stored, n: order.append(n), n)
        self.settle()
        await gatherResults(answers)
        self.assertEqual(order, list(range(50)))

    async def test_an_event_given_to_the_receiver_can_be_read(self) -> None:
        """
        A subscriber that switches from live events to a read misses nothing.
        """
        reads: list[Deferred[list[str]]] = []
        self.receiver.on_arrived = lambda: reads.append(
            self.history.read_after("lobby", 0, 10, 1 << 20).addCallback(texts)
        )
        await self.stored(draft("a"))
        self.assertEqual(await gatherResults(reads), [["a"]])

    async def test_a_repeated_label_gets_the_first_position(self) -> None:
        """
        A publisher that tries again is told where its event is, and nobody sees it twice.
        """
        first = await self.stored(draft("a", label="1"))
        again = await self.stored(draft("z"), draft("a", label="1"))
        self.assertEqual(again.positions[1], first.positions[0])
        self.assertEqual(list(again.repeated), [1])
        self.assertEqual(self.receiver.texts(), ["a", "z"])
        self.assertEqual(texts(await self.history.read_after("lobby", 0, 10, 1 << 20)), ["a", "z"])

    async def test_a_label_repeated_in_one_commit(self) -> None:
        """
        The same label twice in one append, or in two that are taken together, is one event.
        """
        one, two = await self.appended(
            [[draft("a", label="1"), draft("b"), draft("a", label="1")], [draft("a", label="1"), draft("c")]]
        )
        self.assertEqual([one.positions[2], two.positions[0]], [one.positions[0]] * 2)
        self.assertEqual((list(one.repeated), list(two.repeated)), ([2], [0]))
        self.assertEqual(self.receiver.texts(), ["a", "b", "c"])

    async def test_labels_belong_to_a_name_and_a_topic(self) -> None:
        """
        Two people, or one in two topics, may use the same label; one person in two letter cases is one person.
        """
        stored = await self.stored(
            draft("a", label="1"),
            draft("b", name="bob", label="1"),
            draft("c", topic="other", label="1"),
            draft("d", name="ALICE", label="1"),
        )
        self.assertEqual(list(stored.repeated), [3])
        self.assertEqual(stored.positions[3], stored.positions[0])

    async def test_a_commit_of_repeats_only(self) -> None:
        """
        Nothing fresh means that the receiver is not called, and the answer comes all the same.
        """
        await self.stored(draft("a", label="1"))
        stored = await self.stored(draft("a", label="1"))
        self.assertEqual(list(stored.repeated), [0])
        self.assertEqual(self.receiver.texts(), ["a"])
        self.assertEqual(self.history.head, stored.positions[0])

    async def test_labels_are_kept_for_two_minutes(self) -> None:
        """
        The window is at least as long as the protocol promises, and ends.
        """
        await self.stored(draft("a", label="1"))
        self.pass_time(120)
        self.assertEqual(list((await self.stored(draft("a", label="1"))).repeated), [0])
        self.pass_time(120)
        self.assertEqual(list((await self.stored(draft("a", label="1"))).repeated), [])

    async def test_labels_beyond_the_bound_are_refused_one_by_one(self) -> None:
        """
        No label is forgotten early: when there are too many, those with labels are told to slow down, the rest are
        stored, and it passes.
        """
        await self.history.close()
        await self.start(Deduplication(labels=2))
        stored = await self.stored(*[draft(text, label=text) for text in "abc"], draft("d"), draft("a", label="a"))
        self.assertEqual(stored.positions[2], 0)
        self.assertEqual(list(stored.refused), [2])
        self.assertIsInstance(stored.refused[2], HistoryBusy)
        self.assertEqual(list(stored.repeated), [4])
        self.assertEqual(self.receiver.texts(), ["a", "b", "d"])
        self.pass_time(160)
        self.assertEqual(dict((await self.stored(draft("c", label="c"))).refused), {})

    async def test_pages_join_without_hole_or_overlap(self) -> None:
        """
        Reading page after page gives each event of the topic once, in order, however the pages are cut.
        """
        await self.appended([[draft(f"{batch}.{n}", f"t{n % 2}") for n in range(30)] for batch in range(10)])
        everything = [text for _, topic, text in self.receiver.events if topic == "t1"]
        for limit in (1, 7, 100, 1_000):
            pages = await read_everything(self.history, "t1", limit)
            self.assertEqual([text for page in pages for text in texts(page)], everything)
            self.assertLessEqual(max(len(page.events) for page in pages), limit)

    async def test_pages_are_bounded_in_bytes(self) -> None:
        """
        A page of long texts ends before the bound, and still holds one event where that alone exceeds it.
        """
        await self.stored(*[draft("ä" * 50) for _ in range(4)])
        self.assertEqual(len((await self.history.read_after("lobby", 0, 10, 250)).events), 2)
        self.assertEqual(len((await self.history.read_after("lobby", 0, 10, 1)).events), 1)
        self.assertEqual(len((await self.history.read_before("lobby", None, 10, 250)).events), 2)

    async def test_paging_while_events_are_appended(self) -> None:
        """
        A reader that starts behind and pages on while others publish gets everything once and in order.
        """
        await self.stored(*[draft(f"0.{n}") for n in range(50)])
        seen: list[str] = []
        after = 0
        complete = False
        rounds = 0
        while not complete:
            rounds += 1
            if rounds <= 10:
                answer = self.history.append([draft(f"{rounds}.{n}") for n in range(9)])
            page = await self.history.read_after("lobby", after, 10, 1 << 20)
            self.settle()
            await answer
            seen.extend(texts(page))
            after = page.events[-1].position if page.events else after
            complete = page.complete and rounds > 10
        self.assertEqual(seen, self.receiver.texts())

    async def test_a_page_that_ends_with_the_topic_is_complete(self) -> None:
        """
        A reader learns that it has caught up without a further, empty page.
        """
        await self.stored(*[draft(str(n)) for n in range(4)])
        head = self.history.head
        self.assertTrue((await self.history.read_after("lobby", 0, 4, 1 << 20)).complete)
        self.assertFalse((await self.history.read_after("lobby", 0, 3, 1 << 20)).complete)
        page = await self.history.read_after("lobby", head, 3, 1 << 20)
        self.assertEqual((page.events, page.complete), ([], True))

    async def test_reading_backwards(self) -> None:
        """
        The last events come oldest first, before a position or from the end, and say whether there are older ones.
        """
        stored = await self.stored(*[draft(text) for text in "abcde"])
        page = await self.history.read_before("lobby", None, 2, 1 << 20)
        self.assertEqual((texts(page), page.complete), (["d", "e"], False))
        page = await self.history.read_before("lobby", stored.positions[3], 2, 1 << 20)
        self.assertEqual((texts(page), page.complete), (["b", "c"], False))
        page = await self.history.read_before("lobby", stored.positions[2], 2, 1 << 20)
        self.assertEqual((texts(page), page.complete), (["a", "b"], True))

    async def test_an_unknown_topic_is_empty(self) -> None:
        """
        A topic exists from its first use: before, there is nothing to be wrong.
        """
        state = await self.history.topic("nowhere")
        self.assertEqual((state.topic, state.head, state.floor), ("nowhere", 0, 0))
        page = await self.history.read_after("nowhere", 0, 10, 100)
        self.assertEqual((page.events, page.complete, page.floor), ([], True, 0))
        page = await self.history.read_before("nowhere", None, 10, 100)
        self.assertEqual((page.events, page.complete, page.floor), ([], True, 0))

    async def test_topics_and_how_far_they_reach(self) -> None:
        """
        All topics are told, by name, each with the position of its last event.
        """
        stored = await self.stored(draft("a", "b"), draft("b", "@alice"), draft("c", "b"), draft("d", "c"))
        _, b, c, d = stored.positions
        self.assertEqual([(s.topic, s.head) for s in await self.history.topics()], [("@alice", b), ("b", c), ("c", d)])
        self.assertEqual((await self.history.topic("b")).head, c)

    async def test_topics_differ_by_letter_case(self) -> None:
        """
        Only names are compared in one case.
        """
        await self.stored(draft("a", "Lobby"), draft("b", "lobby"))
        self.assertEqual(texts(await self.history.read_after("Lobby", 0, 10, 100)), ["a"])

    async def test_following_costs_nothing_to_ask_for(self) -> None:
        """
        A followed topic's events arrive; so they do after it was unfollowed, or not, but nothing fails.
        """
        await self.history.follow("lobby")
        await self.stored(draft("a"))
        self.assertEqual(self.receiver.texts(), ["a"])
        self.history.unfollow("lobby")
        await self.stored(draft("b"))

    async def test_too_much_waiting_is_refused_at_once(self) -> None:
        """
        A caller that ignores back-pressure costs bounded memory: its append fails, and what waited is stored.
        """
        batch = [draft("x")] * (self.history.waiting_bound // 2)
        fits = [self.history.append(batch), self.history.append(batch)]
        self.assertGreater(self.history.waiting, 0)
        refused = self.history.append([draft("y"), draft("z")])
        self.settle()
        await self.assertFailure(refused, HistoryBusy)
        await gatherResults(fits)
        self.assertEqual(self.history.waiting, 0)
        await self.stored(draft("y"))
        self.assertEqual(self.receiver.texts()[-1], "y")

    async def test_what_retention_removed_is_told(self) -> None:
        """
        A subscriber that comes back too late learns which events it lost: the floor, the same from everywhere, and
        every event above it.
        """
        for n in range(0, 3 * self.kept, 100):
            await self.stored(*[draft(str(n + i), f"t{i % 2}") for i in range(200)])
        await self.let_retention_work()
        state = await self.history.topic("t1")
        everything = [position for position, topic, _ in self.receiver.events if topic == "t1"]
        self.assertGreaterEqual(state.floor, everything[0])
        self.assertLess(state.floor, everything[-self.kept])
        self.assertEqual(state.head, everything[-1])
        pages = await read_everything(self.history, "t1")
        self.assertEqual({page.floor for page in pages}, {state.floor})
        kept = [event.position for page in pages for event in page.events]
        self.assertEqual(kept, [position for position in everything if position > state.floor])
        page = await self.history.read_before("t1", None, 10_000, 1 << 30)
        self.assertEqual(([event.position for event in page.events], page.complete), (kept, True))
        self.assertGreater(self.history.status.removed, 0)

    async def test_counters(self) -> None:
        """
        The status counts what was done.
        """
        await self.stored(draft("a", label="1"), draft("b"))
        await self.stored(draft("a", label="1"))
        await self.history.read_after("lobby", 0, 10, 100)
        status = self.history.status
        self.assertEqual((status.commits, status.events, status.repeats, status.reads), (1, 2, 1, 1))
        self.assertIsNone(status.unavailable)

    async def test_close_stores_what_waits(self) -> None:
        """
        Nothing that was taken is dropped because the server stops.
        """
        answer = self.history.append([draft("a")])
        await self.history.close()
        self.assertEqual(len((await answer).positions), 1)
        self.assertEqual(self.receiver.texts(), ["a"])

    async def test_after_close_everything_is_unavailable(self) -> None:
        """
        A closed history says so, at once.
        """
        await self.history.close()
        await self.history.close()
        await self.assertFailure(self.history.append([draft("a")]), HistoryUnavailable)
        await self.assertFailure(self.history.read_after("lobby", 0, 10, 100), HistoryUnavailable)
        await self.assertFailure(self.history.read_before("lobby", None, 10, 100), HistoryUnavailable)
        await self.assertFailure(self.history.topic("lobby"), HistoryUnavailable)
        await self.assertFailure(self.history.topics(), HistoryUnavailable)

    async def test_a_receiver_that_raises_harms_only_itself(self) -> None:
        """
        A bug in delivery is logged; the events are stored, so the publishers are told that they are.
        """

        def fail() -> None:
            raise ZeroDivisionError

        self.receiver.on_arrived = fail
        stored = await self.stored(draft("a"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(list(stored.positions), [self.history.head])


class DurableHistoryGuarantees(HistoryGuarantees):
    """
    What a history that outlives the process promises beyond that.
    """

    async def reopen(self) -> None:
        await self.history.close()
        self.receiver = Recorder()
        await self.start()

    async def test_is_durable(self) -> None:
        """
        It says of itself that its acknowledgement means on disk.
        """
        self.assertTrue(self.history.durable)

    async def test_everything_is_there_after_a_restart(self) -> None:
        """
        Events, positions and epoch are the same, and numbering goes on behind the last one.
        """
        epoch = self.history.epoch
        stored = await self.stored(draft("a"), draft("b", "other"))
        await self.reopen()
        self.assertEqual((self.history.epoch, self.history.head), (epoch, stored.positions[-1]))
        self.assertEqual(texts(await self.history.read_after("lobby", 0, 10, 100)), ["a"])
        again = await self.stored(draft("c"))
        self.assertGreater(again.positions[0], stored.positions[-1])
        self.assertEqual(self.receiver.texts(), ["c"])

    async def test_labels_are_remembered_across_a_restart(self) -> None:
        """
        A publisher that tries again after the server was restarted does not double its event.
        """
        stored = await self.stored(draft("z"), draft("a", label="1"))
        await self.reopen()
        again = await self.stored(draft("a", label="1"))
        self.assertEqual((list(again.positions), list(again.repeated)), ([stored.positions[1]], [0]))

    async def test_the_window_goes_on_after_a_restart(self) -> None:
        """
        A restart does not shorten the dedupe window, whatever the time of day is afterwards.
        """
        await self.stored(draft("a", label="1"))
        self.pass_time(60)
        await self.reopen()
        self.pass_time(60)
        self.assertEqual(list((await self.stored(draft("a", label="1"))).repeated), [0])
