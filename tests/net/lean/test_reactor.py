"""
Tests for :mod:`echochat.net.lean.reactor`.
"""

from twisted.internet.interfaces import (
    IReactorFDSet,
    IReactorSocket,
    IReactorSSL,
    IReactorTCP,
    IReactorTime,
    IReactorUNIX,
)
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import providedBy
from zope.interface.verify import verifyObject

from echochat.net.lean import LeanReactor, lean, reactor
from echochat.net.lean.dispatcher import Dispatcher
from tests.net.lean.connecting import AdoptingGuarantees, ConnectingGuarantees
from tests.net.lean.runs import OverLean, OverPlain, plain
from tests.net.lean.securing import SecureGuarantees


class LeanConnectingTests(OverLean, ConnectingGuarantees, AdoptingGuarantees, TestCase):
    """
    Listening and connecting through the lean reactor.
    """

    async def test_watched_while_there_is_something_to_watch(self) -> None:
        """
        The outer reactor has one descriptor to watch while any is watched here, and none otherwise.
        """
        self.assertEqual(self.watched(), 0)
        recording = self.recording()
        port = self.listening(self.reactor.listenTCP(0, recording, interface="127.0.0.1"))
        self.assertEqual(self.watched(), 1)
        peers = [self.peer(port.getHost()) for _ in range(3)]
        await recording.until_made(3)
        self.assertEqual(self.watched(), 1)
        self.assertEqual(len(self.reactor.getReaders()), 4)
        await port.stopListening()
        for peer in peers:
            self.assertEqual(self.watched(), 1)
            peer.close()
        for recorder in recording.made:
            await recorder.until_lost()
        self.assertEqual(self.watched(), 0)

    def watched(self) -> int:
        return sum(isinstance(each, Dispatcher) for each in plain.getReaders())


class PlainConnectingTests(OverPlain, ConnectingGuarantees, AdoptingGuarantees, TestCase):
    """
    Listening and connecting through the plain reactor.
    """


class LeanSecureTests(OverLean, SecureGuarantees, TestCase):
    """
    TLS over the lean reactor.
    """


class PlainSecureTests(OverPlain, SecureGuarantees, TestCase):
    """
    TLS over the plain reactor.
    """


class FacadeTests(SynchronousTestCase):
    """
    The lean reactor can be given to whatever wants a reactor.
    """

    def setUp(self) -> None:
        self.reactor = LeanReactor(plain)
        self.addCleanup(self.reactor.close)

    def test_interfaces(self) -> None:
        """
        It is all that the outer one is.
        """
        self.assertEqual(list(providedBy(self.reactor)), list(providedBy(plain)))
        for interface in (IReactorTCP, IReactorSSL, IReactorUNIX, IReactorSocket, IReactorFDSet, IReactorTime):
            verifyObject(interface, self.reactor)

    def test_all_else_is_the_outer_ones(self) -> None:
        """
        What it does not do itself the outer one does.
        """
        self.assertEqual(self.reactor.callLater, plain.callLater)
        self.assertRaises(AttributeError, lambda: self.reactor.no_such_thing)

    def test_where_it_cannot_be(self) -> None:
        """
        Over a reactor that watches no descriptors, or without epoll, the reactor itself is the fastest there is.
        """
        clock = Clock()
        self.assertIs(lean(clock), clock)
        self.assertIsInstance(lean(plain), LeanReactor)
        self.patch(reactor, "select", object())
        self.assertIs(lean(plain), plain)
