"""
Tests for :mod:`echochat.tap.starter`; as it is met by those who start a daemon it is tested where that is.
"""

import io
import os
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from echochat.tap import starter
from echochat.tap.starter import StarterStream, speak_to_starter

TWISTEDS = "An error has occurred: b'echochat.daemon.ports.CannotStart: cann'\n"


class StarterStreamTests(SynchronousTestCase):
    """
    What a daemon says before it ends is shown by the process that has made it.
    """

    def setUp(self) -> None:
        self.terminal: Any = io.StringIO()
        self.patch(sys, "__stderr__", self.terminal)
        self.open = set(os.listdir("/proc/self/fd"))

    def daemon(self, does: Callable[[Any], None]) -> None:
        """
        Have another process do something with the stream, and wait until that has ended.
        """
        child = os.fork()
        if not child:
            try:
                does(sys.__stderr__)
            finally:
                os._exit(0)
        os.waitpid(child, 0)

    def assert_nothing_is_left(self) -> None:
        self.assertIs(sys.__stderr__, self.terminal)
        self.assertEqual(set(os.listdir("/proc/self/fd")), self.open)

    def test_its_own_words(self) -> None:
        """
        Its sentence is shown whole, and Twisted's is not; nothing is left of the way that it came.
        """
        stream = StarterStream(self.terminal)
        sentence = f"echochat: cannot listen on unix:/{'ü' * 100}/\udcff: no\n"
        self.daemon(lambda stderr: print(sentence, end="", file=stderr, flush=True))
        stream.write(TWISTEDS)
        self.assertEqual(self.terminal.getvalue(), sentence.replace("\udcff", "\\udcff"))
        self.assert_nothing_is_left()

    def test_no_words(self) -> None:
        """
        A daemon that ends without a word leaves it to Twisted.
        """
        stream = StarterStream(self.terminal)
        self.daemon(lambda stderr: None)
        stream.write(TWISTEDS)
        self.assertEqual(self.terminal.getvalue(), TWISTEDS)
        self.assert_nothing_is_left()

    def test_hanging(self) -> None:
        """
        One that does not end is not waited for without end.
        """
        self.patch(starter, "PATIENCE", 0.01)
        stream = StarterStream(self.terminal)
        held = [os.dup(stream._writing)]
        stream.write(TWISTEDS)
        os.close(held.pop())
        self.assertEqual(self.terminal.getvalue(), TWISTEDS)
        self.assert_nothing_is_left()

    def test_started(self) -> None:
        """
        When a daemon has started nothing of it is left; where there is no daemon, there never was.
        """
        for program, is_daemon in (
            ({"nodaemon": False}, True),
            ({"nodaemon": 0}, True),
            ({"nodaemon": True}, False),
            ({"logFile": sys.stdout}, False),
            (None, False),
        ):
            reactor = MemoryReactorClock()
            options = type("Options", (), {"parent": program})()
            speak_to_starter(options, reactor)
            self.assertEqual(sys.__stderr__ is not self.terminal, is_daemon, program)
            for call, arguments, others in reactor.whenRunningHooks:
                call(*arguments, **others)
            self.assert_nothing_is_left()
