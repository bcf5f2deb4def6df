"""
Tests for :mod:`echochat.net.handoff.channel` and :mod:`echochat.net.handoff.links`: a balancer, over real sockets.
"""

import os
import socket
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from echochat.net.gate import Gate
from echochat.net.handoff import channel as channel_module
from echochat.net.handoff import links
from echochat.net.handoff.channel import Channel
from echochat.net.handoff.frames import (
    FROM_BALANCER,
    MOST_RECORD,
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
    decode,
    encode,
)
from echochat.net.handoff.passengers import NotTaken, Unwilling
from tests.net.handoff.raw import Clients, descriptors
from tests.net.lean.runs import OverLean, OverPlain, Run
from tests.net.peers import DEADLINE
from tests.net.recorders import Recorder, Witness

OPEN = Welcome(VERSION, b"w" * TOKEN, Willing.OPEN)


class Traveller:
    """
    A passenger that keeps what it was told.

    :ivar told: the names of what was called, with what was given.
    """

    def __init__(self, witness: Witness) -> None:
        self.told: list[Any] = []
        self.why: NotTaken | None = None
        self._witness = witness

    def taken(self) -> None:
        self._tell("taken")

    def refused(self, why: NotTaken) -> None:
        self.why = why
        self._tell("refused")

    def over(self, received: int, sent: int, end: End | None) -> None:
        self._tell((received, sent, end))

    def _tell(self, what: Any) -> None:
        self.told.append(what)
        self._witness.changed()


class RawWorker:
    """
    A worker of a few blocking calls, with which a test can also say what no worker says, or nothing.

    :ivar taken: the descriptors that came.
    """

    def __init__(self, path: str) -> None:
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listening.settimeout(DEADLINE)
        self._listening.bind(path)
        self._listening.listen(8)
        self.taken: list[int] = []
        self._open: list[Any] = [self._listening]

    def accept(self) -> "Deferred[socket.socket]":
        """
        Wait for the next channel.
        """

        def accept() -> socket.socket:
            accepted, _ = self._listening.accept()
            accepted.settimeout(DEADLINE)
            self._open.append(accepted)
            return accepted

        return deferToThread(accept)

    def hear(self, channel: socket.socket) -> "Deferred[list[Any]]":
        """
        Wait for a record.
        """

        def hear() -> list[Any]:
            record, taken, _, _ = socket.recv_fds(channel, MOST_RECORD, MOST_TOGETHER)
            self.taken += taken
            return list(decode(record, FROM_BALANCER)) if record else []

        return deferToThread(hear)

    def stop_listening(self) -> None:
        """
        Whoever connects from now on is refused.
        """
        self._listening.close()

    def close(self) -> None:
        """
        Die.
        """
        for each in self._open:
            each.close()
        for descriptor in self.taken:
            os.close(descriptor)
        self.taken.clear()


