"""
One suite of guarantees, run over the lean reactor and over the plain one that runs the tests.
"""

import random
import shutil
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import deferLater

from echochat.net.lean import LeanReactor
from tests.net.peers import DEADLINE, Peer, connect
from tests.net.recorders import Recorder, Recording

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase

    _Base = TestCase
else:
    _Base = object

plain: Any = _reactor

MEGABYTE = 1 << 20

SMALL = 4096
"""
A receive buffer that is full at once.
"""


def pattern(size: int, seed: int = 7) -> bytes:
    """
    Bytes in which a lost, doubled or exchanged part shows.
    """
    return random.Random(seed).randbytes(size)


class Run(_Base):
    """
    Mix into a TestCase, after one of the classes below that tell over what.

    :ivar reactor: the reactor under test.
    """

    reactor: Any

    def setUp(self) -> None:
        self.reactor = self.make_reactor()
        self._ports: list[Any] = []
        self._recordings: list[Recording] = []
        self._peers: list[Peer] = []
        self._folders: list[str] = []
        self._echo: Peer | None = None
        self.addCleanup(self._end)

    def make_reactor(self) -> Any:
        """
        :return: the reactor under test.
        """
        raise NotImplementedError

    def endpoint(self) -> str:
        """
        :return: where to listen.
        """
        return "tcp:0:interface=127.0.0.1"

    def folder(self) -> str:
        """
        :return: a new folder with a path that is short enough for UNIX sockets.
        """
        made = tempfile.mkdtemp()
        self._folders.append(made)
        return made

    async def listen(self, factory: Any, endpoint: str | None = None) -> Any:
        """
        :return: the address of a port that is listening until the test ends.
        """
        port = await serverFromString(self.reactor, endpoint or self.endpoint()).listen(factory)
        return self.listening(port).getHost()

    def listening(self, port: Any) -> Any:
        """
        Have a port stopped when the test ends.
        """
        self._ports.append(port)
        return port

    def recording(self, make: Callable[[], Recorder] = Recorder) -> Recording:
        """
        :return: a factory of recorders, of which none is left open when the test ends.
        """
        recording = Recording(make)
        self._recordings.append(recording)
        return recording

    def peer(self, address: Any, receive_buffer: int = 0) -> Peer:
        """
        :return: a socket that is connected there until the test ends.
        """
        return self.owned(connect(address, receive_buffer))

    def owned(self, peer: Peer) -> Peer:
        """
        Have a peer closed when the test ends.
        """
        self._peers.append(peer)
        return peer

    async def connect(
        self, make: Callable[[], Recorder] = Recorder, receive_buffer: int = 0, number: int = 1
    ) -> list[tuple[Peer, Any]]:
        """
        :return: pairs of the two ends of a connection: a socket, and a recorder on the transport under test.
        """
        recording = self.recording(make)
        address = await self.listen(recording)
        pairs = []
        for count in range(1, number + 1):
            peer = self.peer(address, receive_buffer)
            await recording.until_made(count)
            pairs.append((peer, recording.made[-1]))
        return pairs

    def a_turn(self) -> "Deferred[None]":
        """
        Let the reactor do once what it has to do.
        """
        return deferLater(plain, 0)

    async def until(self, true: Callable[[], object]) -> None:
        """
        Let the reactor run until something is true.
        """
        deadline = plain.seconds() + DEADLINE
        while not true():
            self.assertLess(plain.seconds(), deadline, "it did not come true in time")
            await self.a_turn()

    async def round_trip(self) -> None:
        """
        Let the reactor look at all its connections: an echo on one of its own goes there and back, twice.
        """
        if self._echo is None:
            recording = self.recording()
            self._echo = self.peer(await self.listen(recording, "tcp:0:interface=127.0.0.1"))
            await recording.until_made(1)
            recorder = recording.made[0]
            recorder.on_data = recorder.transport.write
        for _ in range(2):
            self._echo.socket.sendall(b"x")
            await self._echo.read(1)

    async def _end(self) -> None:
        for port in self._ports:
            if port.connected:
                await port.stopListening()
        for recording in self._recordings:
            for recorder in recording.made:
                if recorder.transport is not None and not recorder.times_lost:
                    recorder.transport.abortConnection()
                    await recorder.until_lost()
        for peer in self._peers:
            peer.close()
        for folder in self._folders:
            shutil.rmtree(folder)
        if self.reactor is not plain:
            self.assertEqual((self.reactor.getReaders(), self.reactor.getWriters()), ([], []), "left behind")
            self.reactor.close()


class OverLean(Run):
    """
    Over the lean reactor.
    """

    def make_reactor(self) -> Any:
        return LeanReactor(plain)


class OverPlain(Run):
    """
    Over Twisted's own.
    """

    def make_reactor(self) -> Any:
        return plain


class OverUnix(Run):
    """
    On UNIX sockets instead of TCP.
    """

    def endpoint(self) -> str:
        return f"unix:{self.folder()}/socket"
