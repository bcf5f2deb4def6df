"""
Tests for :mod:`echochat.server.line`: a connection in bad weather. What the lines mean is tested elsewhere.
"""

import random
from typing import Any

from twisted.logger import formatEvent
from twisted.trial.unittest import TestCase

from echochat.server.factory import GRACE
from tests.net.lean.runs import MEGABYTE, SMALL, OverLean, OverPlain, OverUnix
from tests.server.serving import Serving

UNSENT = 256 * 1024
"""
The most that is kept for one client that does not read.
"""


class WeatherGuarantees(Serving):
    """
    What each client may rely on, and what none can do to the server.
    """

    def kept(self) -> int:
        """
        :return: how many bytes the server holds for its only client.
        """
        [connection] = self.factory.connections
        transport = connection.transport
        reader: Any = connection._session._reader
        return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen + len(reader._partial))

    async def test_half_close(self) -> None:
        """
        A client that has said everything gets every reply, although its end came with its lines.
        """
        peer = self.peer(await self.serve())
        lines = b"".join(b"line %d\r\n" % number for number in range(50))
        peer.socket.sendall(lines)
        peer.finish()
        self.assertEqual(await peer.read_to_end(), lines.upper())
        await self.all_gone()
        [end] = self.ends
        self.assertEqual((end["cause"], end["lines_in"], end["lines_out"]), ("the client closed", 50, 50))

    async def test_unfinished_line(self) -> None:
        """
        What was not finished when the client closed is no message.
        """
        peer = self.peer(await self.serve())
        await peer.send(b"one\r\ntwo\nthree")
        peer.finish()
        self.assertEqual(await peer.read_to_end(), b"ONE\r\nTWO\n")

    async def test_close_socket_with_more_behind_it(self) -> None:
        """
        A client that pipelines 200 KB behind ``CLOSE SOCKET``, and reads late, gets all answers before it and no more.
        """
        peer = await self.client(await self.serve(), receive_buffer=SMALL)
        lines = b"before\r\n" * 25_000
        sending = peer.send(lines + b"please CLOSE SOCKET now\r\n" + b"behind\r\n" * 25_000)
        await self.round_trip()
        self.assertEqual(await peer.read_to_end(), lines.upper())
        await sending
        peer.close()
        await self.all_gone()
        self.assertEqual((self.ends[0]["cause"], self.ends[0]["lines_out"]), ("CLOSE SOCKET", 25_000))

    async def test_never_reads(self) -> None:
        """
        A client that sends and does not read is not read from any more, and costs a bounded amount of memory; when it
        reads it gets every answer.
        """
        peer = await self.client(await self.serve(), receive_buffer=SMALL)
        lines = b"x" * 99 + b"\n"
        count = 20 * MEGABYTE // len(lines)
        sending = peer.send(lines * count)
        await self.until_stuck()
        for _ in range(3):
            await self.round_trip()
            self.assertLess(self.kept(), UNSENT)
        [connection] = self.factory.connections
        self.assertLess(connection.lines, count)
        answers = await peer.read(count * len(lines))
        await sending
        self.assertEqual(answers, lines.upper() * count)

    async def test_giant_lines_of_one_who_never_reads(self) -> None:
        """
        A line may be endless: its excess is dropped, and whoever sends many and does not read the refusals costs no
        more than others.
        """
        peer = await self.client(await self.serve(max_line=1_000), receive_buffer=SMALL)
        giant = b"x" * MEGABYTE
        for _ in range(20):
            await peer.send(giant)
            self.assertLess(self.kept(), 2_000)
        self.assertRegex(await self.ask(peer, b"\r\n"), rb"^/err line-too-long .*\r\n$")
        self.assertEqual(await self.ask(peer, b"small\r\n"), b"SMALL\r\n")
        sending = peer.send((b"x" * 1_001 + b"\n") * 50_000)
        await self.until_stuck()
        self.assertLess(self.kept(), UNSENT)
        refusals = await peer.read(50_000 * len(b"/err line-too-long "))
        self.assertTrue(refusals.startswith(b"/err line-too-long"))
        peer.leave()
        await self.all_gone()
        await sending.addErrback(lambda failure: failure.trap(OSError))

    async def test_stalls(self) -> None:
        """
        A client that takes nothing for the stall time is told so and let go. What its kernel took at the beginning of
        that time counts, so it may be twice as long.
        """
        peer = await self.client(await self.serve(stall=30), receive_buffer=SMALL)
        sending = peer.send(b"x\r\n" * (5 * MEGABYTE))
        await self.until_stuck()
        self.clock.advance(29.9)
        [connection] = self.factory.connections
        self.assertIn(connection, self.factory.stall)
        for seconds in (0.2, 30):
            if connection in self.factory.stall:
                self.clock.advance(seconds)
        self.assertNotIn(connection, self.factory.stall)
        # It has all the time it needs to read what it was sent before.
        answers = await peer.read_to_end()
        self.assertEqual(answers.count(b"X\r\n") * 3, len(answers) - len(answers.split(b"X\r\n")[-1]))
        self.assertEqual(answers.split(b"X\r\n")[-1], b"/bye slow nothing was taken for 30 seconds\r\n")
        peer.close()
        await self.all_gone()
        await sending.addErrback(lambda failure: failure.trap(OSError))
        self.assertEqual(self.ends[0]["cause"], "the client stopped reading")

    async def test_stalls_for_ever(self) -> None:
        """
        ... and is gone a little later when it takes nothing of that either.
        """
        peer = await self.client(await self.serve(stall=30), receive_buffer=SMALL)
        sending = peer.send(b"x\r\n" * (5 * MEGABYTE))
        await self.until_stuck()
        self.clock.pump([30, 30])
        await self.round_trip()
        self.clock.pump([GRACE, GRACE])
        await self.all_gone()
        cause = "the client stopped reading, and the client did not let go in time"
        self.assertEqual(self.ends[0]["cause"], cause)
        await sending.addErrback(lambda failure: failure.trap(OSError))

    async def test_reads_slowly(self) -> None:
        """
        A client that takes something in each stall time stays, however slow it is.
        """
        peer = await self.client(await self.serve(stall=30), receive_buffer=SMALL)
        lines = b"x\r\n" * (2 * MEGABYTE)
        sending = peer.send(lines)
        await self.until_stuck()
        answers = bytearray()
        while len(answers) < len(lines):
            taken = await peer.read(min(500_000, len(lines) - len(answers)))
            self.assertTrue(taken)
            answers += taken
            await self.round_trip()
            self.clock.advance(29)
        self.assertEqual(bytes(answers), lines.upper())
        await sending
        self.assertEqual(await self.ask(peer, b"still here\r\n"), b"STILL HERE\r\n")

    async def test_is_not_idle_while_it_cannot_speak(self) -> None:
        """
        A client that is not read from, because it is slow to take what it was sent, is not blamed for saying nothing.
        """
        peer = await self.client(await self.serve(idle=50, stall=0), receive_buffer=SMALL)
        lines = b"x\r\n" * (2 * MEGABYTE)
        sending = peer.send(lines)
        await self.until_stuck()
        self.clock.pump([49, 49, 49])
        self.assertEqual(await peer.read(len(lines)), lines.upper())
        await sending
        await self.round_trip()
        self.clock.advance(49)
        self.assertEqual(await self.ask(peer, b"still here\r\n"), b"STILL HERE\r\n")

    async def test_reads_all_and_says_nothing(self) -> None:
        """
        A client that has taken everything in the end is not slow any more; how long it says nothing counts from then.
        """
        peer = await self.client(await self.serve(idle=100, stall=30), receive_buffer=SMALL)
        await peer.send(b"/help\r\n" * 8_000)
        await self.until_stuck()
        [connection] = self.factory.connections
        answers = bytearray()
        while not answers.endswith(b"/ok help\r\n") or answers.count(b"/ok help\r\n") < 8_000:
            answers += await peer.read_some()
        await self.round_trip()
        self.clock.pump([30, 30, 39])
        self.assertIn(connection, self.factory.connections)
        self.clock.advance(1)
        self.assertEqual(await peer.read_to_end(), b"/bye idle no line came for 100 seconds\r\n")

    async def test_says_nothing(self) -> None:
        """
        A connection that says nothing in time is told so and closed; half a line is nothing.
        """
        address = await self.serve(first_line=60)
        silent, half, speaks = [await self.client(address) for _ in range(3)]
        await half.send(b"half a line")
        self.assertEqual(await self.ask(speaks, b"hello\r\n"), b"HELLO\r\n")
        await self.round_trip()
        self.clock.advance(59)
        self.assertEqual(len(self.factory.connections), 3)
        self.clock.advance(1)
        for peer in (silent, half):
            said = b"/bye idle the first line did not come within 60 seconds\r\n"
            self.assertEqual(await peer.read_to_end(), said)
            peer.close()
        await self.until(lambda: len(self.factory.connections) == 1)
        self.clock.advance(1_000)
        self.assertEqual(await self.ask(speaks, b"hello again\r\n"), b"HELLO AGAIN\r\n")

    async def test_is_idle(self) -> None:
        """
        Where idle connections are not wanted, one that says nothing for that long is told so and closed.
        """
        peer = await self.client(await self.serve(idle=100))
        for _ in range(3):
            self.assertEqual(await self.ask(peer, b"here\r\n"), b"HERE\r\n")
            self.clock.advance(99)
            await self.round_trip()
        self.clock.advance(1)
        self.assertEqual(await peer.read_to_end(), b"/bye idle no line came for 100 seconds\r\n")
        peer.close()
        await self.all_gone()

    async def test_http(self) -> None:
        """
        A browser cannot speak to the port: the connection closes at its first line and nothing else is executed.
        """
        peer = await self.client(await self.serve())
        await peer.send(b"POST /nick%20me HTTP/1.1\r\nHost: here\r\n\r\n/nick me\r\nhello\r\n")
        answer = await peer.read_to_end()
        self.assertRegex(answer, rb"^/bye protocol [^\n]*\r\n$")
        peer.close()
        await self.all_gone()
        self.assertEqual(self.ends[0]["lines_in"], 1)

    async def test_names_are_given_back(self) -> None:
        """
        A name is free as soon as its owner has gone, however that was.
        """
        address = await self.serve()
        for leave in ("close", "reset"):
            peer = await self.client(address)
            self.assertEqual(await self.ask(peer, b"/nick ada\r\n"), b"/ok nick ada\r\n")
            getattr(peer, leave)()
            await self.all_gone()

    async def test_vanishing_at_any_time(self) -> None:
        """
        Clients that vanish at any moment of whatever they do leave nothing behind, and nothing but a line in the log.
        """
        dice = random.Random(17)
        address = await self.serve(max_line=1_000)
        things = (
            b"hello\r\n",
            b"/nick ada-%d\r\n",
            b"/sub lobby presence=on\r\n/pub lobby hello\r\n",
            b"x" * 3_000,
            b"\xff\xfd\x01\xff\xfa",
            b"many lines\r\n" * 20_000,
            b"/help\r\n" * 300,
            b"CLOSE SOCKET\r\n",
            b"\xff\xfe\xfd\r\n",
        )
        for number in range(120):
            peer = self.peer(address, SMALL)
            peer.socket.setblocking(False)
            for _ in range(dice.randrange(4)):
                try:
                    peer.socket.send(dice.choice(things).replace(b"%d", b"%d" % number))
                except BlockingIOError:
                    break
                for _ in range(dice.randrange(3)):
                    await self.a_turn()
                    self.clock.advance(0)
            dice.choice((peer.reset, peer.close, peer.reset))()
        await self.round_trip()
        # Those that closed while much was under way are found by the deadlines.
        for _ in range(20):
            self.clock.advance(GRACE)
            await self.round_trip()
        await self.all_gone()
        self.assertEqual(self.factory.commons.people._taken, set())
        self.assertEqual([event for event in self.events if "log_failure" in event], [])

    async def test_log(self) -> None:
        """
        The end of a connection is one line in the log: who, from where, how long, how much, and why.
        """
        address = await self.serve()
        peer = await self.client(address)
        self.assertEqual(await self.ask(peer, b"hello\r\n"), b"HELLO\r\n")
        await peer.send(b"{number} {0.__class__}\r\n/nick {peer}\r\n%s%d\r\n/quit\r\n")
        await peer.read_to_end()
        self.clock.advance(1.5)
        peer.close()
        await self.all_gone()
        [end] = self.ends
        fields = {name: end[name] for name in ("number", "seconds", "cause", "lines_in", "bytes_in", "lines_out")}
        sent = len(b"hello\r\n{number} {0.__class__}\r\n/nick {peer}\r\n%s%d\r\n/quit\r\n")
        expected = {"number": 1, "seconds": 1.5, "cause": "quit", "lines_in": 5, "bytes_in": sent, "lines_out": 5}
        self.assertEqual(fields, expected)
        self.assertRegex(formatEvent(end), r"^connection 1 from .* ended after 1\.500 s: quit; in 5 lines, \d+ bytes; ")
        self.assertNotIn("__class__", "".join(formatEvent(event) for event in self.events))

    async def test_others_notice_nothing(self) -> None:
        """
        Whatever one client does, the others are answered.
        """
        address = await self.serve()
        steady = await self.client(address)
        stuck = await self.client(address, receive_buffer=SMALL)
        sending = stuck.send(b"x\r\n" * (3 * MEGABYTE))
        rude = [await self.client(address) for _ in range(3)]
        await rude[0].send(b"CLOSE SOCKET\r\n")
        await rude[1].send(b"GET / HTTP/1.0\r\n\r\n")
        rude[2].reset()
        for _ in range(20):
            self.assertEqual(await self.ask(steady, b"anybody?\n"), b"ANYBODY?\n")
        stuck.leave()
        await sending.addErrback(lambda failure: failure.trap(OSError))


