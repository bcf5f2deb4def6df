"""
Tests for :mod:`echochat.history.parse`.
"""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echochat.history import UnknownHistory, from_string
from echochat.history.memory import MemoryHistory


class FromStringTests(SynchronousTestCase):
    """
    An operator names a history in one word, or is told what to write.
    """

    def test_memory(self) -> None:
        """
        ``memory:`` is the in-memory history.
        """
        self.assertIsInstance(from_string("memory:", Clock()), MemoryHistory)

    def test_anything_else_names_what_there_is(self) -> None:
        """
        A mistake is answered with one line that helps.
        """
        for mistake in ("", "memory", "memory:/tmp/x", "redis://localhost", ":", "/var/lib/x.sqlite3"):
            error = self.assertRaises(UnknownHistory, from_string, mistake, Clock())
            self.assertIn("write 'memory:'", str(error))
            self.assertNotIn("\n", str(error))
