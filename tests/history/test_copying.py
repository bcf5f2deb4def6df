"""
Tests for :mod:`echochat.history.copying`.
"""

import os
import sqlite3
from collections.abc import Callable, Sequence

from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import TestCase

from echochat.history import Draft, HistoryUnavailable, IHistory, Stored, copying
from echochat.history.copying import LONG, PIECE, Copying, NotStored, OtherEvents, Spoilt
from echochat.history.memory import MemoryBounds, MemoryHistory
from echochat.history.records import Event
from echochat.history.sqlite.history import SQLiteHistory
from echochat.history.sqlite.settings import Settings
from tests.history.doubles import Recorder, draft, read_everything


async def all_events(history: IHistory) -> list[Event]:
    """
    What a history has, in its order.
    """
    events: list[Event] = []
    for state in await history.topics():
        for page in await read_everything(history, state.topic):
            events.extend(page.events)
    return sorted(events, key=lambda event: event.position)


def contents(events: Sequence[Event]) -> list[tuple[str, str, str, int]]:
    """
    All of them but their positions.
    """
    return [(event.topic, event.name, event.text, event.time) for event in events]


class _Histories(TestCase):
    """
    Histories in files of a folder of the test's own.
    """

    async def make(self, name: str) -> SQLiteHistory:
        """
        Open the history in the file of this name.
        """
        history = SQLiteHistory(reactor, Settings(os.path.abspath(os.path.join(self.path, name))))
        self.addCleanup(history.close)
        await history.open(Recorder())
        return history

    def setUp(self) -> None:
        self.path = self.mktemp()
        os.mkdir(self.path)


class CopyingTests(_Histories):
    """
    Topics, order, names, times and texts arrive, and positions where the target can.
    """

    async def publish(self, history: IHistory, count: int, begin: int = 0) -> None:
        """
        Publish in three topics in turn, with commits that hold events of all of them.
        """
        for start in range(begin, begin + count, 7):
            await history.append(
                [
                    draft(f"text {number}", f"topic-{number % 3}", f"name-{number % 2}", time=5_000 + number)
                    for number in range(start, min(start + 7, begin + count))
                ]
            )

    async def test_sqlite_keeps_positions(self) -> None:
        """
        Into an empty file everything comes as it was, in as many pieces as it takes.
        """
        source, target = await self.make("source"), await self.make("target")
        await source.append([draft("removed later")])
        await self.publish(source, PIECE + 500)
        copy = await Copying(source, target).run()
        self.assertEqual(await all_events(target), await all_events(source))
        self.assertEqual((copy.copied, copy.found, copy.topics, copy.keeps_positions), (PIECE + 501, 0, 4, True))
        self.assertEqual(target.head, source.head)

    async def test_goes_on_where_it_was(self) -> None:
        """
        A copy that is made again brings what is new, and nothing twice; a file that was closed and opened is the same.
        """
        source, target = await self.make("source"), await self.make("target")
        await self.publish(source, 50)
        await Copying(source, target).run()
        await target.close()
        await self.publish(source, 20, 50)
        target = await self.make("target")
        copy = await Copying(source, target).run()
        self.assertEqual((copy.copied, copy.found, copy.keeps_positions), (20, 50, True))
        self.assertEqual(await all_events(target), await all_events(source))

    async def test_interrupted_at_any_piece(self) -> None:
        """
        A target that fails in the middle has the beginning of each topic, and the next copy the rest.
        """
        source, target = await self.make("source"), await self.make("target")
        await self.publish(source, 3 * PIECE)
        restore = target.restore
        left = [2]

        def fails_then(events: Sequence[Event]) -> Deferred[Stored]:
            left[0] -= 1
            return restore(events) if left[0] >= 0 else fail(HistoryUnavailable("the disk is full"))

        self.patch(target, "restore", fails_then)
        interrupted = Copying(source, target)
        with self.assertRaises(HistoryUnavailable):
            await interrupted.run()
        self.assertEqual(interrupted.state.copied, 2 * PIECE)
        self.patch(target, "restore", restore)
        copy = await Copying(source, target).run()
        self.assertEqual((copy.copied, copy.found), (PIECE, 2 * PIECE))
        self.assertEqual(await all_events(target), await all_events(source))

    async def test_to_a_target_that_numbers(self) -> None:
        """
        Where positions cannot be kept, the order is.
        """
        source = await self.make("source")
        target = MemoryHistory(reactor, MemoryBounds(events=10_000))
        self.addCleanup(target.close)
        await target.open(Recorder())
        await target.append([draft("was here", "other")])
        await self.publish(source, 40)
        copy = await Copying(source, target).run()
        self.assertFalse(copy.keeps_positions)
        self.assertEqual(contents(await all_events(target))[1:], contents(await all_events(source)))

    async def test_a_target_that_is_further(self) -> None:
        """
        Positions that the target has given away already are not given again: the events get new ones.
        """
        source, target = await self.make("source"), await self.make("target")
        await self.publish(target, 5)
        await source.append([Draft("elsewhere", "bob", "hello", None, 7)])
        copy = await Copying(source, target).run()
        self.assertFalse(copy.keeps_positions)
        self.assertEqual((await all_events(target))[-1], Event(6, "elsewhere", "bob", "hello", 7))

    async def test_other_events_are_refused(self) -> None:
        """
        What is in the target and not in the source is not mixed with it; nothing is written then.
        """
        source, target = await self.make("source"), await self.make("target")
        await source.append([draft("one", "a-topic"), draft("two")])
        await target.append([draft("something else")])
        with self.assertRaises(OtherEvents) as caught:
            await Copying(source, target).run()
        self.assertEqual(caught.exception.args, ("lobby",))
        self.assertEqual(len(await all_events(target)), 1)

    async def test_damage_is_told_and_left_out(self) -> None:
        """
        What cannot be read is named, and what follows it is copied.
        """
        source, target = await self.make("source"), await self.make("target")
        for number in range(100):
            await source.append([draft(f"text {number}")])
        await source.close()
        with sqlite3.connect(os.path.join(self.path, "source")) as database:
            database.execute("UPDATE bundles SET body = CAST('nothing' AS BLOB) WHERE last = 2")
        database.close()
        source = await self.make("source")
        copy = await Copying(source, target).run()
        self.assertEqual([event.position for event in await all_events(target)], [1, *range(3, 101)])
        self.assertEqual(len(copy.damaged), 1)
        self.assertIn("lobby", copy.damaged[0])

    async def test_many_topics(self) -> None:
        """
        With very many topics less of each is read at once, and the order is one all the same.
        """
        source, target = await self.make("source"), await self.make("target")
        await source.append([draft(f"text {number}", f"topic-{number % 600}", time=number) for number in range(2_000)])
        self.patch(copying, "BUFFERED", 600)
        await Copying(source, target).run()
        self.assertEqual(await all_events(target), await all_events(source))