class TcpWeatherGuarantees(WeatherGuarantees):
    """
    What holds for TCP besides: how much a client on a UNIX socket has taken is not known so exactly.
    """

    async def test_half_close_of_a_slow_reader(self) -> None:
        """
        A client that has said everything and takes its replies slowly, longer than the server's patience with one that
        takes nothing, gets them all.
        """
        peer = await self.client(await self.serve(), receive_buffer=SMALL)
        lines = b"x" * 1_000 + b"\n"
        await peer.send(lines * 300)
        peer.finish()
        await self.round_trip()
        answers = bytearray()
        while len(answers) < len(lines) * 300:
            taken = await peer.read(100_000)
            self.assertTrue(taken)
            answers += taken
            await self.round_trip()
            self.clock.advance(GRACE)
        self.assertEqual(answers + await peer.read_to_end(), lines.upper() * 300)
        await self.all_gone()
        self.assertEqual(self.ends[0]["cause"], "the client closed")


class LeanTcpTests(OverLean, TcpWeatherGuarantees, TestCase):
    """
    TCP over the lean reactor.
    """

    async def test_peer_is_named(self) -> None:
        """
        The log names the client by address and port.
        """
        peer = await self.client(await self.serve())
        name = "{}:{}".format(*peer.socket.getsockname())
        peer.close()
        await self.all_gone()
        self.assertEqual(self.ends[0]["peer"], name)

    async def test_reset_is_named(self) -> None:
        """
        ... and a client that vanished.
        """
        peer = await self.client(await self.serve())
        peer.reset()
        await self.all_gone()
        self.assertEqual(self.ends[0]["cause"], "the connection was lost")


class PlainTcpTests(OverPlain, TcpWeatherGuarantees, TestCase):
    """
    TCP over the plain reactor.
    """


class LeanUnixTests(OverLean, OverUnix, WeatherGuarantees, TestCase):
    """
    UNIX sockets over the lean reactor.
    """

    async def test_peer_is_named(self) -> None:
        """
        A client on a UNIX socket has no address.
        """
        peer = await self.client(await self.serve())
        peer.close()
        await self.all_gone()
        self.assertEqual(self.ends[0]["peer"], "a UNIX socket")
