"""
Noticing a server that has gone without a word.
"""

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echochat.client.heartbeat import PATIENCE, SILENCE, Heartbeat
from echochat.client.protocol import Client
from tests.client.in_memory import AbortableTransport


class HeartbeatTests(SynchronousTestCase):
    """
    A silent server is asked, one that does not answer is left, and nobody else is bothered.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.client = Client(self.clock)
        self.transport = AbortableTransport()
        self.client.makeConnection(self.transport)
        self.heartbeat = Heartbeat(self.client, self.clock)

    def tearDown(self) -> None:
        self.heartbeat.stop()
        self.client.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_talking_server(self) -> None:
        """
        A server that says something now and then is not asked.
        """
        for _ in range(10):
            self.clock.advance(SILENCE - 1)
            self.client.dataReceived(b"/drain 100\r\n")
        self.assertEqual(self.transport.value(), b"")

    def test_silent_server_that_answers(self) -> None:
        """
        A server that has nothing to say is asked again and again, and kept.
        """
        for _ in range(3):
            self.clock.pump([SILENCE, 1])
            self.assertEqual(self.transport.value(), b"/ping\n")
            self.transport.clear()
            self.client.dataReceived(b"/ok ping\r\n")
            self.clock.advance(PATIENCE - 1)
        self.assertFalse(self.transport.aborted)

    def test_silent_server(self) -> None:
        """
        One that does not answer in time is left.
        """
        self.clock.advance(SILENCE)
        self.clock.advance(PATIENCE - 1)
        self.assertFalse(self.transport.aborted)
        self.clock.advance(1)
        self.assertTrue(self.transport.aborted)

    def test_answer_behind_much_else(self) -> None:
        """
        One whose answer is still behind much else that it has to say is alive.
        """
        self.clock.advance(SILENCE)
        self.client.dataReceived(b"/event t 1 x")
        self.clock.advance(PATIENCE)
        self.assertFalse(self.transport.aborted)

    def test_not_reading(self) -> None:
        """
        When it is the client that does not listen, it is not held against the server, nor when it listens again.
        """
        self.client.pause_reading()
        self.clock.pump([1] * 200)
        self.assertEqual(self.transport.value(), b"")
        self.client.resume_reading()
        self.clock.advance(SILENCE - 1)
        self.assertEqual(self.transport.value(), b"")
        self.assertFalse(self.transport.aborted)
