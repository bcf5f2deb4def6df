"""
Tests for :mod:`echochat.net.lean.volley`.
"""

from typing import Any

from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.net.lean import Interlude, lend, send_to_all
from echochat.net.lean.volley import AT_ONCE, AT_ONCE_BYTES
from tests.net.lean.runs import MEGABYTE, SMALL, OverLean, OverPlain, OverUnix, Run, pattern
from tests.net.recorders import HalfCloseable, Recorder

NOBODY = Interlude(lambda left_out: 0)


class Borrower:
    """
    Counts how often it was called back.
    """

    def __init__(self) -> None:
        self.calls = 0

    def called_back(self) -> None:
        self.calls += 1


class LendingTests(OverLean, Run, TestCase):
    """
    What sends past ``write`` is lent exactly as long as that does no harm.
    """

    async def lent(self, make: Any = Recorder, receive_buffer: int = 0) -> tuple[Any, Any, Borrower, Any]:
        """
        :return: the peer, the recorder, the borrower, and what it was lent.
        """
        [(peer, recorder)] = await self.connect(make, receive_buffer)
        borrower = Borrower()
        send = lend(recorder.transport, borrower)
        self.assertIsNotNone(send)
        return peer, recorder, borrower, send

    async def test_order(self) -> None:
        """
        What was sent so, and what was written before and behind it, arrives in its order.
        """
        peer, recorder, borrower, send = await self.lent()
        recorder.transport.write(b"one ")
        self.assertEqual(send_to_all([send], b"two ", NOBODY), [])
        recorder.transport.write(b"three")
        self.assertEqual(await peer.read(13), b"one two three")
        self.assertEqual(borrower.calls, 0)

    async def test_short_sends_go_on_with_write(self) -> None:
        """
        A reader that takes a part of it is named with how much it took, and what is written then comes right behind.
        """
        peer, recorder, borrower, send = await self.lent(receive_buffer=SMALL)
        data = pattern(8 * MEGABYTE)
        [(fallen, taken)] = send_to_all([send], data, NOBODY)
        self.assertIs(fallen, send)
        self.assertTrue(0 < taken < len(data))
        self.assertEqual(send_to_all([send], b"x", NOBODY), [(send, 0)])
        recorder.transport.write(data[taken:])
        self.assertEqual(borrower.calls, 1)
        self.assertIsNone(lend(recorder.transport, Borrower()))
        self.assertEqual(await peer.read(len(data)), data)
        await self.until(lambda: lend(recorder.transport, Borrower()) is not None)

    async def test_called_back_when_it_buffers(self) -> None:
        """
        The first byte that has to wait ends the loan, once.
        """
        _, recorder, borrower, _ = await self.lent(receive_buffer=SMALL)
        recorder.transport.write(pattern(8 * MEGABYTE))
        recorder.transport.write(b"and more")
        self.assertEqual(borrower.calls, 1)

    async def test_called_back_when_it_closes(self) -> None:
        """
        However a connection is closed: nothing may be sent behind the end.
        """
        for close in ("loseConnection", "loseWriteConnection", "abortConnection"):
            _, recorder, borrower, _ = await self.lent(HalfCloseable)
            getattr(recorder.transport, close)()
            self.assertEqual(borrower.calls, 1, close)
            self.assertIsNone(lend(recorder.transport, Borrower()), close)

    async def test_a_lost_connection(self) -> None:
        """
        Sending to a peer that has gone raises nothing, and the connection ends as it would have.
        """
        peer, recorder, _, send = await self.lent(HalfCloseable)
        peer.reset()
        await recorder.until_lost()
        self.assertEqual(send_to_all([send], b"anybody there?", NOBODY), [(send, 0)])
        self.assertEqual(recorder.times_lost, 1)

    async def test_the_others_go_on(self) -> None:
        """
        One that has gone, and one that does not read, keep nothing from those behind them.
        """
        pairs = await self.connect(HalfCloseable, SMALL, number=4)
        sends: list[Any] = [lend(recorder.transport, Borrower()) for _, recorder in pairs]
        pairs[0][0].reset()
        await pairs[0][1].until_lost()
        send_to_all([sends[1]], pattern(8 * MEGABYTE), NOBODY)
        short = send_to_all(sends, b"hello", NOBODY)
        self.assertEqual(short, [(sends[0], 0), (sends[1], 0)])
        for peer, _ in pairs[2:]:
            self.assertEqual(await peer.read(5), b"hello")


class NotLentTests:
    """
    Mix into a run: what it makes is written to only.
    """

    async def test_is_not_lent(self) -> None:
        """
        What is sent past ``write`` would go in the clear, or past what travels with the bytes.
        """
        [(_, recorder)] = await self.connect()  # type: ignore[attr-defined]  # a Run
        self.assertIsNone(lend(recorder.transport, Borrower()))  # type: ignore[attr-defined]


class PlainTests(NotLentTests, OverPlain, Run, TestCase):
    """
    Connections of another reactor.
    """


class UnixTests(NotLentTests, OverUnix, OverLean, Run, TestCase):
    """
    UNIX sockets.
    """


class WrappedTests(OverLean, Run, TestCase):
    """
    What wraps a connection, and passes on what it is asked for.
    """

    async def test_is_not_lent(self) -> None:
        """
        A wrapper may change what is written, as TLS does.
        """
        recording = self.recording(Recorder)
        factory: Any = WrappingFactory(recording)
        factory.protocol = ProtocolWrapper
        self.peer(await self.listen(factory))
        await recording.until_made(1)
        self.assertIsNone(lend(recording.made[0].transport, Borrower()))


class SendToAllTests(SynchronousTestCase):
    """
    One round.
    """

    def test_nobody(self) -> None:
        """
        Nothing happens.
        """
        self.assertEqual(send_to_all([], b"x", NOBODY), [])

    def test_others_are_looked_at(self) -> None:
        """
        Between a few small sends, and between any two large ones.
        """
        for size, looks in ((1, 100 // AT_ONCE), (AT_ONCE_BYTES // 3, 50), (AT_ONCE_BYTES, 100), (MEGABYTE, 100)):
            counted: list[int] = []
            others = Interlude(lambda left_out: 0)
            self.patch(Interlude, "look", lambda self, counted=counted: counted.append(1))
            send_to_all([len] * 100, bytes(size), others)
            self.assertEqual(len(counted), looks, size)
