"""
Tests for :mod:`echochat.history.sqlite.history`.
"""

import os

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from echochat.history import Deduplication, IHistory
from echochat.history.sqlite.history import SQLiteHistory
from echochat.history.sqlite.settings import Settings
from tests.history.guarantees import DurableHistoryGuarantees


class SQLiteGuaranteesTests(DurableHistoryGuarantees, TestCase):
    """
    The history in SQLite keeps the promises of all histories, and of durable ones.
    """

    seconds = 1_000.0

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        self.path = os.path.realpath(self.mktemp())
        await super().setUp()

    def make_history(self, deduplication: Deduplication) -> IHistory:
        settings = Settings(self.path, deduplication=deduplication, monotonic=lambda: self.seconds)
        return SQLiteHistory(reactor, settings)

    def pass_time(self, seconds: float) -> None:
        self.seconds += seconds