class RefusedTests(_Histories):
    """
    A target that does not take every event.
    """

    async def copy(self, texts: Sequence[str], refuses: Callable[[str], bool]) -> tuple[SQLiteHistory, MemoryHistory]:
        """
        Publish these in a topic, and get ready to copy them into a history that refuses some.
        """
        source = await self.make("source")
        target = MemoryHistory(reactor, MemoryBounds(events=10_000))
        self.addCleanup(target.close)
        await target.open(Recorder())
        await source.append([draft(text, time=number) for number, text in enumerate(texts)])
        append = target.append

        async def take(drafts: Sequence[Draft]) -> Stored:
            """
            As a broker does: what is refused is passed over.
            """
            taken = [each for each in drafts if not refuses(each.text)]
            if taken:
                await append(taken)
            why = HistoryUnavailable("it is too long")
            return Stored([0] * len(drafts), [], {i: why for i, each in enumerate(drafts) if refuses(each.text)})

        self.patch(target, "append", lambda drafts: Deferred.fromCoroutine(take(drafts)))
        return source, target

    async def test_too_long(self) -> None:
        """
        Nothing that follows is stored before an event that is too long: when the target takes longer ones, a second
        copy completes the first one.
        """
        longest = LONG
        texts = ["one", "two", "x" * (LONG + 1), "four", "five"]
        source, target = await self.copy(texts, lambda text: len(text) > longest)
        with self.assertRaises(NotStored) as caught:
            await Copying(source, target).run()
        self.assertEqual(str(caught.exception), "lobby 3: it is too long")
        self.assertEqual([event.text for event in await all_events(target)], texts[:2])
        longest = 2 * LONG
        copy = await Copying(source, target).run()
        self.assertEqual((copy.found, copy.copied), (2, 3))
        self.assertEqual(contents(await all_events(target)), contents(await all_events(source)))

    async def test_in_the_middle_of_a_piece(self) -> None:
        """
        One that cannot be foreseen leaves a copy that is of no use, and that is what is said.
        """
        source, target = await self.copy(["one", "two", "three"], lambda text: text == "two")
        with self.assertRaises(Spoilt) as caught:
            await Copying(source, target).run()
        self.assertEqual(str(caught.exception), "lobby 2: it is too long")

    async def test_at_the_end_of_a_piece(self) -> None:
        """
        Where nothing of the topic follows, the copy can be gone on with.
        """
        refused = {"two", "three"}
        source, target = await self.copy(["one", "two", "three"], lambda text: text in refused)
        with self.assertRaises(NotStored) as caught:
            await Copying(source, target).run()
        self.assertEqual(str(caught.exception), "lobby 2: it is too long")
        refused.clear()
        self.assertEqual((await Copying(source, target).run()).copied, 2)


class RestoreTests(_Histories):
    """
    Positions are given from outside only where that is safe.
    """

    async def test_positions_must_be_new(self) -> None:
        """
        Positions that do not ascend, or are not above all that there are, are refused, and nothing is stored.
        """
        target = await self.make("target")
        await target.append([draft("one")])
        events = [Event(position, "lobby", "alice", "x", 1) for position in (1, 2)]
        for wrong in (events, events[::-1], [events[1], events[1]]):
            with self.assertRaises(ValueError):
                await target.restore(wrong)
        under_way = target.append([draft("two")])
        with self.assertRaises(ValueError):
            await target.restore([Event(9, "lobby", "alice", "x", 1)])
        await under_way
        self.assertEqual([event.position for event in await all_events(target)], [1, 2])

    async def test_goes_on_behind(self) -> None:
        """
        What is appended afterwards gets the positions behind, and the receiver is told of both.
        """
        target = await self.make("target")
        await target.restore([Event(5, "lobby", "alice", "x", 1), Event(9, "lobby", "alice", "y", 2)])
        stored = await target.append([draft("z")])
        self.assertEqual([*stored.positions], [10])
        self.assertEqual([event.position for event in await all_events(target)], [5, 9, 10])
