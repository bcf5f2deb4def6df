"""
What happens when the disk fails: :mod:`echochat.history.sqlite.writer` over a database that fails when it is told to.
"""

import os
import shutil
import sqlite3
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from echochat.history import Draft, HistoryCorrupt, HistoryUnavailable, Stored
from echochat.history.sqlite.faults import HistoryLost
from echochat.history.sqlite.history import SQLiteHistory
from echochat.history.sqlite.reports import Work
from echochat.history.sqlite.settings import Settings
from tests.history.doubles import Recorder, draft, texts, when_probed_in_vain
from tests.history.faulty import Faults, sqlite_error


class FailureTests(TestCase):
    """
    The first failure ends acknowledging; what was acknowledged stays; it heals by itself where it can.
    """

    timeout = 20

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        self.path = os.path.realpath(self.mktemp())
        self.clock = Clock()
        self.now = 1.0
        self.faults = Faults()
        self.receiver = Recorder()
        self.history = self.make_history()
        self.addCleanup(self.close)
        await self.history.open(self.receiver)

    def make_history(self) -> SQLiteHistory:
        settings = Settings(self.path, connection=self.faults.connection(), monotonic=lambda: self.now)
        return SQLiteHistory(reactor, settings, self.clock)

    async def close(self) -> None:
        self.faults.before.clear()
        self.faults.after.clear()
        await self.history.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def stored(self, *drafts: Draft) -> Stored:
        return await self.history.append(drafts)

    async def fail_with(self, code: int, where: str = "INSERT INTO bundles", *drafts: Draft) -> None:
        """
        Let the disk fail once, and the history notice it.
        """
        self.faults.before[where] = sqlite_error(code)
        await self.assertFailure(self.history.append(drafts or [draft("lost")]), HistoryUnavailable)
        self.faults.before.clear()
        self.flushLoggedErrors(sqlite3.Error)

    async def heal(self) -> None:
        available = self.receiver.when_told("available")
        self.clock.advance(60)
        await available

    async def probe_in_vain(self, seconds: float = 60) -> None:
        """
        Let time pass until the history has tried to recover, and not been able to.
        """
        tried = when_probed_in_vain(self.history)
        self.clock.advance(seconds)
        await tried

    def probes(self) -> list[float]:
        """
        :return: in how many seconds a probe is due.
        """
        calls: list[Any] = list(self.clock.getDelayedCalls())
        return [call.getTime() - self.clock.seconds() for call in calls if call.args == (Work.PROBE,)]

    async def everything(self) -> list[str]:
        return texts(await self.history.read_after("lobby", 0, 1_000, 1 << 20))

    async def test_the_first_failure_ends_acknowledging(self) -> None:
        """
        What waits and what comes is answered at once, and whoever asks for readiness is told why.
        """
        self.faults.before["INSERT INTO bundles"] = sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)
        appends = [self.history.append([draft(str(n))]) for n in range(5)]
        for append in appends:
            await self.assertFailure(append, HistoryUnavailable)
        self.assertEqual(
            self.receiver.told, ["unavailable: the history cannot take it now: the disk reported an error"]
        )
        late = self.failureResultOf(self.history.append([draft("late")]), HistoryUnavailable)
        self.assertIn("the disk reported an error", str(late.value))
        self.assertIn("the disk reported an error", str(self.history.status.unavailable))
        self.assertEqual((self.history.status.failures, self.history.waiting), (1, 0))
        self.assertEqual(len(self.flushLoggedErrors(sqlite3.Error)), 1)

    async def test_a_full_disk_is_called_that(self) -> None:
        """
        The operator learns from the error line what to do.
        """
        await self.fail_with(sqlite3.SQLITE_FULL)
        self.assertIn("the disk is full", str(self.history.status.unavailable))

    async def test_reading_goes_on(self) -> None:
        """
        Who only reads does not notice that nothing can be stored.
        """
        await self.stored(draft("a"))
        await self.fail_with(sqlite3.SQLITE_FULL)
        self.assertEqual(await self.everything(), ["a"])
        self.assertEqual((await self.history.topic("lobby")).head, 1)

    async def test_nothing_is_written_with_the_failed_handle(self) -> None:
        """
        A sync that failed is not tried again: the kernel would say that all is well, and the data be lost.
        """
        await self.stored(draft("a"))
        self.faults.executed.clear()
        await self.fail_with(sqlite3.SQLITE_IOERR_FSYNC)
        failed = next(number for number, sql in self.faults.executed if "INSERT INTO bundles" in sql)
        self.assertEqual(self.faults.executed[-1][0], failed)
        self.faults.executed.clear()
        await self.heal()
        await self.stored(draft("b"))
        self.assertNotIn(failed, {number for number, _ in self.faults.executed})

    async def test_the_log_is_emptied_before_anything_is_acknowledged_again(self) -> None:
        """
        What a failed sync left in the write-ahead log is copied and synced before anything is put behind it.
        """
        await self.fail_with(sqlite3.SQLITE_IOERR_FSYNC)
        self.faults.executed.clear()
        self.faults.before["wal_checkpoint"] = sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)
        await self.probe_in_vain()
        self.flushLoggedErrors(sqlite3.Error)
        self.assertIsNotNone(self.history.status.unavailable)
        self.assertEqual([sql for _, sql in self.faults.executed if "INSERT" in sql], [])
        self.faults.before.clear()
        await self.heal()

    async def test_not_before_the_log_could_be_emptied(self) -> None:
        """
        Another program that reads the file may keep the log from being emptied: until it ends, nothing is acknowledged.
        """
        await self.stored(draft("a"))
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN")
        other.execute("SELECT * FROM bundles").fetchone()
        await self.stored(draft("b"))
        await self.fail_with(sqlite3.SQLITE_IOERR_FSYNC)
        await self.probe_in_vain()
        self.assertIsNotNone(self.history.status.unavailable)
        self.flushLoggedErrors(sqlite3.Error)
        other.execute("COMMIT")
        await self.heal()

    async def test_it_heals_by_itself(self) -> None:
        """
        When the cause has passed, events are taken again, behind those from before.
        """
        first = await self.stored(draft("a"))
        await self.fail_with(sqlite3.SQLITE_FULL)
        await self.heal()
        self.assertIsNone(self.history.status.unavailable)
        second = await self.stored(draft("b"))
        self.assertGreater(second.positions[0], first.positions[0])
        self.assertEqual(await self.everything(), ["a", "b"])
        self.assertEqual(self.receiver.texts(), ["a", "b"])

    async def test_what_a_failed_commit_left_behind_is_delivered(self) -> None:
        """
        Readers would find it, so live subscribers see it too: before anything newer, and once, however often its
        publisher tries again.
        """
        await self.stored(draft("a"))
        self.faults.after["COMMIT"] = sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)
        batch = [draft("b", label="1"), draft("c", "other", label="2"), draft("d", label="3")]
        await self.assertFailure(self.history.append(batch), HistoryUnavailable)
        self.faults.after.clear()
        self.flushLoggedErrors(sqlite3.Error)
        self.assertEqual(self.receiver.texts(), ["a"])
        self.assertEqual(await self.everything(), ["a"])
        await self.heal()
        self.assertEqual(self.receiver.texts(), ["a", "b", "d"])
        self.assertEqual(self.receiver.positions(), [1, 2, 3, 4])
        self.assertEqual(self.history.head, 4)
        again = await self.stored(*batch, draft("e"))
        self.assertEqual((list(again.positions), list(again.repeated)), ([2, 3, 4, 5], [0, 1, 2]))
        self.assertEqual(await self.everything(), ["a", "b", "d", "e"])
        self.assertEqual(self.receiver.texts(), ["a", "b", "d", "e"])

    async def test_what_a_failed_commit_did_not_leave_behind_is_stored_by_trying_again(self) -> None:
        """
        The other outcome: its label is free, and its position may be another event's.
        """
        await self.fail_with(sqlite3.SQLITE_FULL, "INSERT INTO bundles", draft("b", label="1"))
        await self.heal()
        again = await self.stored(draft("b", label="1"))
        self.assertEqual(list(again.repeated), [])
        self.assertEqual(await self.everything(), ["b"])
        self.assertEqual(self.receiver.texts(), ["b"])

    async def test_probing_backs_off(self) -> None:
        """
        A disk that stays full is asked less and less often, and at last every 8 seconds.
        """
        await self.fail_with(sqlite3.SQLITE_FULL)
        self.faults.before["zeroblob"] = sqlite_error(sqlite3.SQLITE_FULL)
        delays: list[float] = []
        for _ in range(7):
            (delay,) = self.probes()
            delays.append(delay)
            await self.probe_in_vain(delays[-1])
        self.assertEqual(delays, [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0])
        self.flushLoggedErrors(sqlite3.Error)
        self.assertEqual(await self.everything(), [])

    async def test_a_probe_that_finds_room_for_little_is_not_enough(self) -> None:
        """
        It becomes available when a megabyte can be written, not when one page can: else it would flap.
        """
        await self.fail_with(sqlite3.SQLITE_FULL)
        self.faults.executed.clear()
        await self.heal()
        self.assertTrue([sql for _, sql in self.faults.executed if "zeroblob" in sql])

    async def test_lost_acknowledged_events_are_never_papered_over(self) -> None:
        """
        If what was acknowledged is not there after a failure, positions must not be given again under the same epoch.
        """
        await self.stored(draft("a"))
        saved = self.mktemp()
        await self.history.close()
        shutil.copyfile(self.path, saved)
        self.history = self.make_history()
        await self.history.open(self.receiver)
        epoch = self.history.epoch
        await self.stored(draft("b"))
        await self.fail_with(sqlite3.SQLITE_IOERR_FSYNC)
        os.unlink(f"{self.path}-wal")
        shutil.copyfile(saved, self.path)
        await self.probe_in_vain()
        self.assertEqual(len(self.flushLoggedErrors(HistoryLost)), 1)
        self.assertIn("damaged", str(self.history.status.unavailable))
        self.assertEqual(self.probes(), [])
        await self.history.close()
        self.history = self.make_history()
        await self.history.open(self.receiver)
        self.assertNotEqual(self.history.epoch, epoch)

    async def test_a_corrupt_database_is_not_written_to_again(self) -> None:
        """
        Damage does not pass: the state says so, reads name it, and no probe makes it worse.
        """
        await self.stored(draft("a"))
        self.faults.before["topics"] = sqlite_error(sqlite3.SQLITE_CORRUPT)
        await self.assertFailure(self.history.append([draft("b", "new")]), HistoryUnavailable)
        self.assertIn("corrupt", str(self.history.status.unavailable))
        await self.assertFailure(self.history.read_after("lobby", 0, 10, 100), HistoryCorrupt)
        await self.probe_in_vain()
        self.assertIn("damaged", str(self.history.status.unavailable))
        self.assertEqual(self.probes(), [])
        await self.assertFailure(self.history.topics(), HistoryCorrupt)
        self.flushLoggedErrors(sqlite3.Error)

    async def test_a_failing_checkpoint_is_a_failure(self) -> None:
        """
        A disk that takes the log but not the database is noticed before the log has filled it.
        """
        self.faults.before["wal_checkpoint"] = sqlite_error(sqlite3.SQLITE_IOERR_WRITE)
        told = self.receiver.when_told("unavailable")
        big = [draft("x" * 60_000) for _ in range(300)]
        self.assertEqual(len((await self.stored(*big)).positions), 300)
        await told
        self.faults.before.clear()
        self.flushLoggedErrors(sqlite3.Error)
        await self.heal()
        self.assertEqual((await self.history.topic("lobby")).head, 300)

    async def test_a_failing_retention_is_a_failure(self) -> None:
        """
        A disk from which nothing can be removed is as full as one to which nothing can be added.
        """
        await self.stored(draft("a"))
        self.now = 30 * 86_400
        self.faults.before["DELETE"] = sqlite_error(sqlite3.SQLITE_IOERR_WRITE)
        told = self.receiver.when_told("unavailable")
        self.clock.advance(1)
        await told
        self.flushLoggedErrors(sqlite3.Error)

    async def test_a_file_that_was_deleted_is_noticed(self) -> None:
        """
        A file without a name takes everything and keeps nothing; when it is put back, all goes on.
        """
        await self.stored(draft("a"))
        saved = self.mktemp()
        os.rename(self.path, saved)
        told = self.receiver.when_told(
            "unavailable: the history cannot take it now: its file is not the one that it was"
        )
        self.clock.advance(1)
        await told
        await self.probe_in_vain()
        os.rename(saved, self.path)
        self.flushLoggedErrors(sqlite3.Error, HistoryLost)
        await self.heal()
        await self.stored(draft("b"))
        self.assertEqual(await self.everything(), ["a", "b"])

    async def test_a_bug_costs_one_commit(self) -> None:
        """
        Whatever is raised in the writer's thread is logged, and does not end it.
        """
        self.faults.before["INSERT INTO bundles"] = ZeroDivisionError()
        await self.assertFailure(self.history.append([draft("a")]), HistoryUnavailable)
        self.faults.before.clear()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        await self.heal()
        await self.stored(draft("b"))
        self.assertEqual(await self.everything(), ["b"])

    async def test_a_bug_in_the_writer_itself(self) -> None:
        """
        The writer's thread does not end before it is told to, or nobody would ever be answered again.
        """
        told = self.receiver.when_told("unavailable")
        self.patch(self.history._writer, "_commit", lambda: 1 / 0)
        append = self.history.append([draft("a")])
        await told
        await self.assertFailure(append, HistoryUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        del self.history._writer._commit
        await self.heal()
        await self.stored(draft("b"))
        self.assertEqual(await self.everything(), ["b"])

    async def test_closing_while_failed(self) -> None:
        """
        A server can be stopped while its disk is full; what was acknowledged is there when it starts again.
        """
        await self.stored(draft("a"))
        await self.fail_with(sqlite3.SQLITE_FULL)
        await self.history.close()
        self.history = self.make_history()
        await self.history.open(self.receiver)
        self.assertEqual(await self.everything(), ["a"])

    async def test_a_failure_while_closing(self) -> None:
        """
        If the last commit fails, its publishers are told, and the history is closed all the same.
        """
        self.faults.before["INSERT INTO bundles"] = sqlite_error(sqlite3.SQLITE_FULL)
        append = self.history.append([draft("a")])
        closed = self.history.close()
        await self.assertFailure(append, HistoryUnavailable)
        await closed
        self.flushLoggedErrors(sqlite3.Error)
