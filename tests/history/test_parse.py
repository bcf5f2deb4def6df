"""
Tests for :mod:`echochat.history.parse`.
"""

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase

from echochat.history import UnknownHistory, from_string
from echochat.history.memory import MemoryHistory
from echochat.history.sqlite.history import SQLiteHistory


class FromStringTests(SynchronousTestCase):
    """
    An operator names a history in one word, or is told what to write.
    """

    def test_memory(self) -> None:
        """
        ``memory:`` is the in-memory history.
        """
        self.assertIsInstance(from_string("memory:", reactor), MemoryHistory)

    def test_sqlite(self) -> None:
        """
        ``sqlite:PATH`` is the durable one, and its path means the same wherever the server goes on to work.
        """
        self.assertIsInstance(from_string("sqlite:some/file", reactor), SQLiteHistory)

    def test_memory_takes_no_path(self) -> None:
        """
        Who gives a path wants events to be kept, and is told that they would not be.
        """
        self.assertRaises(UnknownHistory, from_string, "memory:/some/file", reactor)

    def test_replicas_are_brokers(self) -> None:
        """
        Who asks for replicas where nobody keeps any is told so, and does not rely on them.
        """
        for kind in ("sqlite:some/file", "memory:"):
            error = self.assertRaises(UnknownHistory, from_string, kind, reactor, replicas=3)
            self.assertIn("3 replicas are for brokers to keep", str(error))

    def test_anything_else_names_what_there_is(self) -> None:
        """
        A mistake is answered with one line that helps.
        """
        for mistake in ("", "memory", "redis://localhost", ":", "/var/lib/x.sqlite3", "sqlite:", "sqlite"):
            error = self.assertRaises(UnknownHistory, from_string, mistake, reactor)
            self.assertIn("write 'sqlite:PATH'", str(error))
            self.assertNotIn("\n", str(error))
