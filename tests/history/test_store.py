"""
Tests for :mod:`echochat.history.sqlite.store`, :mod:`echochat.history.sqlite.topics` and
:mod:`echochat.history.sqlite.statements`.
"""

import os
import sqlite3
from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from echochat.history.sqlite import topics
from echochat.history.sqlite.check import check
from echochat.history.sqlite.schema import create
from echochat.history.sqlite.settings import Settings
from echochat.history.sqlite.statements import by_topic, inserts
from echochat.history.sqlite.store import Store
from tests.history.doubles import draft
from tests.history.faulty import Faults


class StoreTests(SynchronousTestCase):
    """
    What is committed is there, in as few calls as possible.
    """

    def setUp(self) -> None:
        self.path = os.path.realpath(self.mktemp())
        self.faults = Faults()
        create(self.path)
        self.store = Store(Settings(self.path, connection=self.faults.connection()))
        self.addCleanup(self.store.abandon)

    def commit(self, *of: tuple[str, str], labels: dict[str, int] | None = None) -> None:
        drafts = [draft(text, topic) for topic, text in of]
        head = self.store.head
        self.store.commit(drafts, range(head + 1, head + 1 + len(drafts)), labels or {})

    def statements(self) -> list[str]:
        """
        :return: the first words of what was executed since the last call.
        """
        executed = [sql.split(" VALUES")[0] for _, sql in self.faults.executed]
        self.faults.executed.clear()
        return executed

    def test_a_commit_is_one_call(self) -> None:
        """
        Each call may have to wait for Python's lock, so a thousand events of a known topic are one statement, which is
        a transaction of its own.
        """
        self.commit(("t", "first"))
        self.statements()
        self.commit(*[("t", str(n)) for n in range(1_000)])
        self.assertEqual(self.statements(), ["INSERT INTO bundles"])
        self.commit(("t", "x"), labels={"alice t x": 1_002})
        self.assertEqual(self.statements(), ["BEGIN IMMEDIATE", "INSERT INTO bundles", "INSERT INTO labels", "COMMIT"])

    def test_more_topics_than_are_known(self) -> None:
        """
        What is known of topics is bounded, and read again where it was forgotten: nothing breaks the chain.
        """
        self.patch(topics, "MAX_KNOWN", 10)
        for n in range(60):
            self.commit(*[(f"t{(n * 7 + i) % 33}", "x") for i in range(4)])
        self.store.close()
        report = check(self.path)
        self.assertEqual((report.problems, report.topics, report.events), ([], 33, 240))

    def test_the_log_is_emptied_when_it_is_closed(self) -> None:
        """
        A history that was closed is one file.
        """
        self.commit(("t", "x"))
        self.store.close()
        self.assertFalse(os.path.exists(f"{self.path}-wal"))

    def test_the_log_survives_being_abandoned(self) -> None:
        """
        After a failure nothing is written any more, not even by closing: the log is left for the recovery to verify.
        """
        self.commit(("t", "x"))
        with open(f"{self.path}-wal", "rb") as file:
            log = file.read()
        with open(self.path, "rb") as file:
            database = file.read()
        self.store.abandon()
        self.assertEqual(self.faults.closed, self.faults.opened)
        with open(f"{self.path}-wal", "rb") as file:
            self.assertEqual(file.read(), log)
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), database)

    def test_another_programs_reading_delays_the_checkpoint(self) -> None:
        """
        It does not stop the server, and what it prevented is done when it has ended.
        """
        self.commit(("t", "x"))
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN")
        other.execute("SELECT * FROM bundles").fetchone()
        self.commit(("t", "y"))
        self.assertFalse(self.store.checkpoint())
        self.commit(("t", "z"))
        other.execute("COMMIT")
        self.assertTrue(self.store.checkpoint())

    def test_how_long_the_log_is_said_to_be(self) -> None:
        """
        The estimate is right to a factor of three once it was compared, with few topics or many.
        """
        for count in (1, 500):
            for _ in range(3):
                self.store.checkpoint("TRUNCATE")
                for n in range(20):
                    self.commit(*[(f"t{i}", f"{n} {'x' * 50}") for i in range(count)])
                said, length = self.store.log_bytes, os.path.getsize(f"{self.path}-wal")
                self.store.checkpoint()
            self.assertLess(said, 3 * length)
            self.assertGreater(said, length / 3)


class StatementTests(SynchronousTestCase):
    """
    Rows are put into few statements of few sizes.
    """

    def sizes(self, rows: Sequence[tuple[int, int]]) -> list[int]:
        statements = list(inserts("INSERT INTO x", rows))
        self.assertEqual(
            [value for _, values in statements for value in values], [value for row in rows for value in row]
        )
        for sql, values in statements:
            self.assertEqual(sql.count("(?,?)") * 2, len(values))
        return [len(values) // 2 for _, values in statements]

    def test_sizes(self) -> None:
        """
        Every row is in one of them, and none has more than SQLite allows.
        """
        self.assertEqual(self.sizes([]), [])
        self.assertEqual(self.sizes([(n, n) for n in range(100)]), [100])
        self.assertEqual(self.sizes([(n, n) for n in range(1_000)]), [512, 256, 128, 104])
        self.assertEqual(self.sizes([(n, n) for n in range(5_000)]), [2048, 2048, 512, 256, 128, 8])

    def test_by_topic(self) -> None:
        """
        Each topic has its drafts and their positions, in order.
        """
        drafts = [draft(str(n), f"t{n % 2}") for n in range(5)]
        self.assertEqual(
            {topic: (list(p), [d.text for d in ds]) for topic, (p, ds) in by_topic(drafts, range(10, 15)).items()},
            {"t0": ([10, 12, 14], ["0", "2", "4"]), "t1": ([11, 13], ["1", "3"])},
        )
