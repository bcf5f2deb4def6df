"""
The Twisted client of one connection.
"""

from twisted.internet.defer import CancelledError, TimeoutError
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echochat.client.core import News
from echochat.client.outcomes import Disconnected, Refused, Reply, Silent
from echochat.client.protocol import Client, connect
from echochat.client.reasons import in_words
from echochat.wire.answers import Bye, Drain, Info
from tests.client.in_memory import AbortableTransport


class ClientTestCase(SynchronousTestCase):
    """
    A client on a transport in memory, with a clock that stands still.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.news: list[News] = []
        self.client = Client(self.clock, self.news.append)
        self.transport = AbortableTransport()
        self.client.makeConnection(self.transport)

    def tearDown(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def lose(self) -> None:
        self.client.connectionLost(Failure(ConnectionDone()))


class RequestTests(ClientTestCase):
    """
    Ask, and the answer comes.
    """

    def test_pipeline(self) -> None:
        """
        Requests go out at once, and each finds its own answer.
        """
        echo = self.client.echo("hello")
        help_reply = self.client.command("help", "ping", label="h")
        refused = self.client.command("nope")
        self.assertEqual(self.transport.value(), b"hello\n/help#h ping\n/nope\n")
        self.client.dataReceived(b"HELLO\n/info#h text\r\n/ok#h help\r\n/err unknown-command what?\r\n")
        self.assertEqual(self.successResultOf(echo), "HELLO")
        self.assertEqual(self.successResultOf(help_reply), Reply("help", "", (Info("text", "h"),)))
        failure = self.failureResultOf(refused, Refused)
        self.assertEqual((failure.value.code, failure.value.explanation), ("unknown-command", "what?"))

    def test_news(self) -> None:
        """
        What the server says unasked is passed on.
        """
        self.client.dataReceived(b"/drain 5\r\n/bye draining see you\r\n")
        self.assertEqual(self.news, [Drain(5), Bye("draining", "see you")])

    def test_timeout(self) -> None:
        """
        A wait ends at its deadline; the late answer is dropped, and the next request still finds its own.
        """
        late = self.client.echo("a", timeout=2.0)
        kept = self.client.echo("b")
        self.clock.advance(2.0)
        self.failureResultOf(late, TimeoutError)
        self.client.dataReceived(b"A\nB\n")
        self.assertEqual(self.successResultOf(kept), "B")

    def test_timeout_not_reached(self) -> None:
        """
        An answer in time leaves no timer behind.
        """
        answered = self.client.command("ping", timeout=2.0)
        self.client.dataReceived(b"/ok ping\r\n")
        self.assertEqual(self.successResultOf(answered), Reply("ping", "", ()))

    def test_cancel(self) -> None:
        """
        A cancelled wait does not shift the answers of the others.
        """
        cancelled = self.client.echo("a")
        kept = self.client.echo("b")
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.client.dataReceived(b"A\nB\n")
        self.assertEqual(self.successResultOf(kept), "B")

    def test_silent(self) -> None:
        """
        A server that closes and has never said a word is told apart from one that had: it may be none of ours.
        """
        self.lose()
        self.assertIsInstance(self.successResultOf(self.client.closed()), Silent)
        self.failureResultOf(self.client.echo("b"), Silent)

    def test_closed_by_the_server(self) -> None:
        """
        A server that closes, or is killed, has closed: nobody is told that it was clean.
        """
        self.client.echo("a")
        self.client.dataReceived(b"A\n")
        self.lose()
        end = self.successResultOf(self.client.closed())
        self.assertEqual((type(end), str(end)), (Disconnected, "the server closed the connection"))

    def test_connection_lost(self) -> None:
        """
        Everything on the way fails when the connection ends, and so does what is asked afterwards.
        """
        echo = self.client.echo("a")
        self.client.dataReceived(b"/bye slow you\r\n")
        self.lose()
        failed = self.failureResultOf(echo, Disconnected).value
        self.assertEqual((failed.bye, str(failed)), (Bye("slow", "you"), "you (slow)"))
        self.failureResultOf(self.client.echo("b"), Disconnected)
        self.failureResultOf(self.client.ready(), Disconnected)

    def test_violation(self) -> None:
        """
        A server that speaks something else is left at once, and the error says what it was.
        """
        self.client.dataReceived(b"SSH-2.0-x\r\n")
        self.assertTrue(self.transport.aborted)
        closed = self.client.closed()
        self.lose()
        self.assertIn("is it an echochat server?", str(self.successResultOf(closed)))


class ConnectTests(SynchronousTestCase):
    """
    Connect.
    """

    def test_no_answer(self) -> None:
        """
        Where nobody answers in time that is what is told, whatever kind of endpoint it is.
        """
        for endpoint in ("tcp:192.0.2.1:7000", "tcp:server.example:7000"):
            reactor = MemoryReactorClock()
            connecting = connect(clientFromString(reactor, endpoint), reactor, timeout=5.0)
            reactor.advance(5.0)
            self.assertEqual(in_words(self.failureResultOf(connecting).value), "no answer in time")


class FlowTests(ClientTestCase):
    """
    Nobody is run over.
    """

    def test_ready(self) -> None:
        """
        A writer that awaits readiness stops while the transport is full, and goes on when it is not.
        """
        self.successResultOf(self.client.ready())
        self.client.pauseProducing()
        waiting = self.client.ready()
        given_up = self.client.ready()
        self.assertNoResult(waiting)
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        self.client.resumeProducing()
        self.successResultOf(waiting)

    def test_ready_at_the_end(self) -> None:
        """
        A writer that waits when the connection ends is told.
        """
        self.client.pauseProducing()
        waiting = self.client.ready()
        self.lose()
        self.failureResultOf(waiting, Disconnected)

    def test_pause_reading(self) -> None:
        """
        Reading stops and goes on at the transport.
        """
        self.client.pause_reading()
        self.assertEqual(self.transport.producerState, "paused")
        self.client.resume_reading()
        self.assertEqual(self.transport.producerState, "producing")


class CloseTests(ClientTestCase):
    """
    Leaving is polite, and ends.
    """

    def test_polite(self) -> None:
        """
        What was asked before is answered, then the server closes, and no timer is left.
        """
        echo = self.client.echo("a")
        closed = self.client.close()
        self.assertEqual(self.transport.value(), b"a\n/quit\n")
        self.assertIsNone(self.transport.producer)
        self.client.dataReceived(b"A\n/ok quit\r\n")
        self.lose()
        self.assertEqual(self.successResultOf(echo), "A")
        self.successResultOf(closed)
        self.assertFalse(self.transport.aborted)

    def test_deadline(self) -> None:
        """
        A server that does not answer is left all the same.
        """
        closed = self.client.close(grace=3.0)
        self.clock.advance(2.9)
        self.assertFalse(self.transport.aborted)
        self.clock.advance(0.1)
        self.assertTrue(self.transport.aborted)
        self.lose()
        self.successResultOf(closed)

    def test_paused(self) -> None:
        """
        A client that had stopped reading reads again to leave, or the end would never be seen.
        """
        self.client.pause_reading()
        self.client.close()
        self.assertEqual(self.transport.producerState, "producing")
        self.lose()

    def test_twice(self) -> None:
        """
        Leaving again, or after the end, asks nothing and fires.
        """
        first, second = self.client.close(), self.client.close()
        self.assertEqual(self.transport.value(), b"/quit\n")
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.lose()
        self.successResultOf(first)
        self.successResultOf(self.client.close())
