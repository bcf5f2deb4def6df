"""
Tests for :mod:`echochat.net.handoff.endpoint` and :mod:`echochat.net.handoff.port`: a worker, over real sockets.
"""

import os
import socket
import stat
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.net.gate import Gate
from echochat.net.handoff import port as port_module
from echochat.net.handoff.balancers import Balancer
from echochat.net.handoff.frames import (
    EVERYBODY,
    MOST_TOGETHER,
    TOKEN,
    VERSION,
    Alive,
    Complete,
    End,
    Ended,
    Hand,
    Hello,
    Kick,
    Move,
    Moved,
    Ping,
    Pong,
    Refused,
    Situation,
    Strangers,
    Taken,
    Welcome,
    Willing,
    encode,
)
from tests.net.handoff.raw import Clients, RawBalancer, descriptors
from tests.net.lean.runs import OverLean, OverPlain, Run
from tests.net.recorders import HalfCloseable, Recorder, Recording


class Guarantees(Run):
    """
    What a worker promises over any reactor.
    """

    def setUp(self) -> None:
        super().setUp()
        self.port: Any = None
        # When the tests' own ends are closed, and before it is looked whether something was left behind.
        self.addCleanup(self._until_channels_are_closed)
        self.clients = Clients()
        self.addCleanup(self.clients.close)

    async def serve(self, make: Any = HalfCloseable) -> None:
        """
        Listen for balancers.
        """
        self.recorders: Recording = self.recording(make)
        self.path = f"{self.folder()}/w1.sock"
        self.port = await serverFromString(self.reactor, f"handoff:{self.path}").listen(self.recorders)
        self.listening(self.port)

    async def serve_one(self) -> Gate:
        """
        Listen, and have a place for one connection: others wait until it is left.
        """
        await self.serve()
        gate = Gate(1)
        gate.guard(self.port)
        build = self.recorders.buildProtocol

        def enter_and_build(address: Any) -> Any:
            gate.enter()
            return build(address)

        self.patch(self.recorders, "buildProtocol", enter_and_build)
        return gate

    async def _until_channels_are_closed(self) -> None:
        if self.port is not None:
            await self.until(lambda: not self.port._channels)

    def balancer(self) -> RawBalancer:
        """
        Connect as one.
        """
        raw = RawBalancer(self.path)
        self.addCleanup(raw.close)
        return raw

    async def greeted(self, token: bytes = bytes(TOKEN)) -> RawBalancer:
        """
        Connect, and hear the welcome of a worker that has none of our connections.
        """
        raw = self.balancer()
        raw.greet(token)
        welcome, complete = await raw.hear(2)
        self.assertEqual((type(welcome), complete), (Welcome, Complete(0, 0)))
        raw.heard.clear()
        return raw

    async def test_serves_with_the_clients_address(self) -> None:
        """
        A connection that is handed over is served as if it had been accepted here: from the client's address, in both
        directions; what had come before is there. The balancer is told when it is taken and when it ends, with the
        bytes each way.
        """
        await self.serve()
        raw = await self.greeted()
        client, accepted = self.clients.pair()
        client.sendall(b"before")
        raw.hand(7, accepted.fileno())
        self.assertEqual(await raw.hear(1), [Taken(7)])
        accepted.close()
        await self.recorders.until_made(1)
        recorder = self.recorders.made[0]
        await recorder.until_received(6)
        client.sendall(b" and after")
        await recorder.until_received(16)
        self.assertEqual(bytes(recorder.received), b"before and after")
        peer, host = recorder.transport.getPeer(), recorder.transport.getHost()
        self.assertEqual((peer.host, peer.port), client.getsockname())
        self.assertEqual((host.host, host.port), client.getpeername())
        recorder.transport.write(b"good-bye")
        recorder.transport.loseConnection()
        self.assertEqual(await raw.hear(2), [Taken(7), Ended(7, 16, 8, End.WORKER)])
        self.assertEqual(client.recv(100), b"good-bye")
        self.assertEqual(client.recv(100), b"")

    async def test_client_closes(self) -> None:
        """
        A client that closes first is told apart, and its FIN is not counted as a byte.
        """
        await self.serve(Recorder)
        raw = await self.greeted()
        client, accepted = self.clients.pair()
        raw.hand(1, accepted.fileno())
        await raw.hear(1)
        accepted.close()
        client.sendall(b"12345")
        await self.recorders.until_made(1)
        await self.recorders.made[0].until_received(5)
        client.close()
        self.assertEqual(await raw.hear(2), [Taken(1), Ended(1, 5, 0, End.CLIENT)])

    async def test_unix_clients(self) -> None:
        """
        Connections on UNIX sockets can be handed over, too; their bytes are not known.
        """
        await self.serve()
        raw = await self.greeted()
        client, accepted = self.clients.unix_pair()
        raw.hand(1, accepted.fileno())
        await raw.hear(1)
        accepted.close()
        client.sendall(b"hello")
        await self.recorders.until_made(1)
        await self.recorders.made[0].until_received(5)
        self.recorders.made[0].transport.loseConnection()
        self.assertEqual((await raw.hear(2))[1], Ended(1, -1, -1, End.WORKER))

    async def test_taken_before_it_is_touched(self) -> None:
        """
        When a protocol is made of a connection, and could read or write, the balancer has been told already that it is
        taken.
        """
        await self.serve()
        raw = await self.greeted()
        told: list[bytes] = []
        build = self.recorders.buildProtocol

        def look_and_build(address: Any) -> Any:
            told.append(raw.socket.recv(100, socket.MSG_PEEK))
            return build(address)

        self.patch(self.recorders, "buildProtocol", look_and_build)
        raw.hand(1, self.clients.pair()[1].fileno())
        await self.recorders.until_made(1)
        self.assertEqual(told, [encode(Taken(1))])

    async def test_not_taken_when_nobody_hears_it(self) -> None:
        """
        A connection of a balancer that does not listen any more is not served: the balancer has given it to another.
        """
        await self.serve()
        raw = await self.greeted()
        before = descriptors()
        client, accepted = self.clients.pair()
        raw.hand(1, accepted.fileno())
        raw.socket.shutdown(socket.SHUT_RD)
        await self.until(lambda: not self.port._channels)
        self.assertEqual(self.recorders.made, [])
        self.assertEqual(descriptors(), before + 1)
        # It is still the balancer's, untouched.
        client.sendall(b"x")
        self.assertEqual(accepted.recv(10), b"x")

    async def test_a_thousand(self) -> None:
        """
        Every connection is taken once and ended once, and no descriptor stays.
        """
        await self.serve(Recorder)
        raw = await self.greeted()
        before = descriptors()
        numbers = list(range(1, 1_001))
        for number in numbers:
            client, accepted = self.clients.pair()
            raw.hand(number, accepted.fileno())
            accepted.close()
            if number % 3:
                client.sendall(b"x" * number)
            client.close()
            if not number % 50:
                await raw.hear(len(raw.heard) + 1)
        frames = await raw.hear(2_000)
        self.assertEqual([each.number for each in frames if isinstance(each, Taken)], numbers)
        ended = {each.number: each.received for each in frames if isinstance(each, Ended)}
        self.assertEqual(ended, {number: number if number % 3 else 0 for number in numbers})
        self.assertEqual(len(frames), 2_000)
        self.assertEqual(descriptors(), before)

    async def test_together(self) -> None:
        """
        Several that come in one record are taken in their order.
        """
        await self.serve()
        raw = await self.greeted()
        pairs = [self.clients.pair() for _ in range(MOST_TOGETHER)]
        numbers = range(5, 5 + MOST_TOGETHER)
        raw.send(b"".join(encode(Hand(number)) for number in numbers), [accepted.fileno() for _, accepted in pairs])
        self.assertEqual(await raw.hear(MOST_TOGETHER), [Taken(number) for number in numbers])
        await self.recorders.until_made(MOST_TOGETHER)
        self.assertEqual(
            [recorder.transport.client for recorder in self.recorders.made],
            [client.getsockname() for client, _ in pairs],
        )

    async def test_gone_before_it_was_taken(self) -> None:
        """
        A client that has reset its connection meanwhile is taken and ended.
        """
        await self.serve()
        raw = await self.greeted()
        client, accepted = self.clients.pair()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        raw.hand(1, accepted.fileno())
        self.assertEqual(await raw.hear(2), [Taken(1), Ended(1, 0, 0, End.LOST)])

    async def test_not_wanted_by_the_factory(self) -> None:
        """
        A connection for which there is no protocol, or whose protocol fails when it is made, is closed and ended.
        """
        await self.serve()
        raw = await self.greeted()
        self.patch(self.recorders, "buildProtocol", lambda address: None)
        raw.hand(1, self.clients.pair()[1].fileno())
        self.assertEqual(await raw.hear(2), [Taken(1), Ended(1, 0, 0, End.WORKER)])
        self.patch(self.recorders, "buildProtocol", lambda address: 1 / 0)
        raw.hand(2, self.clients.pair()[1].fileno())
        self.assertEqual((await raw.hear(4))[2:], [Taken(2), Ended(2, 0, 0, End.WORKER)])
        self.patch(self.recorders, "buildProtocol", lambda address: _Failing())
        raw.hand(3, self.clients.pair()[1].fileno())
        self.assertEqual((await raw.hear(6))[4:], [Taken(3), Ended(3, 0, 0, End.ABORTED)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    async def test_gate(self) -> None:
        """
        While the gate is shut connections are refused, and the balancer is told so; those who were promised a place
        before it shut wait for one, as in the kernel's queue.
        """
        gate = await self.serve_one()
        raw = await self.greeted()
        # Two in one turn: both are promised before the first shuts the gate.
        pairs = [self.clients.pair() for _ in range(3)]
        raw.hand(1, pairs[0][1].fileno())
        raw.hand(2, pairs[1][1].fileno())
        self.assertEqual(await raw.hear(3), [Taken(1), Taken(2), Situation(Willing.FULL)])
        raw.hand(3, pairs[2][1].fileno())
        self.assertEqual((await raw.hear(4))[3], Refused(3, Willing.FULL))
        self.assertEqual(len(self.recorders.made), 1)
        gate.leave()
        await self.recorders.until_made(2)
        raw.say(Ping(5))
        self.assertEqual((await raw.hear(5))[4], Pong(5))
        gate.leave()
        self.assertEqual((await raw.hear(6))[5], Situation(Willing.OPEN))

    async def test_kicked_while_it_waits(self) -> None:
        """
        A connection that was promised a place, and waits for one, is closed by its balancer's kick as any other; those
        that wait beside it go on to wait.
        """
        gate = await self.serve_one()
        raw, other = await self.greeted(), await self.greeted(b"o" * TOKEN)
        pairs = [self.clients.pair() for _ in range(3)]
        raw.send(b"".join(encode(Hand(number)) for number in (1, 2, 3)), [accepted.fileno() for _, accepted in pairs])
        self.assertEqual(await raw.hear(4), [Taken(1), Taken(2), Taken(3), Situation(Willing.FULL)])
        for _, accepted in pairs:
            accepted.close()
        other.say(Kick(2), Ping(1))
        self.assertEqual(await other.hear(2), [Situation(Willing.FULL), Pong(1)])
        raw.say(Kick(2))
        self.assertEqual((await raw.hear(5))[4], Ended(2, 0, 0, End.ABORTED))
        self.assertEqual(pairs[1][0].recv(1), b"")
        gate.leave()
        await self.recorders.until_made(2)
        self.assertEqual(self.recorders.made[1].transport.getPeer().port, pairs[2][0].getsockname()[1])

    async def test_stops(self) -> None:
        """
        A worker that stops tells its balancers, refuses what was on its way, listens no more, and ends a channel with
        the last connection that came on it.
        """
        await self.serve()
        raw = await self.greeted()
        idle = await self.greeted(b"i" * TOKEN)
        raw.hand(1, self.clients.pair()[1].fileno())
        await raw.hear(1)
        await self.recorders.until_made(1)
        await self.port.stopListening()
        self.assertFalse(os.path.exists(self.path))
        self.assertEqual(await idle.hear_the_end(), [Situation(Willing.DRAINING)])
        raw.hand(2, self.clients.pair()[1].fileno())
        self.assertEqual(await raw.hear(3), [Taken(1), Situation(Willing.DRAINING), Refused(2, Willing.DRAINING)])
        self.recorders.made[0].transport.abortConnection()
        self.assertEqual((await raw.hear_the_end())[3:], [Ended(1, 0, 0, End.ABORTED)])

    async def test_the_same_balancer_again(self) -> None:
        """
        When a channel breaks its connections go on. The same balancer is told which of them are alive when it connects
        again, also before the worker has seen the end of the first channel; another is told nothing of them.
        """
        await self.serve()
        token = b"b" * TOKEN
        first = await self.greeted(token)
        for number in (1, 2, 3):
            first.hand(number, self.clients.pair()[1].fileno())
        await first.hear(3)
        await self.recorders.until_made(3)
        first.close()
        self.recorders.made[1].transport.abortConnection()
        await self.recorders.made[1].until_lost()
        second = self.balancer()
        second.greet(token)
        self.assertEqual((await second.hear(4))[1:], [Alive(1), Alive(3), Complete(2, 0)])
        third = self.balancer()
        third.greet(token)
        self.assertEqual((await third.hear(4))[1:], [Alive(1), Alive(3), Complete(2, 0)])
        self.assertEqual(len(await second.hear_the_end()), 4)
        self.recorders.made[0].transport.abortConnection()
        self.assertEqual((await third.hear(5))[4], Ended(1, 0, 0, End.ABORTED))
        await self.greeted(b"c" * TOKEN)

    async def test_strangers(self) -> None:
        """
        A balancer is told how many connections there are of balancers that are gone, when it comes and when that
        changes, as their ends or their return do; not those of one that is there. A worker that is stopping waits for
        them before it closes the channel.
        """
        await self.serve()
        gone, there = await self.greeted(b"a" * TOKEN), await self.greeted(b"b" * TOKEN)
        for number in (1, 2, 3):
            gone.hand(number, self.clients.pair()[1].fileno())
        there.hand(1, self.clients.pair()[1].fileno())
        await gone.hear(3)
        await there.hear(1)
        await self.recorders.until_made(4)
        gone.close()
        self.assertEqual(await there.hear(2), [Taken(1), Strangers(3)])
        new = self.balancer()
        new.greet(b"c" * TOKEN)
        self.assertEqual((await new.hear(2))[1], Complete(0, 3))
        self.recorders.made[0].transport.abortConnection()
        self.assertEqual((await new.hear(3))[2:], [Strangers(2)])
        again = self.balancer()
        again.greet(b"a" * TOKEN)
        self.assertEqual((await again.hear(4))[3], Complete(2, 0))
        self.assertEqual((await new.hear(4))[3:], [Strangers(0)])
        again.close()
        self.assertEqual((await new.hear(5))[4:], [Strangers(2)])
        self.port.stopListening()
        self.assertEqual((await new.hear(6))[5:], [Situation(Willing.DRAINING)])
        for recorder in self.recorders.made[1:3]:
            recorder.transport.abortConnection()
        self.assertEqual((await new.hear_the_end())[-1], Strangers(0))
        self.recorders.made[3].transport.abortConnection()
        await there.hear_the_end()

    async def test_says_nothing(self) -> None:
        """
        Who connects and does not say which balancer it is, is let go after a while, so that a few such cannot keep
        balancers out; one that has said so stays.
        """
        await self.serve()
        raw = await self.greeted()
        self.port._silent.seconds = 0.001
        silent = self.balancer()
        self.assertEqual(await silent.hear_the_end(), [])
        raw.say(Ping(1))
        self.assertEqual(await raw.hear(1), [Pong(1)])

    async def test_balancer_that_does_not_come_back(self) -> None:
        """
        A balancer whose channel is broken is remembered as long as it has connections, and no longer.
        """
        await self.serve()
        raw = await self.greeted(b"b" * TOKEN)
        raw.hand(1, self.clients.pair()[1].fileno())
        await raw.hear(1)
        await self.recorders.until_made(1)
        raw.close()
        await self.until(lambda: not self.port._channels)
        self.assertEqual(list(self.port._balancers), [b"b" * TOKEN])
        self.recorders.made[0].transport.abortConnection()
        await self.until(lambda: not self.port._balancers)

    async def test_many_alive(self) -> None:
        """
        More of them than fit into a record, or into the kernel's queue, are told.
        """
        await self.serve()
        raw = self.balancer()
        many = set(range(1, 300_001))
        balancer = Balancer(bytes(TOKEN), lambda _: None)
        balancer.alive.update(dict.fromkeys(many))
        self.port._balancers[bytes(TOKEN)] = balancer
        raw.greet()
        frames = await raw.hear(len(many) + 2)
        self.assertEqual({each.number for each in frames[1:-1]}, many)
        self.assertEqual(frames[-1], Complete(len(many), 0))
        balancer.alive.clear()

    async def test_asked_to_move(self) -> None:
        """
        A factory that knows how to move sessions is asked to; another asks nobody.
        """
        await self.serve()
        raw = await self.greeted()
        asked: list[tuple[int | None, float]] = []

        def move(count: int | None, seconds: float) -> int:
            asked.append((count, seconds))
            return 2

        raw.say(Move(3, 60_000))
        await raw.hear(1)
        recorders: Any = self.recorders
        recorders.move = move
        raw.say(Move(4, 50_500), Move(EVERYBODY, 0))
        self.assertEqual(await raw.hear(3), [Moved(0), Moved(2), Moved(2)])
        self.assertEqual(asked, [(4, 50.5), (None, 0)])

    async def test_kicked(self) -> None:
        """
        A connection can be closed at once by its balancer, and no other balancer's by it.
        """
        await self.serve()
        raw = await self.greeted()
        other = await self.greeted(b"o" * TOKEN)
        client, accepted = self.clients.pair()
        raw.hand(1, accepted.fileno())
        await raw.hear(1)
        accepted.close()
        await self.recorders.until_made(1)
        other.say(Kick(1), Ping(1))
        await other.hear(1)
        raw.say(Kick(9), Ping(2))
        await raw.hear(2)
        self.assertFalse(self.recorders.made[0].times_lost)
        raw.say(Kick(1))
        self.assertEqual((await raw.hear(3))[2], Ended(1, 0, 0, End.ABORTED))
        with self.assertRaises(ConnectionResetError):
            client.recv(1)

    async def test_malformed(self) -> None:
        """
        Whoever sends what is none of ours is closed, and no descriptor stays; others notice nothing.
        """
        await self.serve()
        good = await self.greeted(b"g" * TOKEN)
        _, accepted = self.clients.pair()
        given, hand, ping = accepted.fileno(), encode(Hand(1)), encode(Ping(1))
        listening = self.clients._listening.fileno()
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(datagrams.close)
        before = descriptors()
        for record, sent in (
            (b"nonsense", []),
            (b"nonsense", [given]),
            (hand, []),
            (hand, [given, given]),
            (hand, [given] * 100),
            (hand * 100, [given] * 100),
            (ping, [given]),
            (hand + hand, [given]),
            (hand + hand, [given, 0]),
            (hand + hand + hand, [given, 0, given]),
            (hand + ping, [given]),
            (hand + ping, [given, given]),
            (ping + hand, [given]),
            (ping + hand, []),
            (b"", [given]),
            (b"p" * 20_000, []),
            (encode(Hello(VERSION, bytes(TOKEN))), []),
            (hand, [datagrams.fileno()]),
            (hand, [listening]),
            (hand, [0]),
        ):
            raw = await self.greeted()
            raw.send(record, sent)
            answers = await raw.hear_the_end()
            self.assertEqual([each for each in answers if not isinstance(each, Pong)], [], (record[:20], sent))
            raw.close()
        for record, sent in ((hand, [given]), (ping, []), (encode(Hello(VERSION + 1, bytes(TOKEN))), [])):
            raw = self.balancer()
            raw.send(record, sent)
            self.assertEqual(await raw.hear_the_end(), [])
            raw.close()
        self.assertEqual(descriptors(), before)
        self.assertEqual(self.recorders.made, [])
        good.hand(1, given)
        self.assertEqual(await good.hear(1), [Taken(1)])

    async def test_who_may_connect(self) -> None:
        """
        Only this user may open the socket; whoever is another user's process all the same is closed.
        """
        await self.serve()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        for user, welcome in ((0, True), (os.geteuid(), True), (os.geteuid() + 4_321, False)):
            self.patch(port_module, "user_at", lambda connected, user=user: user)
            raw = self.balancer()
            raw.greet()
            self.assertEqual(bool(await raw.hear(2)), welcome)
            raw.close()

    async def test_never_open_to_others(self) -> None:
        """
        Not even for a moment can others open the socket.
        """
        modes: list[int] = []
        chmod = os.chmod

        def look_and_chmod(path: Any, mode: int) -> None:
            modes.append(stat.S_IMODE(os.stat(path).st_mode))
            chmod(path, mode)

        self.patch(os, "chmod", look_and_chmod)
        await self.serve()
        self.assertEqual([mode & 0o077 for mode in modes], [0])

    async def test_too_many_channels(self) -> None:
        """
        So many processes can be connected, and no more.
        """
        await self.serve()
        self.patch(port_module, "MOST_CHANNELS", 2)
        for _ in range(2):
            await self.greeted(os.urandom(TOKEN))
        third = self.balancer()
        self.assertEqual(await third.hear_the_end(), [])

    async def test_starts_after_one_that_was_killed(self) -> None:
        """
        A socket that a killed worker left is replaced; one that is in use is not.
        """
        await self.serve()
        with self.assertRaises(CannotListenError):
            await serverFromString(self.reactor, f"handoff:{self.path}").listen(self.recording())
        left = f"{self.folder()}/left.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
            dead.bind(left)
        # A process that is gone has the lock: no process has this number.
        os.symlink("999999999", f"{left}.lock")
        self.listening(await serverFromString(self.reactor, f"handoff:{left}").listen(self.recording()))


class LeanTests(OverLean, Guarantees, TestCase):
    """
    Over the lean reactor.
    """


class PlainTests(OverPlain, Guarantees, TestCase):
    """
    Over Twisted's own.
    """


class ParseTests(SynchronousTestCase):
    """
    What can be written.
    """

    def test_refused(self) -> None:
        """
        What makes no sense is refused in one sentence.
        """
        for written in ("handoff:", "handoff:a:b", "handoff:a:mode=666"):
            with self.assertRaisesRegex(ValueError, "needs the path of a socket and nothing else"):
                serverFromString(MemoryReactor(), written)


class _Failing(Recorder):
    def connectionMade(self) -> None:
        raise ZeroDivisionError
