"""
The history over disks that really fail.
"""

import os
import shutil
import subprocess

from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from echochat.history import HistoryUnavailable
from echochat.history.sqlite.history import SQLiteHistory
from echochat.history.sqlite.settings import Settings
from tests.history.doubles import Recorder, draft, read_everything, texts, when_probed_in_vain
from tests.history.ordeal import Ordeal

MEGABYTE = 1 << 20


class FullDiskTests(TestCase):
    """
    A disk without room: a file system of a few megabytes, which only root can mount.
    """

    timeout = 30

    def setUp(self) -> None:
        self.directory = os.path.realpath(self.mktemp())
        os.mkdir(self.directory)
        if os.geteuid() != 0 or not shutil.which("mount"):
            raise SkipTest("only root can mount a small file system")
        command = ["mount", "-t", "tmpfs", "-o", f"size={16 * MEGABYTE}", "tmpfs", self.directory]
        mounted = subprocess.run(command, capture_output=True, check=False)
        if mounted.returncode:
            raise SkipTest(f"no small file system can be mounted here: {mounted.stderr.decode().strip()}")
        self.addCleanup(subprocess.run, ["umount", self.directory], check=True)

    async def test_full_and_free_again(self) -> None:
        """
        Publishers are told that the disk is full, reading goes on; when there is room again, so does everything, with
        all that was acknowledged.
        """
        clock = Clock()
        receiver = Recorder()
        settings = Settings(os.path.join(self.directory, "history"))
        history = SQLiteHistory(reactor, settings, clock)
        await history.open(receiver)
        self.addCleanup(history.close)
        ballast = os.path.join(self.directory, "ballast")
        with open(ballast, "wb") as file:
            file.write(
                bytes(10 * MEGABYTE)
            )  # when it goes, there must be room for the log and its copy in the database
        acknowledged: list[str] = []
        try:
            while True:
                batch = [draft(f"{len(acknowledged) + n} {'x' * 1_000}") for n in range(200)]
                await history.append(batch)
                acknowledged.extend(a_draft.text for a_draft in batch)
        except HistoryUnavailable as error:
            self.assertIn("the disk is full", str(error))
        self.flushLoggedErrors()
        self.assertGreater(len(acknowledged), 0)
        tried = when_probed_in_vain(history)
        clock.advance(60)
        await tried
        await self.check_contents(history, acknowledged)
        self.assertIsNotNone(history.status.unavailable)
        self.flushLoggedErrors()

        os.unlink(ballast)
        available = receiver.when_told("available")
        clock.advance(60)
        await available
        await history.append([draft("after")])
        await self.check_contents(history, [*acknowledged, "after"])
        self.assertEqual(receiver.texts(), [*acknowledged, "after"])

    async def check_contents(self, history: SQLiteHistory, expected: list[str]) -> None:
        pages = await read_everything(history, "lobby")
        self.assertEqual([text for page in pages for text in texts(page)], expected)


class FailingSyncTests(SynchronousTestCase):
    """
    A disk whose sync fails: system calls of a real process are made to, by strace.
    """

    def test_recovers_from_failing_syncs(self) -> None:
        """
        After syncs have failed with EIO, the process says that it is unavailable, recovers by itself, and nothing that
        it acknowledged before or afterwards is missing, doubled or out of order.
        """
        strace = shutil.which("strace")
        if strace is None:
            raise SkipTest("strace is not installed")
        ordeal = Ordeal(os.path.realpath(self.mktemp()))
        # From the 30th sync of a thread on, which is the writer's, three in a row.
        inject = "inject=fsync,fdatasync:error=EIO:when=30..32"
        log = os.path.realpath(self.mktemp())
        options = ["-f", "-qq", "-o", log, "-e", "trace=fsync,fdatasync", "-e", inject]
        victim = ordeal.start(strace, *options)
        if not victim.until("open"):
            victim.stop()
            with open(log) as file:
                raise SkipTest(f"strace cannot be used here: {file.read()[:200]}")
        self.assertIn("the disk reported an error", victim.until("unavailable"))
        before = len(ordeal.acknowledged)
        self.assertTrue(victim.until("available"))
        self.assertTrue(victim.until("acked", 50))
        self.assertEqual(victim.stop(), 0)
        with open(log) as file:
            self.assertIn("EIO", file.read())
        self.assertGreater(len(ordeal.acknowledged), before)
        self.assertEqual(ordeal.verdict(), [])


class SecondProcessTests(SynchronousTestCase):
    """
    One file has one writing process.
    """

    def test_the_second_is_refused_and_the_first_not_disturbed(self) -> None:
        """
        It is told which process has the history, which goes on appending; when that one is killed, it may have it.
        """
        ordeal = Ordeal(os.path.realpath(self.mktemp()))
        first = ordeal.start()
        first.until("acked")
        second = ordeal.start()
        refused = second.until("refused")
        self.assertIn(f"in use by process {first.process.pid}", refused)
        second.stop()
        told = max(ordeal.stored()[0])  # what it says up to there may have waited in the pipe since before
        while max(ordeal.acknowledged) <= told:
            self.assertTrue(first.until("acked"))
        first.kill()
        third = ordeal.start()
        self.assertTrue(third.until("open"))
        third.stop()
        self.assertEqual(ordeal.verdict(), [])
