"""
What a stream connection promises about what is written, over any reactor and any kind of socket.
"""

import random

from tests.net.lean.runs import MEGABYTE, SMALL, Run, pattern


class WritingGuarantees(Run):
    """
    What is written arrives, once and in order, however little the peer takes at a time.
    """

    async def test_echo(self) -> None:
        """
        What is written when data come is with the peer.
        """
        [(peer, recorder)] = await self.connect()
        recorder.on_data = recorder.transport.write
        for text in (b"one", b"two", b"three" * 1000):
            await peer.send(text)
            self.assertEqual(await peer.read(len(text)), text)
        self.assertEqual(bytes(recorder.received), b"onetwo" + b"three" * 1000)

    async def test_more_than_the_peer_takes(self) -> None:
        """
        Of a large write the kernel takes a part; the rest, and what was written behind it by whichever method,
        follows in order.
        """
        [(peer, recorder)] = await self.connect(receive_buffer=SMALL)
        large = pattern(8 * MEGABYTE)
        recorder.transport.write(large)
        recorder.transport.write(b"small")
        recorder.transport.writeSequence([b"a", b"", b"sequence"])
        recorder.transport.write(b"end")
        self.assertGreater(len(recorder.transport.dataBuffer) + recorder.transport._tempDataLen, MEGABYTE)
        recorder.transport.loseConnection()
        self.assertEqual(await peer.read_to_end(), large + b"smallasequenceend")

    async def test_many_writes_of_all_sizes(self) -> None:
        """
        Writes that are taken at once and writes that wait do not overtake one another.
        """
        [(peer, recorder)] = await self.connect(receive_buffer=SMALL)
        dice = random.Random(11)
        everything = pattern(3 * MEGABYTE)
        reading = peer.read(len(everything))
        at = 0
        while at < len(everything):
            size = dice.choice((1, 10, 1_000, 70_000, 300_000))
            if dice.random() < 0.5:
                recorder.transport.write(everything[at : at + size])
            else:
                recorder.transport.writeSequence(
                    [everything[at : at + size // 2], everything[at + size // 2 : at + size]]
                )
            at += size
            if dice.random() < 0.1:
                await self.a_turn()
        self.assertEqual(await reading, everything)

    async def test_nothing_overtakes(self) -> None:
        """
        A write does not overtake one that waits, also when there is room again and the reactor has not seen it yet.
        """
        [(peer, recorder)] = await self.connect(receive_buffer=SMALL)
        content = pattern(8 * MEGABYTE)
        recorder.transport.write(content)
        # Some of it goes, as much as the kernel takes, and the rest is what Twisted calls the data buffer.
        start = await peer.read(MEGABYTE)
        await self.round_trip()
        self.assertGreater(len(recorder.transport.dataBuffer), 0)
        taken = bytearray()
        while len(taken) < 100_000:
            taken += peer.socket.recv(100_000)
        recorder.transport.write(b"behind")
        recorder.transport.loseConnection()
        self.assertEqual(start + taken + await peer.read_to_end(), content + b"behind")

    async def test_writing_nothing(self) -> None:
        """
        An empty write is none.
        """
        [(peer, recorder)] = await self.connect()
        recorder.transport.write(b"")
        recorder.transport.writeSequence([])
        recorder.transport.write(b"x")
        recorder.transport.loseConnection()
        self.assertEqual(await peer.read_to_end(), b"x")

    async def test_only_bytes(self) -> None:
        """
        Text is refused, and the connection is as it was.
        """
        [(peer, recorder)] = await self.connect()
        self.assertRaises(TypeError, recorder.transport.write, "text")
        recorder.transport.write(b"bytes")
        self.assertEqual(await peer.read(5), b"bytes")

    async def test_woken_for_nothing(self) -> None:
        """
        A wake-up when there is nothing to read is no end.
        """
        [(peer, recorder)] = await self.connect()
        self.assertIsNone(recorder.transport.doRead())
        self.assertEqual(recorder.told, ["connectionMade"])
        await peer.send(b"now")
        await recorder.until_received(3)

    async def test_writing_after_the_end(self) -> None:
        """
        What is written after the connection was lost is dropped, and nobody is told again.
        """
        [(peer, recorder)] = await self.connect()
        transport = recorder.transport
        peer.close()
        await recorder.until_lost()
        transport.write(b"late")
        transport.writeSequence([b"later"])
        transport.loseConnection()
        transport.abortConnection()
        await self.a_turn()
        self.assertEqual(recorder.times_lost, 1)
