"""
Keeping a connection, and the name on it.
"""

import math

from twisted.internet.error import ConnectionRefusedError

from echochat.client.core import ProtocolViolation
from echochat.client.keeper import Connected, Reconnecting, Stopped
from echochat.client.outcomes import Disconnected, Moved
from tests.client.in_memory import ReconnectingTestCase


class ConnectingTests(ReconnectingTestCase):
    """
    However often it fails, it is tried again, with longer and longer waits.
    """

    def wait_told(self) -> float:
        """
        The wait of which the client told last.
        """
        told = self.statuses[-1]
        assert isinstance(told, Reconnecting)
        return told.delay

    def test_first_connection(self) -> None:
        """
        The start is over when there is a connection and a name.
        """
        self.assertNoResult(self.started)
        self.let_in("guest-7", kept="guest-7")
        self.successResultOf(self.started)
        self.assertEqual(self.statuses, [Connected("guest-7")])
        self.assertEqual(self.client.name, "guest-7")

    def test_first_attempt_fails(self) -> None:
        """
        Whoever starts is told that nobody is there; the attempts go on all the same.
        """
        self.server.refuse()
        self.failureResultOf(self.started, ConnectionRefusedError)
        self.clock.advance(0.1)
        self.let_in()
        self.assertEqual(self.statuses[-1], Connected("guest-1"))

    def test_no_attempt_limit(self) -> None:
        """
        The waits double up to 20 s, and go on for ever.
        """
        for _ in range(50):
            self.server.refuse()
            wait = self.wait_told()
            self.clock.advance(wait - 0.01)
            attempts = len(self.endpoint.attempts)
            self.clock.advance(0.02)
            self.assertEqual(len(self.endpoint.attempts), attempts + 1)
        delays = [status.delay for status in self.statuses if isinstance(status, Reconnecting)]
        self.assertEqual(delays, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, *[20.0] * 42])
        self.failureResultOf(self.started)

    def test_connecting_takes_too_long(self) -> None:
        """
        An attempt that comes to nothing is given up after ten seconds.
        """
        self.clock.advance(10.0)
        self.assertIsInstance(self.statuses[-1], Reconnecting)
        self.failureResultOf(self.started)
        self.clock.advance(0.1)
        self.assertEqual(len(self.endpoint.attempts), 2)

    def test_steady_connection(self) -> None:
        """
        After a connection that lasted the waits are short again.
        """
        for _ in range(5):
            self.server.refuse()
            self.clock.advance(20.0)
        self.let_in()
        self.clock.advance(1.0)
        self.server.breaks()
        self.assertEqual(self.wait_told(), 0.1)
        self.failureResultOf(self.started)

    def test_connection_that_does_not_last(self) -> None:
        """
        A server that lets everybody in and drops them at once is not hammered.
        """
        for _ in range(10):
            self.let_in(kept="guest-1")
            self.server.breaks()
            self.clock.advance(self.wait_told())
        self.assertEqual(self.wait_told(), 20.0)

    def test_not_an_echochat_server(self) -> None:
        """
        Something else that listens there is left, and told.
        """
        self.server.accept()
        self.server.says("SSH-2.0-OpenSSH")
        self.assertTrue(self.server.transport.aborted)
        self.server.breaks()
        self.assertIn("is it an echochat server?", str(self.failureResultOf(self.started, Disconnected).value))

    def test_silent_server(self) -> None:
        """
        A server that says nothing more is left, and another connection is made.
        """
        self.let_in()
        self.clock.advance(20.0)
        self.assertEqual(self.server.hears(), ["/ping"])
        self.clock.advance(10.0)
        self.assertTrue(self.server.transport.aborted)
        self.drop(0.0)
        self.let_in()

    def test_unreadable_welcome(self) -> None:
        """
        A server whose first answer makes no sense is left, and tried again.
        """
        self.server.accept()
        self.server.says("/ok whoami")
        self.assertTrue(self.server.transport.aborted)
        self.drop(0.0)
        self.let_in()
        self.failureResultOf(self.started)


