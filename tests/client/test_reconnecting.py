"""
The reconnecting client as a whole: names, credentials, its end, and a real server that is killed.
"""

import os
import signal

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IReactorTime
from twisted.trial.unittest import TestCase

from echochat.client.credentials import login, token
from echochat.client.keeper import Connected, Reconnecting, Status, Stopped
from echochat.client.outcomes import Disconnected, Refused
from echochat.client.reconnecting import Closed, ReconnectingClient
from echochat.client.subscription import Subscription
from echochat.wire.answers import Event
from tests.client.in_memory import ReconnectingTestCase
from tests.processes import start_server


class NameTests(ReconnectingTestCase):
    """
    A change of name does no publish twice.
    """

    def published(self) -> str:
        """
        The label of the one publish that the server hears.
        """
        (line,) = self.server.hears()
        return line.split(" ")[0].removeprefix("/pub#")

    def test_rename(self) -> None:
        """
        The new name is asked for when everything under the old one is acknowledged, and new publishes wait for it.
        """
        self.let_in()
        self.client.publish("lobby", "old").addErrback(lambda _: None)
        label = self.published()
        renaming = Deferred.fromCoroutine(self.client.rename("alice"))
        new = self.client.publish("lobby", "new")
        self.assertEqual(self.server.hears(), [])
        self.server.says(f"/ok#{label} pub lobby 1")
        self.assertEqual(self.server.hears(), ["/nick alice"])
        self.server.says("/ok nick alice")
        self.successResultOf(renaming)
        self.assertEqual(self.client.name, "alice")
        self.published()
        new.addErrback(lambda _: None)

    def test_rename_over_a_lost_connection(self) -> None:
        """
        What is uncertain is settled under the old name first, on whatever connection.
        """
        self.let_in()
        self.client.publish("lobby", "old").addErrback(lambda _: None)
        label = self.published()
        renaming = Deferred.fromCoroutine(self.client.rename("alice"))
        self.drop()
        self.let_in("guest-2", kept="guest-1")
        self.assertEqual(self.published(), label)
        self.server.says(f"/ok#{label} pub lobby 1")
        self.assertEqual(self.server.hears(), ["/nick alice"])
        self.server.says("/ok nick alice")
        self.successResultOf(renaming)

    def test_refused(self) -> None:
        """
        A name that cannot be had changes nothing, and publishing goes on.
        """
        self.let_in()
        renaming = Deferred.fromCoroutine(self.client.rename("alice"))
        self.server.hears()
        self.server.says("/err name-taken somebody has that name")
        self.failureResultOf(renaming, Refused)
        self.assertEqual(self.client.name, "guest-1")
        self.client.publish("lobby", "x").addErrback(lambda _: None)
        self.published()


class CredentialsTests(ReconnectingTestCase):
    """
    Being more than a guest.
    """

    def test_secrets_are_not_shown(self) -> None:
        """
        No representation has a secret in it.
        """
        self.assertNotIn("swordfish", repr(login("alice", "swordfish")))
        self.assertNotIn("eyJ", repr(token("eyJhbGci")))

    def test_token(self) -> None:
        """
        A token is shown on each connection.
        """
        self.let_in()
        signing_in = Deferred.fromCoroutine(self.client.sign_in(token("eyJ")))
        self.assertEqual(self.server.hears(), ["/token eyJ"])
        self.server.says("/ok token alice")
        self.assertEqual(self.successResultOf(signing_in), "alice")
        self.drop()
        self.server.accept()
        self.server.says("/ok whoami guest-2 guest")
        self.assertEqual(self.server.hears(), ["/whoami", "/token eyJ"])
        self.server.says("/ok token alice")
        self.assertEqual(self.statuses[-1], Connected("alice"))

    def test_not_accepted_any_more(self) -> None:
        """
        When the server does not accept them any more, it is of no use to try again.
        """
        self.let_in()
        signing_in = Deferred.fromCoroutine(self.client.sign_in(login("alice", "secret")))
        self.server.says("/ok login alice")
        self.successResultOf(signing_in)
        self.drop()
        self.server.accept()
        self.server.says("/ok whoami guest-2 guest", "/err login-failed the name or the secret is wrong")
        self.server.breaks()
        self.failureResultOf(self.client.connected(), Stopped)

    def test_waiting_for_a_login(self) -> None:
        """
        A server that lets one wait before the next login is tried again later.
        """
        self.let_in()
        signing_in = Deferred.fromCoroutine(self.client.sign_in(login("alice", "secret")))
        self.server.says("/ok login alice")
        self.successResultOf(signing_in)
        self.drop()
        self.server.accept()
        self.server.says("/ok whoami guest-2 guest", "/err slow-down in 2 s")
        self.server.breaks()
        self.clock.advance(0.2)
        self.assertEqual(len(self.endpoint.attempts), 3)


