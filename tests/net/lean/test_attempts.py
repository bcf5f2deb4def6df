"""
Tests for :mod:`echochat.net.lean.attempts`.
"""

import errno
import os
import socket
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.net.lean import LeanReactor
from echochat.net.lean.attempts import Attempt, Target, begin, is_under_way, reason, target_of

reactor: Any = _reactor


class TargetTests(SynchronousTestCase):
    """
    An endpoint's description has a target when nothing has to be looked up for it, and nothing else is said.
    """

    def test_targets(self) -> None:
        """
        Addresses with a port, and paths.
        """
        for description, target in (
            ("tcp:127.0.0.1:7007", (socket.AF_INET, ("127.0.0.1", 7007))),
            ("tcp:host=127.0.0.1:port=7007", (socket.AF_INET, ("127.0.0.1", 7007))),
            (r"tcp:\:\:1:7007", (socket.AF_INET6, ("::1", 7007))),
            ("unix:/run/a.sock", (socket.AF_UNIX, "/run/a.sock")),
            ("unix:path=a", (socket.AF_UNIX, "a")),
        ):
            self.assertEqual(target_of(description), target, description)

    def test_others(self) -> None:
        """
        Names, options, other kinds, and nonsense are for the endpoints.
        """
        for description in (
            *(
                "tcp:localhost:7007",
                "tcp:127.0.0.1:7007:timeout=3",
                "tcp:127.0.0.1:70070",
                "tcp:127.0.0.1",
                "tcp:1:2:3",
            ),
            *("tls:127.0.0.1:1", "unix:a:timeout=1", "unix:", r"unix:a\:b", "handoff:a", ""),
        ):
            self.assertIsNone(target_of(description), description)


class AttemptTests(TestCase):
    """
    A socket is connected, or it is known why not.
    """

    def setUp(self) -> None:
        self.reactor = LeanReactor(reactor)
        self.addCleanup(self.reactor.close)

    def listening(self) -> socket.socket:
        made = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(made.close)
        return made

    def attempt(self, made: socket.socket, address: Any) -> "Deferred[None]":
        """
        Wait for a socket that has just begun to connect.
        """
        made.setblocking(False)
        made.connect_ex(address)
        done: Deferred[None] = Deferred()
        Attempt(self.reactor, made, lambda: done.callback(None), done.errback)
        return done.addTimeout(20, reactor)

    def test_at_once(self) -> None:
        """
        On this machine the connection is there at once, or refused at once.
        """
        listening = self.listening()
        target = Target(socket.AF_INET, listening.getsockname())
        made, number = begin(target)
        self.addCleanup(made.close)
        self.assertEqual((number, made.getpeername()), (0, target.address))
        self.assertTrue(made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        listening.close()
        made, number = begin(target)
        self.assertEqual((number, made.fileno()), (errno.ECONNREFUSED, -1))
        self.assertFalse(is_under_way(number))
        self.assertIsInstance(reason(number), ConnectionRefusedError)

    def test_no_such_path(self) -> None:
        """
        A UNIX socket that is not there is told like anything else.
        """
        _, number = begin(Target(socket.AF_UNIX, os.path.join(self.mktemp(), "nothing")))
        self.assertEqual((number, reason(number).osError), (errno.ENOENT, errno.ENOENT))

    async def test_later(self) -> None:
        """
        One that takes its time is waited for.
        """
        made = socket.socket()
        self.addCleanup(made.close)
        address = self.listening().getsockname()
        await self.attempt(made, address)
        self.assertEqual(made.getpeername(), address)

    async def test_refused_later(self) -> None:
        """
        ... also when it fails then; its socket is closed.
        """
        listening = self.listening()
        address = listening.getsockname()
        listening.close()
        made = socket.socket()
        await self.assertFailure(self.attempt(made, address), ConnectionRefusedError)
        self.assertEqual(made.fileno(), -1)

    def test_cancelled(self) -> None:
        """
        One that is not wanted any more is closed, and nobody is told.
        """
        made = socket.socket()
        made.setblocking(False)
        attempt = Attempt(self.reactor, made, self.fail, self.fail)
        attempt.cancel()
        attempt.cancel()
        self.assertEqual((made.fileno(), self.reactor.getReaders()), (-1, []))
