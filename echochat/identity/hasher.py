"""
A process that checks passwords, as the server sees it.
"""

import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from twisted.cred.error import LoginDenied
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from txaio.tx import make_logger
from zope.interface import implementer

from echochat.identity.hashing_program import QUESTION, RIGHT

DEADLINE: Final = 30.0
"""
Seconds that one check may take. The costliest hash that a file of accounts may have takes three.
"""


class HasherGone(LoginDenied):
    """
    The process that would have checked a password is not there any more. The next check may find another.
    """


@implementer(IReadDescriptor)
class Hasher(ProcessProtocol):
    """
    Checks passwords, one at a time. :func:`employ` makes it.

    What it is asked goes through a socket of its own, at once, and the answer is passed on by a plain call: Twisted's
    pipes, a Deferred and a timer for each would keep the reactor longer, and an echo that comes then waits.

    :param reactor: has the process, and the time.
    :param channel: to the process.
    :ivar is_alive: whether it can be asked.
    :ivar has_answered: whether it has ever done so.
    """

    log = make_logger()

    transport: Any

    def __init__(self, reactor: Any, channel: socket.socket) -> None:
        self._reactor = reactor
        self._channel = channel
        self._asker: Asker | None = None
        self._asked_at = 0.0
        self._watch: IDelayedCall | None = None
        self._ended: Deferred[None] = Deferred()
        self._is_wanted = True
        self.is_alive = True
        self.has_answered = False

    # Called by Twisted: ProcessProtocol

    def connectionMade(self) -> None:
        self._reactor.addReader(self)

    def processEnded(self, reason: Failure) -> None:
        if self._is_wanted:
            self.log.error("the process that checks passwords has ended: {why}", why=reason.getErrorMessage())
        self.is_alive = False
        self._reactor.removeReader(self)
        self._channel.close()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        asker, self._asker = self._asker, None
        if asker is not None:
            asker(self, None)
        self._ended.callback(None)

    # Called by Twisted: IReadDescriptor

    def fileno(self) -> int:
        return self._channel.fileno()

    def logPrefix(self) -> str:
        return "hasher"

    def doRead(self) -> Any:
        try:
            answer = self._channel.recv(1)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return CONNECTION_LOST
        if not answer:
            return CONNECTION_LOST
        asker, self._asker = self._asker, None
        if asker is not None:
            self.has_answered = True
            asker(self, answer == RIGHT)
        return None

    def connectionLost(self, reason: Failure) -> None:
        # Why, is told when it has ended, which it may not have yet.
        self.is_alive = False
        self._kill()

    # Called by the pool

    def verify(self, phc: str, password: bytes, asker: "Asker") -> None:
        """
        Tell whether this is the password. Ask no more before it is answered.

        :param asker: called with this and the answer; None: the process has ended, or was ended because it took too
            long.
        """
        assert self._asker is None
        self._asker = asker
        self._asked_at = self._reactor.seconds()
        if self._watch is None:
            self._watch = self._reactor.callLater(DEADLINE, self._look)
        encoded = phc.encode()
        # All of it fits: there is nothing else on its way. Of a process that has gone we hear in any case.
        with suppress(OSError):
            self._channel.send(QUESTION.pack(len(encoded), len(password)) + encoded + password)

    def stop(self) -> Deferred[None]:
        """
        End the process, whatever it does.

        :return: fires when it has ended.
        """
        self._is_wanted = self.is_alive = False
        self._kill()
        return self._ended

    # Ours

    def _look(self) -> None:
        """
        Is a check late?
        """
        self._watch = None
        if self._asker is None:
            return
        left = self._asked_at + DEADLINE - self._reactor.seconds()
        if left > 0:
            self._watch = self._reactor.callLater(left, self._look)
            return
        self.log.error("checking a password took more than {seconds:g} s: it is given up", seconds=DEADLINE)
        self._kill()

    def _kill(self) -> None:
        if not self._ended.called:
            with suppress(ProcessExitedAlready):
                self.transport.signalProcess("KILL")


Asker = Callable[[Hasher, bool | None], None]


def employ(reactor: Any) -> Hasher:
    """
    Start a process that checks passwords.

    It takes the reactor 1 ms, and 5 ms more for each thousand descriptors that are open (45 ms with 9,000): Twisted has
    the system close them one by one.

    :raises OSError: it cannot be started.
    """
    ours, its = socket.socketpair()
    ours.setblocking(False)
    hasher = Hasher(reactor, ours)
    # What this process can import, that one can, wherever it was started; and nothing from the working folder.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = (sys.executable, "-P", "-m", "echochat.identity.hashing_program")
    ends = {0: its.fileno(), 1: its.fileno(), 2: 2}
    try:
        reactor.spawnProcess(hasher, sys.executable, command, environment, childFDs=ends)
    except BaseException:
        ours.close()
        raise
    finally:
        its.close()
    return hasher