class EndTests(ReconnectingTestCase):
    """
    Closing ends everything that waits.
    """

    def test_waiting_for_a_connection(self) -> None:
        """
        What waits for a connection fails, and no further attempt is made.
        """
        waiting = Deferred.fromCoroutine(self.client.command("ping"))
        self.end()
        self.failureResultOf(waiting, Closed)
        self.clock.advance(100.0)
        self.assertEqual(len(self.endpoint.attempts), 1)
        self.assertRaises(Closed, self.client.subscribe, "lobby")

    def test_between_two_attempts(self) -> None:
        """
        The same while it waits for the next attempt.
        """
        self.server.refuse()
        self.end()
        self.clock.advance(100.0)
        self.assertEqual(len(self.endpoint.attempts), 1)

    def test_while_signing_in(self) -> None:
        """
        A connection that is not ready for use is left at once.
        """
        self.server.accept()
        self.end()
        self.assertTrue(self.server.transport.aborted)

    def test_no_news_of_it(self) -> None:
        """
        That the connection ends is no news then.
        """
        self.let_in()
        self.end()
        self.assertFalse([status for status in self.statuses if isinstance(status, Reconnecting)])

    def test_command_is_not_repeated(self) -> None:
        """
        A command is sent once: its caller is told that the connection ended.
        """
        self.let_in()
        asked = Deferred.fromCoroutine(self.client.command("nick", "x"))
        self.drop()
        self.failureResultOf(asked, Disconnected)
        self.let_in("guest-2", kept="guest-1")
        self.assertEqual(self.server.hears(), [])


class KilledServerTests(TestCase):
    """
    A real server that is killed, and comes back with the same history.
    """

    async def test_nothing_lost_nothing_twice(self) -> None:
        """
        Whatever is published while the server is killed again and again is acknowledged in the end, and a subscriber
        sees each text exactly once and in the order of the positions.
        """
        directory = os.path.abspath(self.mktemp())
        options = ("--history", f"sqlite:{directory}.sqlite3")
        server = start_server(self, *options)
        port = await server.port()
        publisher, subscriber = self.client(port), self.client(port)
        await publisher.start()
        await subscriber.start()
        following = subscriber.subscribe("lobby", after=0)
        positions: dict[int, str] = {}

        def note(position: int, text: str) -> None:
            positions[position] = text

        for kill in range(2):
            acknowledged = [
                publisher.publish("lobby", text).addCallback(note, text)
                for text in (f"{kill}.{number}" for number in range(300))
            ]
            await acknowledged[20 + kill * 100]
            self.assertEqual(await server.stop(signal.SIGKILL), -signal.SIGKILL)
            server = start_server(self, *options, "--listen", f"tcp:{port}:interface=127.0.0.1")
            for each in acknowledged:
                await each
        self.assertEqual(len(positions), 600)
        seen = await self.take(following, 600)
        self.assertEqual([event.text for event in seen], [positions[position] for position in sorted(positions)])
        self.assertEqual(following.repeated, 0)
        self.assertIsInstance(self.statuses[-1], Connected)

    def client(self, port: int) -> ReconnectingClient:
        self.statuses: list[Status] = []
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        client = ReconnectingClient(endpoint, IReactorTime(reactor), on_status=self.statuses.append)
        self.addCleanup(lambda: Deferred.fromCoroutine(client.close()))
        return client

    async def take(self, following: Subscription, number: int) -> list[Event]:
        events: list[Event] = []
        async for delivery in following:
            assert isinstance(delivery, Event), delivery
            events.append(delivery)
            if len(events) == number:
                break
        return events
