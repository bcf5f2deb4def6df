"""
Tests for what is answered in passing, by :mod:`echochat.net.lean.dispatcher` and :mod:`echochat.net.lean.transports`.
"""

from typing import Any

from twisted.protocols.policies import WrappingFactory
from twisted.trial.unittest import TestCase

from echochat.net.lean.dispatcher import PASSING
from echochat.net.lean.transports import PEEK_SIZE
from tests.net.lean.runs import OverLean, OverUnix, Run
from tests.net.recorders import HalfCloseable, Recorder


class Answering(HalfCloseable):
    """
    Answers in passing what is in small letters, up to the first capitals.

    :ivar offered: what it was offered.
    """

    def __init__(self) -> None:
        super().__init__()
        self.offered: list[bytes] = []

    def answer_in_passing(self, data: bytes) -> int:
        self.offered.append(data)
        small = data.rstrip(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        if small:
            self.transport.write(small.upper())
        if data == b"fail":
            raise ZeroDivisionError
        return len(small)


class Asking(OverLean, Run):
    """
    Mix into a TestCase.
    """

    def ask(self, *left_out: int) -> tuple[int, set[int]]:
        """
        Have everybody answer in passing, in this very turn.

        :return: how many did, and who cannot.
        """
        cannot = {*left_out}
        answered: int = self.reactor.answer_in_passing(cannot)
        return answered, cannot


class PassingTests(Asking, TestCase):
    """
    A connection answers within somebody else's turn if its protocol can, and is left as it is if not.
    """

    async def test_answered(self) -> None:
        """
        The answer is there before the reactor had a turn, and what was answered is not read again.
        """
        [(peer, recorder)] = await self.connect(Answering)
        for text in (b"one", b"two"):
            peer.socket.sendall(text)
            self.assertEqual(self.ask(), (1, set()))
            self.assertEqual(peer.socket.recv(100), text.upper())
        await self.round_trip()
        self.assertEqual((recorder.offered, recorder.received), ([b"one", b"two"], b""))

    async def test_not_answered(self) -> None:
        """
        What was not answered comes as it would have; it is not offered where it is left out.
        """
        [(peer, recorder)] = await self.connect(Answering)
        peer.socket.sendall(b"LOUD")
        answered, cannot = self.ask()
        self.assertEqual((answered, cannot), (0, {recorder.transport.fileno()}))
        self.assertEqual(self.ask(*cannot), (0, cannot))
        self.assertEqual(recorder.offered, [b"LOUD"])
        await recorder.until_received(4)
        self.assertEqual(recorder.received, b"LOUD")

    async def test_much_at_once(self) -> None:
        """
        Of much only a part is offered, what was not answered of that stays, and the order is kept.
        """
        [(peer, recorder)] = await self.connect(Answering)
        peer.socket.sendall(b"a" * PEEK_SIZE + b"bCD")
        self.assertEqual(self.ask()[0], 1)
        self.assertEqual(self.ask()[0], 1)
        self.assertEqual(self.ask()[0], 0)
        await recorder.until_received(2)
        self.assertEqual(recorder.received, b"CD")
        self.assertEqual(await peer.read(PEEK_SIZE + 1), b"A" * PEEK_SIZE + b"B")

    async def test_ends(self) -> None:
        """
        An end, clean or not, has a turn of its own, with all that had come before.
        """
        (gone, recorder), (reset, other) = await self.connect(Answering, number=2)
        gone.socket.sendall(b"LAST")
        gone.finish()
        reset.reset()
        self.assertEqual(self.ask(), (0, {recorder.transport.fileno(), other.transport.fileno()}))
        self.assertEqual((recorder.told, other.told), (["connectionMade"], ["connectionMade"]))
        await recorder.until_told("readConnectionLost")
        self.assertEqual(recorder.received, b"LAST")
        await other.until_lost()

    async def test_failure(self) -> None:
        """
        One that fails is closed, in a turn of its own, and its error logged; the others are answered. Nothing is
        answered twice.
        """
        pairs = await self.connect(Answering, number=3)
        for (peer, _), text in zip(pairs, (b"one", b"fail", b"two"), strict=True):
            peer.socket.sendall(text)
        self.assertEqual(self.ask(), (2, {pairs[1][1].transport.fileno()}))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(pairs[1][1].times_lost, 0)
        await pairs[1][1].until_lost()
        self.assertEqual(pairs[1][1].received, b"")
        self.assertEqual(await pairs[2][0].read(3), b"TWO")

    async def test_many(self) -> None:
        """
        A bounded number is looked at, and those that cannot be answered do not hide others for ever.
        """
        pairs = await self.connect(Answering, number=2 * PASSING)
        for index, (peer, _) in enumerate(pairs):
            peer.socket.sendall(b"LOUD" if index < PASSING else b"quiet")
        answered = 0
        cannot: set[int] = set()
        for _ in range(4):
            now = self.reactor.answer_in_passing(cannot)
            self.assertLessEqual(now, PASSING)
            answered += now
        self.assertEqual((answered, len(cannot)), (PASSING, PASSING))

    async def test_paused(self) -> None:
        """
        A connection that is not read from is not answered.
        """
        [(peer, recorder)] = await self.connect(Answering)
        recorder.transport.pauseProducing()
        peer.socket.sendall(b"one")
        self.assertEqual(self.ask(), (0, set()))
        recorder.transport.resumeProducing()
        self.assertEqual(self.ask(), (1, set()))

    async def test_nothing_is_watched(self) -> None:
        """
        When the last connection has gone there is nobody to ask.
        """
        self.assertEqual(self.ask(), (0, set()))
        [(_, recorder)] = await self.connect(Answering)
        recorder.transport.abortConnection()
        await recorder.until_lost()
        self.assertEqual(self.ask(), (0, set()))


class LeftAloneTests(Asking, TestCase):
    """
    Who knows nothing of it is left alone.
    """

    async def assert_left_alone(self, factory: Any, recorder: Any) -> None:
        peer = self.peer(await self.listen(factory))
        await factory.until_made(1)
        peer.socket.sendall(b"quiet")
        self.assertEqual(self.ask()[0], 0)
        await recorder().until_received(5)

    async def test_other_protocols(self) -> None:
        """
        A protocol without the method.
        """
        recording = self.recording(Recorder)
        await self.assert_left_alone(recording, lambda: recording.made[0])

    async def test_wrapped(self) -> None:
        """
        A protocol within another one, such as TLS, which must see the bytes first.
        """
        recording = self.recording(Answering)
        wrapping: Any = WrappingFactory(recording)
        wrapping.until_made = recording.until_made
        await self.assert_left_alone(wrapping, lambda: recording.made[0])
        answering: Any = recording.made[0]
        self.assertEqual(answering.offered, [])


class LeftAloneOverUnixTests(OverUnix, LeftAloneTests):
    """
    UNIX sockets are Twisted's own, and left alone.
    """

    async def test_never(self) -> None:
        """
        Whatever the protocol knows.
        """
        recording = self.recording(Answering)
        await self.assert_left_alone(recording, lambda: recording.made[0])
