"""
Tests for :mod:`echochat.history.sqlite.schema` and :mod:`echochat.history.sqlite.lockfile`, and of what an operator is
told when a file cannot be used.
"""

import os
import sqlite3
import stat
import struct

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.history import HistoryRefused
from echochat.history.sqlite.history import SQLiteHistory
from echochat.history.sqlite.lockfile import LockFile
from echochat.history.sqlite.schema import STEPS, connect_writer, create, identify, migrate
from echochat.history.sqlite.settings import Settings
from tests.history.doubles import Recorder, draft

_JOURNAL = bytes.fromhex("d9d505f920a163d7")


class MigrationTests(SynchronousTestCase):
    """
    A schema has a version, and gets to the newest one step by step.
    """

    def setUp(self) -> None:
        self.path = os.path.realpath(self.mktemp())
        create(self.path)
        self.database = connect_writer(self.path, sqlite3.Connection)
        self.addCleanup(self.database.close)

    def version(self) -> object:
        return self.database.execute("PRAGMA user_version").fetchone()[0]

    def test_a_new_file_gets_all_steps(self) -> None:
        """
        To create is to migrate from nothing.
        """
        migrate(self.database, self.path)
        self.assertEqual(self.version(), len(STEPS))

    def test_an_older_file_gets_the_missing_steps_once(self) -> None:
        """
        What it holds is kept.
        """
        migrate(self.database, self.path)
        epoch = self.database.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
        further = [
            *STEPS,
            ("CREATE TABLE later (x)", "INSERT INTO later VALUES (1)"),
            ("INSERT INTO later VALUES (2)",),
        ]
        migrate(self.database, self.path, further)
        migrate(self.database, self.path, further)
        self.assertEqual(self.version(), len(STEPS) + 2)
        self.assertEqual(self.database.execute("SELECT x FROM later").fetchall(), [(1,), (2,)])
        self.assertEqual(self.database.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone(), epoch)

    def test_a_step_that_fails_leaves_nothing_behind(self) -> None:
        """
        Steps are transactions: the next try finds the version from before.
        """
        migrate(self.database, self.path)
        broken = [*STEPS, ("CREATE TABLE later (x)", "this is not SQL")]
        self.assertRaises(sqlite3.Error, migrate, self.database, self.path, broken)
        self.database.execute("ROLLBACK")
        self.assertEqual(self.version(), len(STEPS))
        self.assertEqual(self.database.execute("SELECT 1 FROM sqlite_master WHERE name = 'later'").fetchall(), [])

    def test_a_newer_file_is_refused(self) -> None:
        """
        A server that was downgraded does not guess.
        """
        migrate(self.database, self.path, [*STEPS, ("CREATE TABLE later (x)",)])
        error = self.assertRaises(HistoryRefused, migrate, self.database, self.path)
        self.assertIn("newer version", str(error))


class IdentifyingTests(SynchronousTestCase):
    """
    What a file is is seen before anything in it is changed.
    """

    def test_its_writer_was_killed_at_the_beginning(self) -> None:
        """
        What was begun before there was a WAL is undone, and the file is as good as new.
        """
        path = os.path.realpath(self.mktemp())
        begun = sqlite3.connect(path)
        begun.execute("PRAGMA journal_mode=WAL")
        begun.close()
        # Its journal, https://sqlite.org/fileformat2.html#the_rollback_journal: before there were no pages.
        with open(f"{path}-journal", "wb") as journal:
            journal.write((_JOURNAL + struct.pack(">5I", 0, 1, 0, 512, 4_096)).ljust(512, b"\0"))
        identify(path)
        self.assertFalse(os.path.exists(f"{path}-journal"))
        self.assertEqual(os.path.getsize(path), 0)


class LockFileTests(SynchronousTestCase):
    """
    One at a time.
    """

    def test_only_one_holds_it(self) -> None:
        """
        The second is told who the first is, and has it when the first lets go.
        """
        path = self.mktemp()
        first, second = LockFile(path), LockFile(path)
        first.acquire()
        error = self.assertRaises(HistoryRefused, second.acquire)
        self.assertIn(f"in use by process {os.getpid()}", str(error))
        first.release()
        second.acquire()
        second.release()
        second.release()

    def test_look(self) -> None:
        """
        Who only looks is told who holds it, and leaves nothing behind where nobody does.
        """
        path = self.mktemp()
        lock = LockFile(path)
        lock.look()
        self.assertFalse(os.path.exists(path))
        lock.acquire()
        self.assertIn(f"in use by process {os.getpid()}", str(self.assertRaises(HistoryRefused, LockFile(path).look)))
        lock.release()
        lock.look()
        lock.acquire()
        lock.release()

    def test_where_it_cannot_be_made(self) -> None:
        """
        A folder that does not exist is named, also to who only looks; so is what is no folder.
        """
        lock = LockFile("/nonexistent/folder/file.lock")
        for attempt in (lock.acquire, lock.look):
            error = self.assertRaises(HistoryRefused, attempt)
            self.assertEqual(
                str(error), "there is no folder /nonexistent/folder for the history: make it, or mount its disk"
            )
        lock = LockFile("/dev/null/folder/file.lock")
        lock.look()
        error = self.assertRaises(HistoryRefused, lock.acquire)
        self.assertEqual(str(error), "cannot open /dev/null/folder/file.lock: Not a directory")


