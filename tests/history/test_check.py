"""
Tests for :mod:`echochat.history.sqlite.check`.
"""

import os
import sqlite3

from twisted.trial.unittest import SynchronousTestCase

from echochat.history import HistoryRefused
from echochat.history.sqlite.check import MAX_PROBLEMS, check
from echochat.history.sqlite.schema import create
from echochat.history.sqlite.settings import Settings
from echochat.history.sqlite.store import Store
from tests.history.doubles import draft


class CheckTests(SynchronousTestCase):
    """
    ``echochat history check`` finds what is wrong, and nothing where nothing is.
    """

    def setUp(self) -> None:
        self.path = os.path.realpath(self.mktemp())
        create(self.path)
        self.store = Store(Settings(self.path))
        for n in range(1, 201):
            self.store.commit([draft(f"event {n}", f"t{n % 5}")], range(n, n + 1), {f"alice t{n % 5} {n}": n})
        self.store.close()

    def damage(self, statement: str) -> None:
        database = sqlite3.connect(self.path)
        database.execute(statement)
        database.commit()
        database.close()

    def problem(self, *expected: str) -> None:
        """
        One is found, and says all of this.
        """
        (problem,) = check(self.path).problems
        for piece in expected:
            self.assertIn(piece, problem)

    def test_a_sound_history(self) -> None:
        """
        It tells what there is.
        """
        report = check(self.path)
        self.assertEqual(report.problems, [])
        self.assertEqual((report.topics, report.bundles, report.events, report.labels), (5, 200, 200, 200))
        self.assertEqual((report.head, report.schema, report.epoch), (200, 1, self.store.epoch))
        self.assertEqual(report.size, os.path.getsize(self.path))

    def test_progress(self) -> None:
        """
        A long check can show how far it is.
        """
        seen: list[tuple[int, int]] = []
        check(self.path, lambda done, total: seen.append((done, total)))
        self.assertEqual(seen[-1], (200, 200))

    def test_while_it_is_being_written(self) -> None:
        """
        The server need not be stopped.
        """
        store = Store(Settings(self.path))
        store.commit([draft("new")], range(201, 202), {})
        self.assertEqual(check(self.path).problems, [])
        self.assertEqual(check(self.path).events, 201)
        store.close()

    def test_a_flipped_bit_in_a_text(self) -> None:
        """
        The topic and the positions are named.
        """
        with open(self.path, "r+b") as file:
            place = file.read().index(b"event 77")
            file.seek(place)
            file.write(b"eVent 77")
        self.problem("t2", "up to 77", "checksum")

    def test_events_that_are_missing(self) -> None:
        """
        A hole that retention did not make.
        """
        self.damage("DELETE FROM bundles WHERE last = 100")
        self.problem("t0", "up to 105", "what comes before ends at 95")

    def test_a_wrong_count(self) -> None:
        """
        A floor that does not fit to what follows.
        """
        self.damage("UPDATE topics SET floor_number = 3 WHERE name = 't4'")
        self.problem("t4", "0 events should come before, and 3 do")

    def test_events_of_no_topic(self) -> None:
        """
        Rows that cannot be reached by any name.
        """
        self.damage("UPDATE bundles SET topic = 99 WHERE last = 200")
        self.problem("1 of 200 bundles", "no topic")

    def test_damaged_labels(self) -> None:
        """
        A row of the dedupe window.
        """
        self.damage("UPDATE labels SET keys = '{}' WHERE id = 9")
        self.problem("labels, row 9")

    def test_values_of_another_type(self) -> None:
        """
        Whatever is in a column, the check names it, and goes on with the next row where it can.
        """
        with open(self.path, "rb") as file:
            sound = file.read()
        for statement, *expected in (
            ("bundles SET count = 'zz' WHERE last = 196", "t1, events up to 196: the row has something else"),
            ("bundles SET body = 7 WHERE last = 196", "t1, events up to 196: the row has something else"),
            ("bundles SET number = 'zz' WHERE last = 191", "t1, events up to 191: the row has", "and b'zz' do"),
            ("bundles SET previous = 'zz' WHERE last = 196", "what comes before ends at 191", "its checksum is wrong"),
            ("topics SET floor = 'zz' WHERE name = 't4'", "what comes before ends at b'zz'", "the rest cannot be read"),
        ):
            with open(self.path, "wb") as file:
                file.write(sound)
            self.damage(f"UPDATE {statement}")
            problems = check(self.path).problems
            self.assertEqual(len(problems), len(expected), problems)
            for problem, piece in zip(problems, expected, strict=True):
                self.assertIn(piece, problem)

    def test_damaged_structure(self) -> None:
        """
        What SQLite's own check finds is listed, and the rest is checked as far as it goes; never without an end.
        """
        with open(self.path, "r+b") as file:
            for page in range(8, 16):
                file.seek(page * 4096)
                file.write(b"\xff" * 4096)
        problems = check(self.path).problems
        self.assertTrue(problems)
        self.assertLessEqual(len(problems), MAX_PROBLEMS)

    def test_what_is_not_a_history(self) -> None:
        """
        Is refused in one sentence each.
        """
        self.assertIn("does not exist", str(self.assertRaises(HistoryRefused, check, self.mktemp())))
        other = self.mktemp()
        with open(other, "wb") as file:
            file.write(b"something else" * 1_000)
        self.assertIn("corrupt", str(self.assertRaises(HistoryRefused, check, other)))
        self.damage("PRAGMA user_version = 99")
        self.assertIn("schema 99", str(self.assertRaises(HistoryRefused, check, self.path)))
        self.damage("PRAGMA application_id = 1")
        self.assertIn("not a history", str(self.assertRaises(HistoryRefused, check, self.path)))
