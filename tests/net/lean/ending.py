"""
What a stream connection promises about its end, over any reactor and any kind of socket.
"""

from twisted.internet.error import ConnectionAborted, ConnectionDone

from tests.net.lean.producing import Pushing
from tests.net.lean.runs import MEGABYTE, SMALL, Run, pattern
from tests.net.recorders import HalfCloseable


class ClosingGuarantees(Run):
    """
    Ends, ours and the peer's.
    """

    async def test_close_flushes(self) -> None:
        """
        A connection that is closed sends first what was written, however late the peer reads.
        """
        [(peer, recorder)] = await self.connect(receive_buffer=SMALL)
        content = pattern(4 * MEGABYTE)
        recorder.transport.write(content)
        recorder.transport.loseConnection()
        await self.round_trip()
        self.assertEqual(recorder.times_lost, 0)
        self.assertEqual(await peer.read_to_end(), content)
        await recorder.until_lost()
        assert recorder.reason is not None
        self.assertTrue(recorder.reason.check(ConnectionDone))

    async def test_close_gets_nothing_more(self) -> None:
        """
        After ``loseConnection`` no data come, although some are there.
        """
        [(peer, recorder)] = await self.connect()
        recorder.on_data = lambda data: recorder.transport.loseConnection()
        peer.socket.sendall(b"x" * (3 * 65_536))
        await recorder.until_lost()
        self.assertEqual(recorder.told.count("dataReceived"), 1)

    async def test_close_waits_for_the_producer(self) -> None:
        """
        A paused producer still has something to say: the connection closes when it has been unregistered.
        """
        [(peer, recorder)] = await self.connect(receive_buffer=SMALL)
        recorder.transport.registerProducer(Pushing(), True)
        recorder.transport.write(b"x" * (8 * MEGABYTE))
        recorder.transport.loseConnection()
        self.assertEqual(len(await peer.read(8 * MEGABYTE)), 8 * MEGABYTE)
        await self.round_trip()
        self.assertEqual(recorder.times_lost, 0)
        recorder.transport.unregisterProducer()
        await recorder.until_lost()

    async def test_abort(self) -> None:
        """
        An aborted connection ends at once, with what was not sent, and tells so; not within the call.
        """
        [(_, recorder)] = await self.connect(receive_buffer=SMALL)
        transport = recorder.transport
        transport.write(b"x" * (8 * MEGABYTE))
        transport.abortConnection()
        transport.abortConnection()
        transport.write(b"more")
        self.assertEqual(recorder.times_lost, 0)
        await recorder.until_lost()
        self.assertTrue(recorder.reason.check(ConnectionAborted))
        await self.a_turn()
        self.assertEqual(recorder.times_lost, 1)

    async def test_abort_while_receiving(self) -> None:
        """
        An aborted connection gets no more data, although some are there.
        """
        [(peer, recorder)] = await self.connect()
        recorder.on_data = lambda data: recorder.transport.abortConnection()
        peer.socket.sendall(b"x" * (3 * 65_536))
        await recorder.until_lost()
        self.assertEqual(recorder.told.count("dataReceived"), 1)

    async def test_aborted_by_another_in_one_batch(self) -> None:
        """
        A connection that another one aborts gets no data, although they had been reported together with the other's.
        """
        (first, one), (second, two) = await self.connect(number=2)
        one.on_data = lambda data: two.transport.abortConnection()
        two.on_data = lambda data: one.transport.abortConnection()
        first.socket.sendall(b"1")
        second.socket.sendall(b"2")
        await self.until(lambda: one.times_lost or two.times_lost)
        aborted = one if one.times_lost else two
        self.assertEqual(bytes(aborted.received), b"")

    async def test_peer_closes(self) -> None:
        """
        The peer's end is the connection's, for a protocol that knows no half-closed ones, after all data.
        """
        [(peer, recorder)] = await self.connect()
        peer.socket.sendall(b"last words")
        peer.finish()
        await recorder.until_lost()
        self.assertEqual(recorder.received, b"last words")
        self.assertTrue(recorder.reason.check(ConnectionDone))
        self.assertEqual(await peer.read_to_end(), b"")

    async def test_peer_half_closes(self) -> None:
        """
        A peer that has said everything still gets what is written then.
        """
        [(peer, recorder)] = await self.connect(HalfCloseable, receive_buffer=SMALL)
        peer.socket.sendall(b"question")
        peer.finish()
        await recorder.until_told("readConnectionLost")
        self.assertEqual(recorder.received, b"question")
        self.assertEqual(recorder.times_lost, 0)
        answer = pattern(4 * MEGABYTE)
        recorder.transport.write(answer)
        recorder.transport.loseConnection()
        self.assertEqual(await peer.read_to_end(), answer)
        await recorder.until_lost()
        self.assertEqual(recorder.told.count("readConnectionLost"), 1)

    async def test_half_close(self) -> None:
        """
        Our half closes when all has been sent; what the peer says then still comes, and its end too.
        """
        [(peer, recorder)] = await self.connect(HalfCloseable, receive_buffer=SMALL)
        content = pattern(4 * MEGABYTE)
        recorder.transport.write(content)
        recorder.transport.loseWriteConnection()
        self.assertEqual(await peer.read_to_end(), content)
        await recorder.until_told("writeConnectionLost")
        recorder.transport.write(b"too late")
        peer.socket.sendall(b"I hear you")
        peer.finish()
        await recorder.until_told("readConnectionLost")
        self.assertEqual(recorder.received, b"I hear you")
        self.assertEqual(recorder.times_lost, 0)
        recorder.transport.loseConnection()
        await recorder.until_lost()
        self.assertTrue(recorder.reason.check(ConnectionDone))
        self.assertEqual(await peer.read_to_end(), b"")
