"""
Tests for :mod:`echochat.history.sqlite.readers` and :mod:`echochat.history.sqlite.reading`.
"""

import os
import sqlite3
import threading
import time

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import TestCase

from echochat.history import Event, HistoryBusy, HistoryCorrupt, HistoryUnavailable, Page
from echochat.history.sqlite.history import SQLiteHistory
from echochat.history.sqlite.readers import FEW, THREADS, WAITING_BOUND, Readers
from echochat.history.sqlite.reading import TOPICS_AT_ONCE
from echochat.history.sqlite.settings import Settings
from tests.history.doubles import Recorder, draft, read_everything, texts


class ReadersTests(TestCase):
    """
    Reading is bounded, fair, and can be given up.
    """

    timeout = 20

    def setUp(self) -> None:
        self.gate = threading.Event()
        self.order: list[object] = []
        self.connections: list[sqlite3.Connection] = []
        self.readers = self.made()

    def tearDown(self) -> None:
        self.gate.set()
        self.readers.stop()
        self.readers.join()

    def connect(self) -> sqlite3.Connection:
        self.connections.append(sqlite3.connect(":memory:", check_same_thread=False))
        return self.connections[-1]

    def wait(self, database: sqlite3.Connection) -> None:
        self.gate.wait()

    def note(self, database: sqlite3.Connection, what: object) -> object:
        self.order.append(what)
        return what

    def made(self, **options: float) -> Readers:
        readers = Readers(IReactorFromThreads(reactor), self.connect, **options)
        readers.start()
        return readers

    def occupied(self) -> "list[Deferred[None]]":
        return [self.readers.read(self.wait) for _ in range(THREADS)]

    async def test_first_come_first_served(self) -> None:
        """
        Nobody is overtaken, so nobody waits for ever.
        """
        occupied = self.occupied()
        reads = [self.readers.read(self.note, n) for n in range(20)]
        self.gate.set()
        await gatherResults(reads)
        await gatherResults(occupied)
        # As many as there are threads are under way at once, and may end in any order.
        for place, n in enumerate(self.order):
            # A thread may be kept from the processor while the others go on.
            self.assertLess(abs(int(str(n)) - place), 10 * THREADS)

    def note_page(self, database: sqlite3.Connection, what: object, events: int = FEW + 1) -> Page:
        self.order.append(what)
        return Page([Event(n, "lobby", "alice", "x", 0) for n in range(events)], True, 0)

    async def take(self, readers: Readers, pages: int) -> list[int]:
        """
        :return: for each of so many pages, as it is taken, how many have been read and not been taken.
        """
        ahead: list[int] = []
        before = len(self.order)

        def take(_: object) -> None:
            # Whoever reads ahead has time to.
            self.gate.wait(0.001)
            ahead.append(len(self.order) - before - len(ahead))

        self.gate.clear()
        await gatherResults([readers.read_page(self.note_page, n).addCallback(take) for n in range(pages)])
        return ahead

    async def test_the_reactor_takes_a_page_first(self) -> None:
        """
        No other page is read before one that was has been taken, so that the reactor has time for others.
        """
        readers = self.made(patience=30.0)
        self.assertEqual(await self.take(readers, 50), [1] * 50)
        readers.stop()
        readers.join()

    async def test_a_slow_page_keeps_nobody(self) -> None:
        """
        Beside a page that takes long others are read; those who come after it take turns again.
        """
        readers = self.made(patience=1.0)
        slow = readers.read_page(self.wait)
        for n in range(2):
            await readers.read_page(self.note_page, n)
        self.gate.set()
        await slow
        self.assertEqual(await self.take(readers, 20), [1] * 20)
        readers.stop()
        readers.join()

    async def test_little_pages(self) -> None:
        """
        Where there is little to take others are read at once, whatever the reactor does.
        """
        readers = self.made(patience=30.0)
        reads = [readers.read_page(self.note_page, n, FEW) for n in range(10)]
        began = time.monotonic()
        while len(self.order) < 10 and time.monotonic() - began < 10.0:
            # The reactor's thread takes nothing.
            self.gate.wait(0.001)
        self.assertEqual(len(self.order), 10)
        await gatherResults(reads)
        self.assertEqual(await self.take(readers, 20), [1] * 20)
        readers.stop()
        readers.join()

    async def test_what_needs_no_turn(self) -> None:
        """
        Neither those who ask for little nor those who have given up wait for the turn of a page, or have others wait.
        """
        readers = self.made(patience=30.0)
        slow = readers.read_page(self.wait)
        for _ in range(10):
            given_up = readers.read_page(self.note, "given up")
            given_up.cancel()
            await self.assertFailure(given_up, CancelledError)
        self.assertEqual(await readers.read(self.note, "little"), "little")
        self.assertEqual(self.order, ["little"])
        self.gate.set()
        await slow
        readers.stop()
        readers.join()

    async def test_what_was_asked_for_is_read_at_the_end(self) -> None:
        """
        Whoever ends them may wait for that in the reactor's thread, which takes nothing meanwhile.
        """
        readers = self.made(patience=5.0)
        reads = [readers.read_page(self.note_page, n) for n in range(10)]
        began = time.monotonic()
        readers.stop()
        readers.join()
        self.assertLess(time.monotonic() - began, 5.0)
        self.assertEqual(len(await gatherResults(reads)), 10)

    async def test_a_cancelled_read_is_not_made(self) -> None:
        """
        Whoever disconnected while waiting costs nothing more.
        """
        occupied = self.occupied()
        read = self.readers.read(self.note, "given up")
        read.cancel()
        await self.assertFailure(read, CancelledError)
        self.gate.set()
        await gatherResults(occupied)
        await self.readers.read(self.note, "last")
        self.assertEqual(self.order, ["last"])

    async def test_too_many_are_refused(self) -> None:
        """
        The queue is bounded, and what is in it is answered.
        """
        occupied = self.occupied()
        reads = [self.readers.read(self.note, n) for n in range(WAITING_BOUND - THREADS)]
        await self.assertFailure(self.readers.read(self.note, "too much"), HistoryBusy)
        self.gate.set()
        await gatherResults(occupied)
        await gatherResults(reads)
        self.assertEqual(await self.readers.read(self.note, "again"), "again")

    async def test_suspending_closes_all_connections(self) -> None:
        """
        To recover, the writer needs a moment in which nobody has the database open; reads wait for it to end.
        """
        reads = [self.readers.read(self.note, n) for n in range(10)]
        await gatherResults(reads)
        self.readers.suspend()
        for connection in self.connections:
            self.assertRaises(sqlite3.ProgrammingError, connection.execute, "SELECT 1")
        opened = len(self.connections)
        read = self.readers.read(self.note, "later")
        self.assertEqual(len(self.connections), opened)
        self.readers.resume()
        self.assertEqual(await read, "later")
        self.assertGreater(len(self.connections), opened)

    async def test_what_goes_wrong_is_told(self) -> None:
        """
        A disk that cannot be read is not the server's bug; everything else is.
        """

        def fail(database: sqlite3.Connection, error: Exception) -> None:
            raise error

        await self.assertFailure(self.readers.read(fail, sqlite3.OperationalError("x")), HistoryUnavailable)
        await self.assertFailure(self.readers.read(fail, ZeroDivisionError()), ZeroDivisionError)
        self.assertEqual(await self.readers.read(self.note, "goes on"), "goes on")


