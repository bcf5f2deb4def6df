"""
Tests for :mod:`echochat.net.lean.watchlist`: when sockets are closed.
"""

import socket
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from echochat.net.lean.dispatcher import Dispatcher
from echochat.net.lean.watched import IN, Watched
from tests.net.lean.test_dispatcher import Outer


class Closing(Watched):
    """
    Closes when it is read from, and notes which sockets are open after that.
    """

    __slots__ = ("peer", "reactor", "seen")

    def __init__(self, reactor: Dispatcher, seen: list[list[bool]]) -> None:
        end, self.peer = socket.socketpair()
        super().__init__(reactor, end)
        self.reactor = reactor
        self.seen = seen

    def doRead(self) -> None:
        self.close()
        self.seen.append([each.fileno() >= 0 for each in self.reactor._doomed or ()])


class Bold(Closing):
    """
    Has one closed that was to be closed.
    """

    __slots__ = ()

    def doRead(self) -> None:
        super().doRead()
        self.reactor.bury_one()


class CloseTests(SynchronousTestCase):
    """
    A socket that is closed is closed by the end of the batch, and at once when there is none.
    """

    def setUp(self) -> None:
        self.seen: list[list[bool]] = []
        self.dispatcher: Any = Dispatcher(Outer())  # type: ignore[arg-type]  # all of the reactor that it needs
        self.addCleanup(self.dispatcher.close)

    def watched(self, kind: type[Closing]) -> Closing:
        watched = kind(self.dispatcher, self.seen)
        self.addCleanup(watched.peer.close)
        self.addCleanup(watched.socket.close)
        self.dispatcher.watch(watched, IN)
        watched.peer.send(b"x")
        watched.peer.setblocking(False)
        return watched

    def assert_closed(self, *closed: Closing) -> None:
        for each in closed:
            self.assertEqual(each.socket.fileno(), -1)
            self.assertRaises(ConnectionResetError, each.peer.recv, 1)

    def test_within_a_batch(self) -> None:
        """
        None is closed before all have been looked at, and all are after that.
        """
        closed = [self.watched(Closing) for _ in range(3)]
        self.dispatcher.doRead()
        self.assertEqual(self.seen, [[True], [True, True], [True, True, True]])
        self.assert_closed(*closed)

    def test_one_earlier(self) -> None:
        """
        One may be closed earlier, and is not closed twice.
        """
        closed = [self.watched(Bold) for _ in range(3)]
        self.dispatcher.doRead()
        self.assertEqual(self.seen, [[True], [True], [True]])
        self.assert_closed(*closed)
        self.dispatcher.bury_one()

    def test_without_a_batch(self) -> None:
        """
        Whoever closes at another time closes at once.
        """
        watched = self.watched(Closing)
        watched.close()
        self.assert_closed(watched)
        self.assertEqual((self.dispatcher.readers, self.seen), ({}, []))