class NameTests(ReconnectingTestCase):
    """
    The name stays the same, because the server knows publishes by it.
    """

    def test_kept(self) -> None:
        """
        The first name that was given is asked for on every later connection.
        """
        self.let_in("guest-1")
        for given in ("guest-2", "guest-3"):
            self.drop()
            self.let_in(given, kept="guest-1")
            self.assertEqual(self.statuses[-1], Connected("guest-1"))

    def test_still_taken(self) -> None:
        """
        While the server still holds the old connection for alive, the name is asked for again and again; subscriptions
        are live meanwhile, and nothing is published under another name.
        """
        self.let_in("guest-1")
        following = self.client.subscribe("lobby")
        self.confirm(self.server.hears()[0])
        self.drop()
        published = self.client.publish("lobby", "hi")
        self.server.accept()
        self.server.says("/ok whoami guest-2 guest")
        self.assertEqual(self.server.hears()[1:], ["/nick guest-1"])
        self.server.says("/err name-taken somebody has that name")
        self.confirm(self.server.hears()[0])
        for wait in (0.1, 0.2, 0.4):
            self.clock.advance(wait - 0.01)
            self.assertEqual(self.server.hears(), [])
            self.clock.advance(0.02)
            self.assertEqual(self.server.hears(), ["/nick guest-1"])
            if wait < 0.4:
                self.server.says("/err name-taken somebody has that name")
        self.server.says("/event lobby 1 2026-01-02T03:04:05.678Z bob hello")
        self.assertFalse(following.empty)
        self.server.says("/ok nick guest-1")
        (publish,) = self.server.hears()
        self.assertTrue(publish.startswith("/pub#"))
        self.assertNoResult(published)
        published.addErrback(lambda _: None)

    def test_dropped_while_it_is_taken(self) -> None:
        """
        A connection that ends before the name was granted leaves nothing behind.
        """
        self.let_in("guest-1")
        self.drop()
        self.server.accept()
        self.server.says("/ok whoami guest-2 guest", "/err name-taken somebody has that name")
        self.server.breaks()
        # It waits for the next attempt to connect, and for nothing else.
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0.2)
        self.let_in("guest-3", kept="guest-1")

    def test_nobody_without_a_login(self) -> None:
        """
        Where guests may not even have a name, one who has not logged in yet comes again under whatever name is given.
        """
        self.let_in("guest-1")
        self.drop()
        self.server.accept()
        self.server.says("/ok whoami guest-2 guest", "/err not-logged-in log in first: /login NAME SECRET")
        self.assertFalse(self.server.transport.aborted)
        self.assertEqual(self.statuses[-1], Connected("guest-2"))
        self.drop()
        self.let_in("guest-3", kept="guest-2")

    def test_account(self) -> None:
        """
        A name that the server knows for another reason than that it was asked for is kept as it is.
        """
        self.server.accept()
        self.server.says("/ok whoami alice certificate")
        self.drop()
        self.server.accept()
        self.server.says("/ok whoami alice certificate")
        self.assertEqual(self.server.hears(), ["/whoami"])
        self.assertEqual(self.statuses[-1], Connected("alice"))


class ChosenNameTests(ReconnectingTestCase):
    """
    A name that the user chose.
    """

    name = "alice"

    def test_taken(self) -> None:
        """
        Somebody else's name is an error at once, which no other attempt would change.
        """
        self.server.accept()
        self.server.says("/ok whoami guest-1 guest", "/err name-taken somebody has that name")
        self.assertTrue(self.server.transport.aborted)
        self.server.breaks()
        self.assertIn("name-taken", str(self.failureResultOf(self.started, Stopped).value))
        told = self.statuses[-1]
        assert isinstance(told, Reconnecting)
        self.assertIsInstance(told.why, Stopped)
        self.assertEqual(told.delay, math.inf)
        self.clock.advance(100.0)
        self.assertEqual(len(self.endpoint.attempts), 1)

    def test_granted(self) -> None:
        """
        It is asked for on the first connection, too.
        """
        self.let_in("guest-1", kept="alice")
        self.assertEqual(self.statuses, [Connected("alice")])

    def test_taken_later(self) -> None:
        """
        Once it was granted, it is asked for until it is granted again.
        """
        self.let_in("guest-1", kept="alice")
        self.drop()
        self.server.accept()
        self.server.says("/ok whoami guest-2 guest", "/err name-taken somebody has that name")
        self.assertFalse(self.server.transport.aborted)
        self.clock.advance(0.1)
        self.server.says("/ok nick alice")
        self.assertEqual(self.statuses[-1], Connected("alice"))

    def test_nonsense(self) -> None:
        """
        A name that is none is refused before anything is tried.
        """
        self.assertRaises(ValueError, type(self.client), self.endpoint, self.clock, name="no name")