class ReadingTests(TestCase):
    """
    What is read is what was stored, or it is named as damaged.
    """

    timeout = 20

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        self.path = os.path.realpath(self.mktemp())
        await self.start()
        self.addCleanup(lambda: self.history.close())

    async def start(self) -> None:
        self.history = SQLiteHistory(reactor, Settings(self.path))
        await self.history.open(Recorder())

    async def damage(self, statement: str) -> None:
        """
        Change the file while the history is closed.
        """
        await self.history.close()
        database = sqlite3.connect(self.path)
        database.execute(statement)
        database.commit()
        database.close()
        await self.start()

    async def store_one_by_one(self, count: int) -> None:
        for n in range(1, count + 1):
            await self.history.append([draft(str(n))])

    async def test_more_topics_than_are_read_at_once(self) -> None:
        """
        All topics are told, however many there are.
        """
        names = [f"topic-{n}" for n in range(2 * TOPICS_AT_ONCE + 1)]
        stored = await self.history.append([draft("x", name) for name in names])
        states = await self.history.topics()
        self.assertEqual([state.topic for state in states], sorted(names))
        self.assertEqual({state.topic: state.head for state in states}, dict(zip(names, stored.positions, strict=True)))

    async def test_pages_of_events_that_were_stored_one_by_one(self) -> None:
        """
        A page is as long as was asked for, also where every event was a commit of its own.
        """
        await self.store_one_by_one(130)
        pages = await read_everything(self.history, "lobby", 50)
        self.assertEqual([len(page.events) for page in pages], [50, 50, 30])
        page = await self.history.read_before("lobby", 101, 50, 1 << 20)
        self.assertEqual((page.events[0].position, len(page.events), page.complete), (51, 50, False))

    async def test_positions_that_are_too_large(self) -> None:
        """
        Whatever number a client sends is a number.
        """
        await self.store_one_by_one(3)
        self.assertEqual((await self.history.read_after("lobby", 1 << 100, 10, 100)).events, [])
        self.assertEqual(texts(await self.history.read_before("lobby", 1 << 100, 2, 100)), ["2", "3"])

    async def test_backwards_from_within_a_bundle(self) -> None:
        """
        Events that were stored together are told apart by position; a bundle of which nothing is wanted does not end
        the page.
        """
        await self.history.append([draft(str(n)) for n in range(1, 11)])
        await self.history.append([draft("x" * 10_000) for n in range(11, 21)])
        page = await self.history.read_before("lobby", 11, 4, 1_000)
        self.assertEqual(texts(page), ["7", "8", "9", "10"])
        page = await self.history.read_before("lobby", 5, 10, 1_000)
        self.assertEqual((texts(page), page.complete), (["1", "2", "3", "4"], True))

    async def test_a_flipped_byte_is_named_and_not_served(self) -> None:
        """
        What precedes the damage is read, then it is named, with the position behind which one can read on.
        """
        await self.store_one_by_one(120)
        await self.damage(
            "UPDATE bundles SET body = CAST(replace(CAST(body AS TEXT), '50', '05') AS BLOB) WHERE last = 50"
        )
        page = await self.history.read_after("lobby", 0, 100, 1 << 20)
        self.assertEqual((len(page.events), page.complete), (49, False))
        error = await self.corrupt(self.history.read_after("lobby", 49, 100, 1 << 20))
        self.assertIn("lobby", str(error))
        self.assertEqual(error.beyond, 50)
        self.assertEqual((await self.history.read_after("lobby", 50, 1, 100)).events[0].position, 51)
        page = await self.history.read_before("lobby", 60, 100, 1 << 20)
        self.assertEqual((page.events[0].position, page.complete), (51, False))
        await self.corrupt(self.history.read_before("lobby", 51, 100, 1 << 20))

    async def test_missing_events_are_named(self) -> None:
        """
        Events that an index does not show any more, or that somebody deleted, are not passed over in silence.
        """
        await self.store_one_by_one(120)
        await self.damage("DELETE FROM bundles WHERE last = 50")
        self.assertEqual(len((await self.history.read_after("lobby", 0, 100, 1 << 20)).events), 49)
        error = await self.corrupt(self.history.read_after("lobby", 49, 100, 1 << 20))
        self.assertEqual((error.beyond, "missing" in str(error)), (50, True))
        self.assertEqual((await self.history.read_after("lobby", 50, 1, 100)).events[0].position, 51)
        page = await self.history.read_before("lobby", 60, 100, 1 << 20)
        self.assertEqual(page.events[0].position, 51)

    async def test_an_event_in_the_wrong_topic_is_not_served(self) -> None:
        """
        What was said in one topic does not turn up in another.
        """
        await self.history.append([draft("secret", "@alice")])
        await self.store_one_by_one(70)
        await self.damage("UPDATE bundles SET topic = (SELECT id FROM topics WHERE name = 'lobby') WHERE last = 1")
        await self.corrupt(self.history.read_after("lobby", 0, 100, 1 << 20))

    async def test_damaged_structure_is_named(self) -> None:
        """
        Where SQLite itself notices, that is told in the same way, and appends to what is sound go on.
        """
        await self.history.append([draft(f"{n} {'x' * 500}", f"t{n % 50}") for n in range(1_000)])
        await self.history.append([draft("y", "sound") for n in range(20_000)])
        await self.history.close()
        with open(self.path, "r+b") as file:
            place = file.read().rindex(b"500 " + b"x" * 300)
            start = place // 4096 * 4096
            file.seek(start)
            file.write(bytes(4096))
        await self.start()
        damaged = 0
        for n in range(50):
            try:
                await read_everything(self.history, f"t{n}")
            except HistoryCorrupt:
                damaged += 1
        self.assertGreater(damaged, 0)
        self.assertEqual(len((await self.history.read_after("sound", 0, 20_000, 1 << 20)).events), 20_000)

    async def corrupt(self, read: "Deferred[Page]") -> HistoryCorrupt:
        try:
            await read
        except HistoryCorrupt as error:
            return error
        raise AssertionError("it was not noticed")
