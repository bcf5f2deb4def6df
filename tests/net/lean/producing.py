"""
What a stream connection promises about back-pressure, over any reactor and any kind of socket.
"""

import io
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.protocols.basic import FileSender
from zope.interface import implementer

from tests.net.lean.runs import MEGABYTE, SMALL, Run, pattern


@implementer(IPushProducer)
class Pushing:
    """
    A producer that counts what it is asked.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []

    def pauseProducing(self) -> None:
        self.asked.append("pause")

    def resumeProducing(self) -> None:
        self.asked.append("resume")

    def stopProducing(self) -> None:
        self.asked.append("stop")


@implementer(IPullProducer)
class Counting:
    """
    A producer that writes one number whenever it is asked, up to a last one.
    """

    def __init__(self, transport: Any, last: int) -> None:
        self._transport = transport
        self._last = last
        self._number = 0

    def resumeProducing(self) -> None:
        self._number += 1
        self._transport.write(b"%d " % self._number)
        if self._number == self._last:
            self._transport.unregisterProducer()
            self._transport.loseConnection()

    def stopProducing(self) -> None:
        pass


class ProducerGuarantees(Run):
    """
    Back-pressure, in both directions.
    """

    async def test_push_producer(self) -> None:
        """
        A push producer is paused while the peer does not take what was written, and resumed, once, when it has.
        """
        [(peer, recorder)] = await self.connect(receive_buffer=SMALL)
        producer = Pushing()
        recorder.transport.registerProducer(producer, True)
        recorder.transport.write(b"x")
        self.assertEqual(producer.asked, [])
        recorder.transport.write(b"x" * (8 * MEGABYTE))
        self.assertEqual(producer.asked, ["pause"])
        await peer.read(8 * MEGABYTE + 1)
        await self.until(lambda: producer.asked[-1] == "resume")
        self.assertEqual(producer.asked, ["pause", "resume"])
        recorder.transport.unregisterProducer()

    async def test_pull_producer(self) -> None:
        """
        A pull producer is asked again and again, also when the kernel takes all that it writes at once.
        """
        [(peer, recorder)] = await self.connect()
        recorder.transport.registerProducer(Counting(recorder.transport, 100), False)
        self.assertEqual(await peer.read_to_end(), b"".join(b"%d " % number for number in range(1, 101)))

    async def test_sending_a_file(self) -> None:
        """
        Twisted's own sender of files sends all of a file.
        """
        [(peer, recorder)] = await self.connect()
        content = pattern(MEGABYTE)
        sent = FileSender().beginFileTransfer(io.BytesIO(content), recorder.transport)
        self.assertEqual(await peer.read(MEGABYTE), content)
        await sent

    async def test_producer_is_stopped_at_the_end(self) -> None:
        """
        A producer whose consumer has gone is told so.
        """
        [(peer, recorder)] = await self.connect()
        producer = Pushing()
        recorder.transport.registerProducer(producer, True)
        peer.close()
        await recorder.until_lost()
        self.assertEqual(producer.asked, ["stop"])

    async def test_pause_and_resume(self) -> None:
        """
        A paused connection gets nothing; what came meanwhile is not lost.
        """
        [(peer, recorder)] = await self.connect()
        recorder.transport.pauseProducing()
        peer.socket.sendall(b"waiting")
        await self.round_trip()
        self.assertEqual(recorder.received, b"")
        recorder.transport.resumeProducing()
        await recorder.until_received(7)
        self.assertEqual(recorder.received, b"waiting")

    async def test_pause_while_receiving(self) -> None:
        """
        A connection that pauses itself gets nothing more, however much is there.
        """
        [(peer, recorder)] = await self.connect()
        recorder.on_data = lambda data: recorder.transport.pauseProducing()
        sending = peer.send(b"x" * MEGABYTE)
        await recorder.until_received(1)
        await self.round_trip()
        self.assertEqual(recorder.told.count("dataReceived"), 1)
        recorder.on_data = lambda data: None
        recorder.transport.resumeProducing()
        await recorder.until_received(MEGABYTE)
        await sending

    async def test_paused_by_another_in_one_batch(self) -> None:
        """
        A connection that another one pauses gets nothing, although its data had been reported together with the
        other's.
        """
        (first, one), (second, two) = await self.connect(number=2)

        def pause_the_other(data: bytes) -> None:
            other = two if one.received else one
            if not other.received:
                other.transport.pauseProducing()

        one.on_data = two.on_data = pause_the_other
        first.socket.sendall(b"1")
        second.socket.sendall(b"2")
        await self.until(lambda: one.received or two.received)
        await self.round_trip()
        self.assertEqual(sorted((bytes(one.received), bytes(two.received)))[0], b"")
        one.transport.resumeProducing()
        two.transport.resumeProducing()
        await gatherResults([one.until_received(1), two.until_received(1)])

    async def test_paused_connection_goes_on_writing(self) -> None:
        """
        Not to be read from does not keep what was written from being sent.
        """
        [(peer, recorder)] = await self.connect(receive_buffer=SMALL)
        recorder.transport.pauseProducing()
        recorder.transport.write(b"x" * MEGABYTE)
        self.assertEqual(len(await peer.read(MEGABYTE)), MEGABYTE)