class OpeningTests(TestCase):
    """
    A history that cannot be had is refused in one sentence.
    """

    def setUp(self) -> None:
        self.path = os.path.realpath(self.mktemp())

    def history(self) -> SQLiteHistory:
        history = SQLiteHistory(reactor, Settings(self.path))
        self.addCleanup(history.close)
        return history

    async def refusal(self) -> str:
        """
        :return: what the operator is told.
        """
        try:
            await self.history().open(Recorder())
        except HistoryRefused as error:
            self.assertNotIn("\n", str(error))
            return str(error)
        raise AssertionError("it was not refused")

    async def filled(self) -> None:
        """
        Leave a file with some events.
        """
        history = self.history()
        await history.open(Recorder())
        for n in range(200):
            await history.append([draft(f"event {n} of the topic", f"t{n % 7}", label=str(n))])
        await history.close()

    async def test_files_are_their_owners_alone(self) -> None:
        """
        Whatever the umask, and also where the file had been there with another mode.
        """
        with open(self.path, "wb"):
            os.chmod(self.path, 0o644)
        mask = os.umask(0)
        try:
            history = self.history()
            await history.open(Recorder())
            await history.append([draft("a")])
            modes = {name: stat.S_IMODE(os.stat(self.path + name).st_mode) for name in ("", "-wal", "-shm", ".lock")}
        finally:
            os.umask(mask)
        self.assertEqual(modes, dict.fromkeys(modes, 0o600))

    async def test_a_second_one_in_the_same_process(self) -> None:
        """
        Two services of one twistd cannot share a file either.
        """
        first = self.history()
        await first.open(Recorder())
        self.assertIn("in use by process", await self.refusal())

    async def test_the_same_file_by_another_name(self) -> None:
        """
        A symbolic link does not lead around the lock.
        """
        first = self.history()
        await first.open(Recorder())
        link = self.mktemp()
        os.symlink(self.path, link)
        self.path = os.path.realpath(link)
        self.assertIn("in use by process", await self.refusal())

    async def test_not_a_database(self) -> None:
        """
        A file of another kind is left alone.
        """
        with open(self.path, "wb") as file:
            file.write(b"It was a dark and stormy night; " * 300)
        self.assertIn("it is no SQLite database", await self.refusal())
        self.assertFalse(os.path.exists(f"{self.path}.lock"))

    async def test_somebody_elses_database(self) -> None:
        """
        A mistyped path changes nothing in another program's file.
        """
        database = sqlite3.connect(self.path)
        database.execute("CREATE TABLE theirs (x)")
        database.close()
        os.chmod(self.path, 0o640)
        with open(self.path, "rb") as file:
            before = file.read()
        self.assertIn("not a history", await self.refusal())
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), before)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o640)

    async def test_a_directory(self) -> None:
        """
        The path of a directory is named.
        """
        os.mkdir(self.path)
        self.assertIn(self.path, await self.refusal())

    async def test_no_such_directory(self) -> None:
        """
        A directory that is missing is not made: it is a mistake, or a disk that is not mounted.
        """
        self.path = os.path.join(self.path, "history")
        self.assertIn("there is no folder ", await self.refusal())

    async def test_a_file_that_was_cut_short(self) -> None:
        """
        Pages that are missing at the end are noticed before they are needed.
        """
        await self.filled()
        os.truncate(self.path, os.path.getsize(self.path) - 8192)
        self.assertIn("corrupt", await self.refusal())

    async def test_damage_at_the_end_of_the_log(self) -> None:
        """
        Where the next event would go, everything must be right.
        """
        await self.filled()
        with open(self.path, "r+b") as file:
            place = file.read().rindex(b"event 199 of")
            file.seek(place)
            file.write(b"EVENT")
        self.assertIn("corrupt at position 200", await self.refusal())

    async def test_damaged_labels(self) -> None:
        """
        Without the labels an event might be doubled, so they are verified too.
        """
        await self.filled()
        database = sqlite3.connect(self.path)
        database.execute("UPDATE labels SET keys = '{}' WHERE id = 7")
        database.commit()
        database.close()
        self.assertIn("row 7 of labels", await self.refusal())

    async def test_closed_while_it_is_being_opened(self) -> None:
        """
        A service that is stopped while it starts ends in order.
        """
        history = self.history()
        opening = history.open(Recorder())
        await history.close()
        await opening
        again = self.history()
        await again.open(Recorder())