class FarewellTests(ReconnectingTestCase):
    """
    What the server says of its going is obeyed.
    """

    def test_come_again(self) -> None:
        """
        After a farewell that invites it, the client comes again.
        """
        self.let_in()
        for code in ("draining", "slow", "idle", "restarted", "something-new"):
            self.server.says(f"/bye {code} come again")
            self.drop()
            self.let_in("guest-2", kept="guest-1")

    def test_do_not_come_again(self) -> None:
        """
        After one that does not, everything ends, with the reason, and no attempt is made.
        """
        for code in ("login-failures", "banned", "protocol"):
            self.setUp()
            self.let_in()
            following = self.client.subscribe("lobby").__anext__()
            published = self.client.publish("lobby", "hi")
            self.server.says(f"/bye {code} go away")
            self.server.breaks()
            self.assertIn(code, str(self.failureResultOf(published, Stopped).value))
            self.assertIn(code, str(self.failureResultOf(following, Stopped).value))
            self.failureResultOf(self.client.publish("lobby", "hi"), Stopped)
            self.failureResultOf(self.client.connected(), Stopped)
            self.assertRaises(Stopped, self.client.subscribe, "lobby")
            self.clock.advance(100.0)
            self.assertEqual(len(self.endpoint.attempts), 1)

    def test_drain(self) -> None:
        """
        Of a server that goes away the client takes its leave within the time, with everything on the way answered.
        """
        self.let_in()
        published = self.client.publish("lobby", "hi")
        label = self.server.hears()[0].split(" ")[0].removeprefix("/pub#")
        self.server.says("/drain 10", "/drain 9")
        self.clock.advance(7.9)
        self.assertEqual(self.server.hears(), [])
        self.clock.advance(0.2)
        self.assertEqual(self.server.hears(), ["/quit"])
        self.server.says(f"/ok#{label} pub lobby 7", "/ok quit")
        self.assertEqual(self.successResultOf(published), 7)
        self.drop(0.0)
        self.let_in("guest-2", kept="guest-1")

    def test_drain_and_gone(self) -> None:
        """
        When the server is gone before that, the next one is not left for it.
        """
        self.let_in()
        self.server.says("/drain 30")
        self.drop(5.0)
        self.let_in("guest-2", kept="guest-1")
        self.clock.advance(19.0)
        self.assertEqual(self.server.hears(), [])

    def test_why_it_was_left(self) -> None:
        """
        Whoever is told of the connection's end is told that the server asked for it; the next end has its own reason.
        """
        self.let_in()
        self.server.says("/drain 10")
        self.clock.advance(8.1)
        self.server.hears()
        self.drop()
        moved = self.statuses[-1]
        assert isinstance(moved, Reconnecting)
        self.assertIsInstance(moved.why, Moved)
        self.let_in("guest-2", kept="guest-1")
        self.drop()
        lost = self.statuses[-1]
        assert isinstance(lost, Reconnecting)
        self.assertNotIsInstance(lost.why, Moved)

    def test_next_one_drains_too(self) -> None:
        """
        When the server is gone before that, and the next one goes away, too, that one is left in time.
        """
        self.let_in()
        self.server.says("/drain 30")
        self.drop(5.0)
        self.let_in("guest-2", kept="guest-1")
        self.server.says("/drain 10")
        self.clock.advance(8.1)
        self.assertEqual(self.server.hears(), ["/quit"])

    def test_turned_away(self) -> None:
        """
        A server that has no room says so before anything was asked; it is tried again, and the user is told why.
        """
        self.server.accept()
        self.server.says("/err too-many connections: come again later")
        self.assertTrue(self.server.transport.aborted)
        self.drop(0.0)
        turned_away = self.statuses[0]
        assert isinstance(turned_away, Reconnecting)
        self.assertEqual(str(turned_away.why), "too-many: connections: come again later")
        self.let_in()
        self.failureResultOf(self.started)
        self.drop()
        lost = self.statuses[-1]
        assert isinstance(lost, Reconnecting)
        self.assertIsInstance(lost.why, Disconnected)

    def test_violation(self) -> None:
        """
        A server that loses the thread is left; the next connection begins anew.
        """
        self.let_in()
        self.server.says("/ok ping")
        self.assertTrue(self.server.transport.aborted)
        self.drop()
        self.let_in("guest-2", kept="guest-1")
        reconnecting = self.statuses[1]
        assert isinstance(reconnecting, Reconnecting)
        self.assertNotIsInstance(reconnecting.why, ProtocolViolation)
        self.assertIn("answers nothing", str(reconnecting.why))
