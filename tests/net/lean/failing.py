"""
What a reactor promises about connections that fail, and those beside them.
"""

from typing import Any

from tests.net.lean.producing import Pushing
from tests.net.lean.runs import MEGABYTE, SMALL, Run
from tests.net.recorders import HalfCloseable


class FailureGuarantees(Run):
    """
    A mistake in one connection is that connection's: it is logged, ends it, and harms no other.
    """

    async def assert_others_are_well(self, pairs: list[tuple[Any, Any]]) -> None:
        for peer, recorder in pairs:
            recorder.on_data = recorder.transport.write
            peer.socket.sendall(b"well?")
            self.assertEqual(await peer.read(5), b"well?")

    async def test_in_data_received(self) -> None:
        """
        An exception in ``dataReceived`` is the reason for which the connection is lost.
        """
        (peer, recorder), *others = await self.connect(number=4)

        def fail(data: bytes) -> None:
            raise ZeroDivisionError

        recorder.on_data = fail
        for each in (peer, *(other for other, _ in others)):
            each.socket.sendall(b"x")
        await recorder.until_lost()
        self.assertTrue(recorder.reason.check(ZeroDivisionError))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(recorder.times_lost, 1)
        await peer.is_reset()
        await self.assert_others_are_well(others)

    async def test_in_connection_lost(self) -> None:
        """
        An exception in ``connectionLost`` is logged.
        """
        (peer, recorder), *others = await self.connect(number=4)

        def fail() -> None:
            raise ZeroDivisionError

        recorder.on_lost = fail
        for each in (peer, *(other for other, _ in others)):
            each.socket.sendall(b"x")
        peer.close()
        await recorder.until_lost()
        await self.a_turn()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(recorder.times_lost, 1)
        await self.assert_others_are_well(others)

    async def test_while_writing(self) -> None:
        """
        An exception of a producer that is resumed ends the connection.
        """
        (peer, recorder), *others = await self.connect(number=4, receive_buffer=SMALL)

        class Failing(Pushing):
            def resumeProducing(self) -> None:
                raise ZeroDivisionError

        recorder.transport.registerProducer(Failing(), True)
        recorder.transport.write(b"x" * (4 * MEGABYTE))
        await peer.read(4 * MEGABYTE)
        await recorder.until_lost()
        self.assertTrue(recorder.reason.check(ZeroDivisionError))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        await self.assert_others_are_well(others)

    async def test_in_read_connection_lost(self) -> None:
        """
        An exception of a protocol that is told of the peer's half-close ends the connection.
        """

        class Failing(HalfCloseable):
            def readConnectionLost(self) -> None:
                raise ZeroDivisionError

        (peer, recorder), *others = await self.connect(Failing, number=4)
        peer.finish()
        await recorder.until_lost()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        await self.assert_others_are_well(others)

    async def test_when_made(self) -> None:
        """
        An exception in ``connectionMade`` leaves the port accepting.
        """
        mistakes = [ZeroDivisionError]

        class Failing(HalfCloseable):
            def connectionMade(self) -> None:
                if mistakes:
                    raise mistakes.pop()
                super().connectionMade()

        recording = self.recording(Failing)
        address = await self.listen(recording)
        self.peer(address)
        await recording.until_made(1)
        peer = self.peer(address)
        await recording.until_made(2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        await self.assert_others_are_well([(peer, recording.made[1])])
