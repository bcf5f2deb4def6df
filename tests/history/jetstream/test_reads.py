"""
Tests for :mod:`echochat.history.jetstream.reads`.
"""

from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echochat.history.errors import HistoryUnavailable
from echochat.history.jetstream import reads
from echochat.history.jetstream.reads import AT_ONCE, Reads
from echochat.history.records import Page, Status, TopicState

PAGE = Page([], True, 0)


class BehindReader:
    """
    Reads from a broker that does not have everything yet.

    :ivar behind: for so many questions more.
    """

    def __init__(self, behind: int) -> None:
        self.behind = behind

    async def after(self, *_: object) -> Page | None:
        self.behind -= 1
        return None if self.behind >= 0 else PAGE

    async def topic(self, topic: str) -> TopicState:
        return TopicState(topic, 7, 0)


class BehindTests(SynchronousTestCase):
    """
    A replica that is behind the others is asked again, and keeps nobody else waiting.
    """

    def setUp(self) -> None:
        self.clock = Clock()

    def reads(self, behind: int) -> Reads:
        broker = cast(Any, None)
        made = Reads(broker, "log", cast(Any, None), self.clock, lambda: True, Status())
        self.patch(made, "_reader", BehindReader(behind))
        return made

    def test_asked_again(self) -> None:
        """
        The page comes when the replica has it.
        """
        page = self.reads(2).after("lobby", 3, 10, 1000)
        self.clock.advance(reads._PAUSE)
        self.assertNoResult(page)
        self.clock.advance(reads._PAUSE)
        self.assertIs(self.successResultOf(page), PAGE)

    def test_not_for_ever(self) -> None:
        """
        When it does not come, that is told.
        """
        page = self.reads(1_000_000).after("lobby", 3, 10, 1000)
        self.clock.pump([reads._PAUSE] * reads._TRIES)
        self.failureResultOf(page, HistoryUnavailable)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_others_are_served_meanwhile(self) -> None:
        """
        Those who wait for a replica have no turn.
        """
        made = self.reads(1_000_000)
        pages = [made.after("lobby", 3, 10, 1000) for _ in range(2 * AT_ONCE)]
        self.assertEqual(self.successResultOf(made.topic("lobby")).head, 7)
        for page in pages:
            page.cancel()
            self.failureResultOf(page)
        self.assertEqual(self.clock.getDelayedCalls(), [])
