"""
Tests for :mod:`echochat.history.sqlite.history`.
"""

import os

from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from echochat.history import Deduplication, IHistory, Retention
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
        self.clock = Clock()
        await super().setUp()

    def make_history(self, deduplication: Deduplication) -> IHistory:
        retention = Retention(events=self.kept)
        settings = Settings(self.path, retention, deduplication, monotonic=lambda: self.seconds)
        return SQLiteHistory(reactor, settings, self.clock)

    async def let_retention_work(self) -> None:
        self.clock.advance(1)
        while (await self.history.topic("t1")).head - (await self.history.topic("t1")).floor > 2 * (self.kept + 256):
            pass

    def pass_time(self, seconds: float) -> None:
        self.seconds += seconds
