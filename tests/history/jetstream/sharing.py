"""
Histories of several servers on one stream, for tests.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from echochat.broker import Broker, parse_address
from echochat.history import Draft, HistoryUnavailable, Retention, Stored
from echochat.history.jetstream.api import Json, ask
from echochat.history.jetstream.history import JetStreamHistory
from echochat.history.jetstream.settings import Settings
from tests.broker.nats import Nats
from tests.history.doubles import Recorder
from tests.processes import DEADLINE

reactor: Any = _reactor

_DOCUMENTATION = Path(__file__).parents[3] / "docs" / "history.rst"


def documented_permissions() -> str:
    """
    What the servers' user may do at the broker, as the documentation has it.
    """
    block = _DOCUMENTATION.read_text().partition("    permissions {")[2].partition("    }\n")[0]
    return f"permissions {{{block}}}"


def user_with(permissions: str) -> str:
    """
    Settings of a broker, for whom everybody is one user who may do this.
    """
    return f"authorization {{ users: [ {{ user: me, password: me, {permissions} }} ] }}\nno_auth_user: me"


class Server:
    """
    A history and who is told by it.
    """

    def __init__(self, test: TestCase, nats: Nats, settings: Settings) -> None:
        self.broker = Broker(reactor, parse_address(nats.address))
        self.history = JetStreamHistory(reactor, self.broker, settings)
        self.receiver = Recorder()
        test.addCleanup(self.history.close)

    async def open(self, *topics: str) -> "Server":
        await self.history.open(self.receiver)
        for topic in topics:
            await self.history.follow(topic)
        return self

    def when(self, told: str) -> Deferred[None]:
        """
        :return: fires the next time that the history says something that begins so.
        """
        return self.receiver.when_told(told).addTimeout(DEADLINE, reactor)

    async def publish(self, *drafts: Draft) -> Stored:
        """
        As a publisher does that tries again until it is acknowledged; all drafts need labels.
        """
        while True:
            try:
                stored = await self.history.append(drafts)
            except HistoryUnavailable:
                await deferLater(reactor, 0.05)
                continue
            if not stored.refused:
                return stored

    async def until(self, arrived: int) -> None:
        """
        Wait for so many events.
        """
        if len(self.receiver.events) >= arrived:
            return
        there: Deferred[None] = Deferred()

        def look() -> None:
            if len(self.receiver.events) >= arrived and not there.called:
                there.callback(None)

        self.receiver.on_arrived = look
        await there.addTimeout(DEADLINE, reactor)

    async def api(self, what: str, request: Json | None = None) -> Json:
        """
        Ask JetStream, as an operator.
        """
        return await ask(self.broker, what, request)

    async def consumers(self) -> list[str]:
        """
        Those that the stream has.
        """
        names = (await self.api("CONSUMER.NAMES.echochat"))["consumers"]
        return sorted(names or [])


class SharedCase(TestCase):
    """
    A broker, and servers to be made.
    """

    timeout = 120
    settings = Settings(retention=Retention())

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        self.nats = await Nats(self).start()

    async def server(self, *topics: str, retention: Retention | None = None) -> Server:
        settings = self.settings if retention is None else replace(self.settings, retention=retention)
        return await Server(self, self.nats, settings).open(*topics)

    def assert_once_and_in_order(self, server: Server) -> None:
        """
        Every event that a server was given came once, in the order of the log.
        """
        positions = server.receiver.positions()
        self.assertEqual(positions, sorted(set(positions)))
