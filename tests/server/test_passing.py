"""
Tests for who is answered while others are sent to: real sockets, and a delivery within one turn of the reactor.
"""

import select
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from echochat.net.lean import interlude
from tests.net.lean.runs import OverLean
from tests.net.peers import Peer
from tests.server.serving import Serving


def now(peer: Peer) -> bytes:
    """
    What has come by now.
    """
    return bytes(peer.socket.recv(1 << 16)) if select.select([peer.socket], [], [], 0)[0] else b""


class _Clock(Clock):
    """
    The server's time, and what answers its connections.
    """

    answer_in_passing: Any


class PassingTests(OverLean, Serving, TestCase):
    """
    An event for many keeps nobody waiting who only wants an echo.
    """

    def setUp(self) -> None:
        super().setUp()
        self.clock = clock = _Clock()
        clock.answer_in_passing = self.reactor.answer_in_passing
        # Others are answered whenever the delivery looks at them.
        self.patch_piece(0.0)

    def patch_piece(self, seconds: float) -> None:
        self.patch(interlude, "PIECE", seconds)

    async def topic(self, address: Any, followers: int = 8) -> list[Peer]:
        """
        :return: who follows a topic, to which something was published that is not delivered before time passes.
        """
        following = [await self.client(address) for _ in range(followers)]
        for each in following:
            self.assertTrue((await self.ask(each, b"/sub lobby\n")).startswith(b"/ok sub lobby"))
        publisher = await self.client(address)
        publisher.socket.sendall(b"/pub lobby hello\n")
        await self.until(lambda: self.factory.exchange.counters.publishes)
        return following

    async def rank(self, address: Any, followers: int = 8) -> list[Peer]:
        """
        :return: the same, when all who follow are sent to in one round.
        """
        following = await self.topic(address, followers)
        self.deliver(following)
        publisher = await self.client(address)
        publisher.socket.sendall(b"/pub lobby again\n")
        await self.until(lambda: self.factory.exchange.counters.publishes == 2)
        [log] = self.factory.exchange.hub._topics.values()
        self.assertEqual(len(log.cursors), 0)
        return following

    async def talker(self, address: Any) -> Peer:
        """
        :return: a client that has talked already.
        """
        peer = await self.client(address)
        self.assertEqual(await self.ask(peer, b"first\n"), b"FIRST\n")
        return peer

    def deliver(self, following: list[Peer]) -> None:
        """
        Let everybody be given what was published. The reactor has no turn meanwhile.
        """
        self.clock.pump([0, 0])
        for each in following:
            line = now(each)
            self.assertTrue(line.startswith(b"/event lobby 1 "), line)
            self.assertTrue(line.endswith(b" hello\r\n"), line)

    async def test_an_echo(self) -> None:
        """
        Who only talks is answered before the delivery is over.
        """
        address = await self.serve()
        following = await self.topic(address)
        peer = await self.talker(address)
        peer.socket.sendall(b"well?\nand this?\n")
        self.deliver(following)
        self.assertEqual(now(peer), b"WELL?\nAND THIS?\n")
        self.assertEqual(await self.ask(peer, b"go on\n"), b"GO ON\n")
        [connection] = [each for each in self.factory.connections if each.lines == 4]
        self.assertEqual((connection.lines_echoed, connection._bytes_in, connection._bytes_out), (3, 28, 28))

    async def test_within_a_rank(self) -> None:
        """
        ... also when all who follow the topic are sent to in one round, and the deliveries rest then.
        """
        address = await self.serve()
        await self.rank(address)
        peer = await self.talker(address)
        peer.socket.sendall(b"well?\n")
        self.clock.pump([0, 0])
        self.assertEqual(now(peer), b"WELL?\n")
        self.assertGreater(self.factory.exchange.interlude._rest_until, 0)

    async def test_between_topics(self) -> None:
        """
        ... and between the rounds of topics that have few followers each.
        """
        address = await self.serve()
        await self.rank(address, followers=3)
        peer = await self.talker(address)
        peer.socket.sendall(b"well?\n")
        self.clock.pump([0, 0])
        self.assertEqual(now(peer), b"WELL?\n")

    async def test_without_it(self) -> None:
        """
        ... which the same delivery does not do where it takes less than a piece: so the test above tests something.
        """
        self.patch_piece(60.0)
        address = await self.serve()
        following = await self.topic(address)
        peer = await self.talker(address)
        peer.socket.sendall(b"well?\n")
        self.deliver(following)
        self.assertEqual(now(peer), b"")
        self.assertEqual(await peer.read(6), b"WELL?\n")

    async def test_everything_else(self) -> None:
        """
        Whatever is more than a message waits until the delivery is over, with what came behind it, and is answered in
        its order.
        """
        address = await self.serve()
        following = await self.topic(address)
        said = {
            b"/ping x\nhello\n": b"/ok ping x\r\nHELLO\n",
            b"hello\n/ping x\n": b"HELLO\n/ok ping x\r\n",
            b"/pub other hello\n/ping y\n": b"/ok pub other 2\r\n/ok ping y\r\n",
            b"a\nCLOSE SOCKET\n": b"A\n",
            b"\xff\xfd\x01hello\n": b"HELLO\n",
            b"\xc3\x28\n": b"/err bad-encoding ",
            b"half a li": b"HALF A LINE\n",
        }
        peers = {text: await self.talker(address) for text in said}
        for text, peer in peers.items():
            peer.socket.sendall(text)
        self.deliver(following)
        self.assertEqual([now(peer) for peer in peers.values()], [b""] * len(peers))
        peers[b"half a li"].socket.sendall(b"ne\n")
        for text, answer in said.items():
            told = b""
            while len(told) < len(answer):
                self.clock.advance(0)
                await self.round_trip()
                told += now(peers[text])
            self.assertTrue(told.startswith(answer), (text, told))

    async def test_half_a_line(self) -> None:
        """
        Whole lines are answered, and what comes behind the last of them waits.
        """
        address = await self.serve()
        following = await self.topic(address)
        peer = await self.talker(address)
        peer.socket.sendall(b"one\ntwo\nand ha")
        self.deliver(following)
        self.assertEqual(now(peer), b"ONE\nTWO\n")
        self.assertEqual(await self.ask(peer, b"lf\n"), b"AND HALF\n")

    async def test_who_has_not_talked(self) -> None:
        """
        The first line of a connection may be a browser's, and is looked at in a turn.
        """
        address = await self.serve()
        following = await self.topic(address)
        peer = await self.client(address)
        peer.socket.sendall(b"hello\n")
        self.deliver(following)
        self.assertEqual(now(peer), b"")
        self.assertEqual(await peer.read(6), b"HELLO\n")

    async def test_who_follows(self) -> None:
        """
        Who follows something may be one of those who are sent to: it is answered after the delivery, and nothing is
        written into the middle of an event.
        """
        address = await self.serve()
        following = await self.rank(address)
        for each in following:
            each.socket.sendall(b"well?\n")
        self.clock.pump([0, 0])
        self.assertEqual(sum(each.lines_echoed for each in self.factory.connections), 0)
        for each in following:
            event = await self.ask(each, b"")
            self.assertTrue(event.endswith(b" again\r\n"), event)
            self.assertEqual(await each.read(6), b"WELL?\n")

    async def test_who_has_left(self) -> None:
        """
        ... and so is who has ended, or goes away without a word.
        """
        address = await self.serve()
        following = await self.topic(address)
        ended, reset = await self.talker(address), await self.talker(address)
        ended.socket.sendall(b"bye\n")
        ended.finish()
        reset.reset()
        self.deliver(following)
        self.assertEqual(await ended.read_to_end(), b"BYE\n")
        await self.until(lambda: len(self.factory.connections) == len(following) + 1)

    async def test_not_idle(self) -> None:
        """
        Who was answered in passing has said something.
        """
        address = await self.serve(idle=10)
        peer = await self.talker(address)
        for _ in range(4):
            self.clock.advance(6)
            peer.socket.sendall(b"still here\n")
            self.assertEqual(self.reactor.answer_in_passing(set()), 1)
        self.assertEqual(await peer.read(44), b"STILL HERE\n" * 4)