class Guarantees(Run):
    """
    What a balancer's end promises over any reactor.
    """

    def setUp(self) -> None:
        super().setUp()
        self.patch(channel_module, "FIRST", 0.001)
        self.patch(channel_module, "LONGEST", 0.01)
        self.witness = Witness()
        self.path = f"{self.folder()}/w1.sock"
        self.channels: list[Channel] = []
        self.port: Any = None
        self.addCleanup(self._until_nothing_is_left)
        self.clients = Clients()
        self.addCleanup(self.clients.close)

    async def _until_nothing_is_left(self) -> None:
        for channel in self.channels:
            channel.close()
            channel._doubtful.clear()
            channel.close()
            for link in channel._links:
                link.close("the test is over")
        if self.port is not None:
            await self.until(lambda: not self.port._channels)

    def channel(self, strangers: Callable[[int], object] = lambda count: None) -> Channel:
        """
        Begin to connect.
        """
        made = Channel(self.path, self.reactor, "w1", Random(1), strangers)
        self.channels.append(made)
        made.begin()
        return made

    async def connected(self) -> Channel:
        """
        Have a channel that is ready.
        """
        made = self.channel()
        await self.until_ready(made)
        return made

    async def until_ready(self, channel: Channel) -> None:
        """
        Wait until the channel hands over.
        """
        await self.until(lambda: channel._link is not None and channel._link.willing is Willing.OPEN)

    async def work(self) -> None:
        """
        Have a worker.
        """
        self.recorders = self.recording(Recorder)
        self.port = await serverFromString(self.reactor, f"handoff:{self.path}").listen(self.recorders)
        self.listening(self.port)

    def worker(self) -> RawWorker:
        """
        Have a worker that does what the test says.
        """
        raw = RawWorker(self.path)
        self.addCleanup(raw.close)
        return raw

    async def meet(self, raw: RawWorker, *alive: int, token: bytes = b"w" * TOKEN, strangers: int = 0) -> socket.socket:
        """
        Accept a channel, and welcome the balancer.
        """
        channel = await raw.accept()
        [hello] = await raw.hear(channel)
        self.assertEqual((type(hello), hello.version), (Hello, VERSION))
        self.tokens = [*getattr(self, "tokens", []), hello.token]
        say(channel, Welcome(VERSION, token, Willing.OPEN), *map(Alive, alive), Complete(len(alive), strangers))
        return channel

    async def hand(self, channel: Channel, *travellers: Traveller) -> list[int]:
        """
        Hand connections over, and let the turn end in which that is done.

        :return: their numbers.
        """
        numbers = [channel.hand(self.clients.pair()[1].fileno(), each) for each in travellers]
        await self.a_turn()
        return numbers

    def traveller(self) -> Traveller:
        """
        Have a passenger.
        """
        return Traveller(self.witness)

    async def test_handed_over(self) -> None:
        """
        A passenger is told when it was taken, and when it is over, with the bytes each way; a worker's own sockets are
        the only ones that are left meanwhile.
        """
        await self.work()
        channel = await self.connected()
        traveller = self.traveller()
        client, accepted = self.clients.pair()
        client.sendall(b"hello")
        channel.hand(accepted.fileno(), traveller)
        await self.witness.until(lambda: traveller.told == ["taken"])
        accepted.close()
        await self.recorders.until_made(1)
        await self.recorders.made[0].until_received(5)
        self.recorders.made[0].transport.write(b"good-bye")
        self.assertEqual(client.recv(10), b"good-bye")
        client.close()
        await self.witness.until(lambda: traveller.told == ["taken", (5, 8, End.CLIENT)])

    async def test_nobody_there(self) -> None:
        """
        Without a worker nothing is handed over, and why is said; when one comes it is found.
        """
        channel = self.channel()
        with self.assertRaisesRegex(NotTaken, "No such file or directory"):
            channel.hand(0, self.traveller())
        await self.failing(channel.check(), NotTaken)
        await self.failing(channel.move(None, 1), ConnectionError)
        await self.work()
        await self.until_ready(channel)
        self.assertEqual(await channel.check(), "answered")

    async def failing(self, what: "Deferred[Any]", error: type[Exception]) -> Exception:
        """
        Wait for a failure.
        """
        try:
            await what
        except error as caught:
            return caught
        raise self.failureException("it did not fail")

    async def test_full_and_stopping(self) -> None:
        """
        A worker whose gate is shut is handed nothing, is no failure, and gets connections again when it opens; what was
        on its way is refused. One that is stopping likewise, and what it has taken goes on.
        """
        await self.work()
        gate = Gate(0)
        gate.guard(self.port)
        channel = await self.connected()
        first, second, third = self.traveller(), self.traveller(), self.traveller()
        channel.hand(self.clients.pair()[1].fileno(), first)
        await self.witness.until(lambda: first.told)
        gate.hold()
        channel.hand(self.clients.pair()[1].fileno(), second)
        await self.witness.until(lambda: second.told)
        self.assertEqual(second.told, ["refused"])
        self.assertIsInstance(second.why, Unwilling)
        with self.assertRaisesRegex(Unwilling, "it has as many connections as it may have"):
            channel.hand(0, self.traveller())
        await self.failing(channel.check(), Unwilling)
        gate.let_in()
        await self.until_ready(channel)
        await self.port.stopListening()
        channel.hand(self.clients.pair()[1].fileno(), third)
        await self.witness.until(lambda: third.told)
        self.assertEqual((third.told, str(third.why)), (["refused"], "it is stopping"))
        await self.until(lambda: channel._link is None)
        with self.assertRaises(NotTaken):
            channel.hand(0, self.traveller())
        self.assertEqual(first.told, ["taken"])
        await self.recorders.until_made(1)
        self.recorders.made[0].transport.abortConnection()
        await self.witness.until(lambda: first.told == ["taken", (0, 0, End.ABORTED)])

    async def test_the_next_worker_begins_while_one_stops(self) -> None:
        """
        While a worker that is stopping serves its last connections, the next one gets the new ones.
        """
        await self.work()
        old, old_recorders = self.port, self.recorders
        channel = await self.connected()
        first, second = self.traveller(), self.traveller()
        channel.hand(self.clients.pair()[1].fileno(), first)
        await self.witness.until(lambda: first.told)
        await old.stopListening()
        await self.until(lambda: channel._link is None)
        await self.work()
        await self.until_ready(channel)
        channel.hand(self.clients.pair()[1].fileno(), second)
        await self.witness.until(lambda: second.told)
        await self.recorders.until_made(1)
        await old_recorders.until_made(1)
        self.assertEqual((first.told, second.told), (["taken"], ["taken"]))
        old_recorders.made[0].transport.abortConnection()
        await self.witness.until(lambda: len(first.told) == 2)
        await self.until(lambda: not old._channels)
        self.assertEqual(second.told, ["taken"])

    async def test_dies_before_it_answers(self) -> None:
        """
        What a worker has not taken when it dies was not touched, and is refused; what it has taken is over with it.
        """
        raw = self.worker()
        channel = self.channel()
        end = await self.meet(raw)
        await self.until_ready(channel)
        travellers = [self.traveller() for _ in range(3)]
        client, accepted = self.clients.pair()
        await self.hand(channel, *travellers[:2])
        channel.hand(accepted.fileno(), travellers[2])
        await self.a_turn()
        self.assertEqual(await raw.hear(end), [Hand(1), Hand(2)])
        say(end, Taken(1))
        # It has not even read the third: closing resets its channel, and what it had said is heard all the same.
        raw.close()
        await self.witness.until(lambda: len([each for each in travellers if each.told]) == 3)
        await self.witness.until(lambda: len(travellers[0].told) == 2)
        self.assertEqual([each.told for each in travellers], [["taken", (-1, -1, None)], ["refused"], ["refused"]])
        client.sendall(b"still here")
        self.assertEqual(accepted.recv(20), b"still here")

    async def test_withdrawn(self) -> None:
        """
        A connection that a worker does not answer for is withdrawn for good: what the worker says afterwards fails, so
        that it knows, and what is said already counts.
        """
        raw = self.worker()
        channel = self.channel()
        end = await self.meet(raw)
        await self.until_ready(channel)
        early, late, other = self.traveller(), self.traveller(), self.traveller()
        numbers = await self.hand(channel, early, late, other)
        say(end, Taken(1))
        channel.withdraw(numbers[1])
        self.assertEqual((early.told, late.told, other.told), (["taken"], [], ["refused"]))
        with self.assertRaises(BrokenPipeError):
            say(end, Taken(2))
        # The worker is only slow: it has the first.
        again = await self.meet(raw, 1)
        await self.until_ready(channel)
        self.assertEqual(early.told, ["taken"])
        say(again, Ended(1, 2, 3, End.WORKER))
        await self.witness.until(lambda: early.told == ["taken", (2, 3, End.WORKER)])
        self.assertEqual(self.tokens[0], self.tokens[1])

    async def test_nothing_can_be_said_while_it_is_withdrawn(self) -> None:
        """
        Between the last look at what the worker has said and the closing of the channel it can say nothing.
        """
        raw = self.worker()
        channel = self.channel()
        end = await self.meet(raw)
        await self.until_ready(channel)
        traveller = self.traveller()
        [number] = await self.hand(channel, traveller)
        attempts: list[str] = []
        remove = self.reactor.removeReader

        def speak_and_remove(reader: Any) -> None:
            # It is called right before the socket is closed.
            try:
                say(end, Taken(number))
                attempts.append("said")
            except BrokenPipeError:
                attempts.append("failed")
            remove(reader)

        self.patch(self.reactor, "removeReader", speak_and_remove)
        channel.withdraw(number)
        self.patch(self.reactor, "removeReader", remove)
        self.assertEqual((attempts, traveller.told), (["failed"], []))

    async def test_taken_while_it_is_withdrawn(self) -> None:
        """
        A connection that the worker has said it takes cannot be withdrawn.
        """
        raw = self.worker()
        channel = self.channel()
        end = await self.meet(raw)
        await self.until_ready(channel)
        traveller = self.traveller()
        [number] = await self.hand(channel, traveller)
        say(end, Taken(number))
        channel.withdraw(number)
        self.assertEqual(traveller.told, ["taken"])
        await self.meet(raw, number)
        await self.until_ready(channel)
        self.assertEqual(traveller.told, ["taken"])

    async def test_withdrawn_while_a_record_is_heard(self) -> None:
        """
        What stands later in a record that is being heard is heard before anything is refused.
        """
        raw = self.worker()
        channel = self.channel()
        end = await self.meet(raw)
        await self.until_ready(channel)
        first, second, third = self.traveller(), self.traveller(), self.traveller()
        numbers = await self.hand(channel, first, second, third)
        self.patch(first, "taken", lambda: channel.withdraw(numbers[2]))
        say(end, Taken(1), Taken(2), Taken(3))
        await self.witness.until(lambda: third.told)
        self.assertEqual((second.told, third.told), (["taken"], ["taken"]))

    async def test_reconnects_to_the_same_worker(self) -> None:
        """
        A channel that breaks while the worker lives costs no connection and no count: those that are alive go on, the
        others are over.
        """
        raw = self.worker()
        channel = self.channel()
        end = await self.meet(raw)
        await self.until_ready(channel)
        travellers = [self.traveller() for _ in range(3)]
        await self.hand(channel, *travellers)
        say(end, Taken(1), Taken(2), Taken(3))
        await self.witness.until(lambda: travellers[2].told)
        end.close()
        again = await self.meet(raw, 1, 3)
        await self.witness.until(lambda: len(travellers[1].told) == 2)
        self.assertEqual([each.told for each in travellers], [["taken"], ["taken", (-1, -1, None)], ["taken"]])
        say(again, Ended(3, 1, 1, End.LOST))
        await self.witness.until(lambda: len(travellers[2].told) == 2)
        self.assertEqual(travellers[0].told, ["taken"])

    async def test_strangers(self) -> None:
        """
        How many connections a worker has of balancers that are gone is known, also while its channel is broken, until
        it is told otherwise, or the worker is gone as well.
        """
        raw = self.worker()
        counts: list[int] = []
        channel = self.channel(counts.append)
        end = await self.meet(raw, strangers=2)
        await self.until(lambda: counts == [2])
        say(end, Strangers(2), Strangers(5), Strangers(4))
        await self.until(lambda: counts == [2, 5, 4])
        end.close()
        again = await self.meet(raw, strangers=4)
        await self.until_ready(channel)
        channel.close()
        self.assertEqual((counts, len(channel._links)), ([2, 5, 4], 1))
        again.close()
        await self.until(lambda: counts == [2, 5, 4, 0])

    async def test_strangers_of_another_worker(self) -> None:
        """
        ... so is another worker in its place; and one that is stopping has its own beside its successor's.
        """
        raw = self.worker()
        counts: list[int] = []
        self.channel(counts.append)
        end = await self.meet(raw, strangers=7)
        await self.until(lambda: counts == [7])
        end.close()
        stopping = await self.meet(raw, token=b"x" * TOKEN, strangers=3)
        await self.until(lambda: counts == [7, 0, 3])
        say(stopping, Situation(Willing.DRAINING))
        await self.meet(raw, token=b"y" * TOKEN, strangers=1)
        await self.until(lambda: counts == [7, 0, 3, 4])
        stopping.close()
        await self.until(lambda: counts == [7, 0, 3, 4, 1])

    async def test_another_worker_in_its_place(self) -> None:
        """
        When another worker answers, the first one's connections are over; whatever numbers it knows.
        """
        raw = self.worker()
        channel = self.channel()
        end = await self.meet(raw)
        await self.until_ready(channel)
        traveller = self.traveller()
        await self.hand(channel, traveller)
        say(end, Taken(1))
        await self.witness.until(lambda: traveller.told)
        end.close()
        await self.meet(raw, 1, token=b"x" * TOKEN)
        await self.witness.until(lambda: traveller.told == ["taken", (-1, -1, None)])

    async def test_malformed(self) -> None:
        """
        A worker that says what is none of ours is not believed any more: the channel is closed, and made again.
        """
        raw = self.worker()
        channel = self.channel()
        before = descriptors()
        ok = encode(OPEN) + encode(Complete(0, 0))
        records: list[tuple[bytes, list[int]]] = [
            (b"nonsense", []),
            (encode(Hello(VERSION, bytes(TOKEN))), []),
            (encode(Welcome(VERSION + 1, bytes(TOKEN), Willing.OPEN)), []),
            (encode(OPEN) * 2, []),
            (encode(Complete(0, 0)), []),
            (encode(OPEN) + encode(Strangers(1)), []),
            (encode(OPEN) + encode(Complete(0, 2**63)), []),
            (encode(OPEN) + encode(Complete(2, 0)), []),
            (ok + encode(Complete(0, 0)), []),
            (ok + encode(Taken(1)), []),
            (ok + encode(Refused(1, Willing.FULL)), []),
            (ok + encode(Moved(1)), []),
            (ok, [0]),
        ]
        for record, sent in records:
            end = await raw.accept()
            await raw.hear(end)
            socket.send_fds(end, [record], sent)
            self.assertEqual(await raw.hear(end), [], record)
            end.close()
        end = await self.meet(raw)
        await self.until_ready(channel)
        # Numbers that nobody knows any more are no reason to doubt: a balancer forgets.
        say(end, Ended(77, 1, 1, End.CLIENT), Pong(99))
        await self.asked(raw, end, channel)
        end.close()
        raw.stop_listening()
        await self.until(lambda: channel._link is None)
        self.assertLessEqual(descriptors(), before)

    async def asked(self, raw: RawWorker, end: socket.socket, channel: Channel) -> None:
        """
        See that the channel works.
        """
        answered = channel.check()
        [ping] = await raw.hear(end)
        say(end, Pong(ping.number))
        self.assertEqual(await answered, "answered")

    async def test_questions(self) -> None:
        """
        A worker is asked to move sessions, and to close one; what is not answered fails with the channel, or is
        cancelled.
        """
        raw = self.worker()
        channel = self.channel()
        end = await self.meet(raw)
        await self.until_ready(channel)
        some, everybody = channel.move(4, 2.5), channel.move(None, 60)
        self.assertEqual(await raw.hear(end) + await raw.hear(end), [Move(4, 2_500), Move(2**32 - 1, 60_000)])
        say(end, Moved(3), Moved(9))
        self.assertEqual((await some, await everybody), (3, 9))
        traveller = self.traveller()
        [number] = await self.hand(channel, traveller)
        await raw.hear(end)
        say(end, Taken(number))
        await self.witness.until(lambda: traveller.told)
        channel.kick(number)
        channel.kick(12345)
        self.assertEqual(await raw.hear(end), [Kick(number)])
        cancelled = channel.check()
        cancelled.addErrback(lambda _: None)
        cancelled.cancel()
        unanswered: list[Deferred[Any]] = [channel.check(), channel.move(1, 1)]
        self.assertEqual([type((await raw.hear(end))[0]) for _ in range(3)], [Ping, Ping, Move])
        raw.close()
        for each in unanswered:
            await self.failing(each, NotTaken)

    async def test_closed_and_forgotten(self) -> None:
        """
        A channel that is closed stays for the connections that were handed over on it, until the last has ended or is
        forgotten, and is not made again.
        """
        await self.work()
        channel = await self.connected()
        first, second = self.traveller(), self.traveller()
        pairs = [self.clients.pair(), self.clients.pair()]
        channel.hand(pairs[0][1].fileno(), first)
        number = channel.hand(pairs[1][1].fileno(), second)
        await self.witness.until(lambda: second.told)
        channel.close()
        await self.recorders.until_made(2)
        self.recorders.made[0].transport.abortConnection()
        await self.witness.until(lambda: len(first.told) == 2)
        self.assertEqual(len(channel._links), 1)
        channel.forget(number)
        self.assertEqual(channel._links, [])
        await self.until(lambda: not self.port._channels)
        self.assertEqual(second.told, ["taken"])
        # It is the worker's.
        self.assertFalse(self.recorders.made[1].times_lost)

    async def test_closed_while_the_worker_stops(self) -> None:
        """
        A channel that is closed while its link is broken, and that finds its worker stopping and without any of its
        connections, is done: nothing of it stays, nor do the strangers of that worker.
        """
        raw = self.worker()
        counts: list[int] = []
        channel = self.channel(counts.append)
        end = await self.meet(raw)
        await self.until_ready(channel)
        traveller = self.traveller()
        [number] = await self.hand(channel, traveller)
        say(end, Taken(number))
        await self.witness.until(lambda: traveller.told)
        end.close()
        await self.until(lambda: channel._doubtful != {})
        channel.close()
        # The link that it had begun to make is closed, too; another one is made for the sake of the connection.
        await raw.accept()
        again = await raw.accept()
        await raw.hear(again)
        say(again, Welcome(VERSION, b"w" * TOKEN, Willing.DRAINING), Complete(0, 0))
        await self.witness.until(lambda: len(traveller.told) == 2)
        self.assertEqual(await raw.hear(again), [])
        self.assertEqual((channel._links, channel._doubtful), ([], {}))

    async def test_more_than_there_is_room_for(self) -> None:
        """
        Connections for which the kernel has no room yet wait, and go when it has; one can be withdrawn while it waits,
        at no cost for others.
        """
        raw = self.worker()
        channel = self.channel()
        end = await self.meet(raw)
        await self.until_ready(channel)
        _, accepted = self.clients.pair()
        self.patch(links, "MOST_TOGETHER", 1)
        travellers = [self.traveller() for _ in range(600)]
        numbers = [channel.hand(accepted.fileno(), each) for each in travellers]
        await self.a_turn()
        assert channel._link is not None
        self.assertTrue(channel._link._queue, "the kernel took all of them: the test shows nothing")
        channel.withdraw(numbers[-1])
        heard: list[int] = []
        while len(heard) < 599:
            heard += [hand.number for hand in await raw.hear(end)]
        self.assertEqual(heard, numbers[:-1])
        for at in range(0, len(heard), 100):
            say(end, *map(Taken, heard[at : at + 100]))
        await self.witness.until(lambda: travellers[-2].told)
        self.assertEqual([each.told for each in travellers[:-1]], [["taken"]] * 599)
        self.assertEqual(travellers[-1].told, [])

    async def test_together(self) -> None:
        """
        Connections that come in one turn go in one record, in their order, up to so many; one that is withdrawn before
        is not among them.
        """
        raw = self.worker()
        channel = self.channel()
        end = await self.meet(raw)
        await self.until_ready(channel)
        travellers = [self.traveller() for _ in range(MOST_TOGETHER + 3)]
        pairs = [self.clients.pair() for _ in travellers]
        numbers = [channel.hand(accepted.fileno(), each) for (_, accepted), each in zip(pairs, travellers, strict=True)]
        channel.withdraw(numbers[1])
        del numbers[1], pairs[1]
        await self.a_turn()
        self.assertEqual(await raw.hear(end), [Hand(number) for number in numbers[:MOST_TOGETHER]])
        self.assertEqual(await raw.hear(end), [Hand(number) for number in numbers[MOST_TOGETHER:]])
        for descriptor, (client, _) in zip(raw.taken, pairs, strict=True):
            with socket.socket(fileno=os.dup(descriptor)) as taken:
                self.assertEqual(taken.getpeername(), client.getsockname())

    async def test_cannot_be_passed(self) -> None:
        """
        Sockets that the kernel does not pass are refused, which is nobody's fault, and those after them go.
        """
        await self.work()
        channel = await self.connected()
        first, second = self.traveller(), self.traveller()
        channel.hand(1 << 20, first)
        await self.witness.until(lambda: first.told)
        self.assertEqual(
            (first.told, str(first.why)), (["refused"], "the socket cannot be passed: Bad file descriptor")
        )
        self.assertIsInstance(first.why, Unwilling)
        await self.hand(channel, second)
        await self.witness.until(lambda: second.told)
        self.assertEqual(second.told, ["taken"])

    async def test_of_another_user(self) -> None:
        """
        Clients are not handed to another user's process; root may hand them to anybody's.
        """
        raw = self.worker()
        self.patch(channel_module, "user_at", lambda connected: 4_321)
        self.patch(os, "geteuid", lambda: 1_234)
        channel = self.channel()
        with self.assertRaisesRegex(NotTaken, "it is a process of user 4321"):
            channel.hand(0, self.traveller())
        self.patch(os, "geteuid", lambda: 0)
        while channel._link is None:
            await self.a_turn()
        await raw.accept()

    async def test_before_the_worker_has_answered(self) -> None:
        """
        Connections that come while a worker is greeted go when it has answered.
        """
        raw = self.worker()
        channel = self.channel()
        traveller = self.traveller()
        await self.hand(channel, traveller)
        await self.failing(channel.check(), NotTaken)
        end = await self.meet(raw)
        self.assertEqual(await raw.hear(end), [Hand(1)])
        say(end, Taken(1))
        await self.witness.until(lambda: traveller.told)
        self.assertEqual(traveller.told, ["taken"])

    async def test_tells_when_it_is_full_at_first(self) -> None:
        """
        What changes while a worker still tells what is alive holds; who waited for that is refused.
        """
        raw = self.worker()
        channel = self.channel()
        end = await raw.accept()
        await raw.hear(end)
        say(end, OPEN)
        traveller = self.traveller()
        await self.hand(channel, traveller)
        say(end, Situation(Willing.FULL), Complete(0, 0))
        await self.until(lambda: channel._link is not None and channel._link.willing is Willing.FULL)
        self.assertEqual((traveller.told, type(traveller.why)), (["refused"], Unwilling))


class LeanTests(OverLean, Guarantees, TestCase):
    """
    Over the lean reactor.
    """


class PlainTests(OverPlain, Guarantees, TestCase):
    """
    Over Twisted's own.
    """


def say(channel: socket.socket, *frames: Any) -> None:
    """
    Send frames in one record.
    """
    channel.send(b"".join(map(encode, frames)))
