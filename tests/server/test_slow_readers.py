"""
Clients that do not read: they cost a bounded amount of memory, lose nothing, and delay nobody.
"""

import os
import socket
from itertools import count

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.history.records import Draft
from echochat.server.settings import ServerSettings
from echochat.wire.answers import Event
from tests.processes import start_server
from tests.server.room import Client, Room
from tests.server.scripted import ScriptedHistory

MOST_HELD = 262_144
"""
Bytes that may wait for one connection, whatever it asked for and whatever is published.
"""


def publish(room: Room, history: ScriptedHistory, *texts: str, topic: str = "lobby") -> None:
    """
    Let others have published.
    """
    history.publish(*[Draft(topic, "bob", text, None, 0) for text in texts])
    history.tell()
    room.turns()


def read_slowly(client: Client, room: Room, size: int = 10_000) -> None:
    """
    Read on, piece by piece, until nothing is left.
    """
    while client.held:
        client.read(size)
        room.turns()
    client.read()


class MemoryTests(SynchronousTestCase):
    """
    What the server holds for a connection is bounded, and nothing of it is lost.
    """

    def setUp(self) -> None:
        self.history = ScriptedHistory()
        self.history.prompt = True
        self.room = Room(self.history)
        self.slow, self.quick = self.room.connect(), self.room.connect()

    def tearDown(self) -> None:
        self.assertLessEqual(self.slow.most_held, MOST_HELD)
        self.room.empty()
        self.assertEqual(self.room.clock.getDelayedCalls(), [])

    def test_events(self) -> None:
        """
        However much is published, in whatever pieces: a stopped reader holds no more than the bound, gets everything
        in order when it reads on, though memory has forgotten most of it, and delays nobody meanwhile.
        """
        for client in (self.slow, self.quick):
            self.room.ask(client, "/sub lobby")
        self.slow.stop_reading()
        numbers = count()
        for size, many in ((10, 400), (3_000, 100), (65_000, 20), (100, 2_000)):
            texts = [f"{next(numbers)} {'x' * size}" for _ in range(many)]
            publish(self.room, self.history, *texts)
            self.assertEqual(len(self.quick.answers()), many)
        self.assertGreater(self.slow.most_held, 65_536)
        self.assertEqual(self.room.exchange.hub.behind, 1)
        read_slowly(self.slow, self.room)
        told = [int(each.text.split()[0]) for each in self.slow.answers() if isinstance(each, Event)]
        self.assertEqual(told, list(range(next(numbers))))
        self.assertEqual(self.room.exchange.hub.behind, 0)

    def test_many_subscriptions_behind(self) -> None:
        """
        A connection that resumes all its subscriptions, and does not read, holds no more than one that resumes one.
        """
        for number in range(128):
            publish(self.room, self.history, *["x" * 10_000] * 5, topic=f"t{number}")
        self.history.prompt = False
        self.slow.be_full()
        for number in range(128):
            self.slow.say(f"/sub t{number} after=0\n".encode())
        # It reads long enough to have all its subscriptions confirmed.
        while "/ok sub t127 " not in self.slow.received.decode():
            while self.history.questions:
                self.history.answer(-1)
            self.slow.read(1 << 20)
            self.room.turns()
        self.slow.stop_reading()
        self.slow.most_held = 0
        self.history.answer_all()
        self.assertLessEqual(self.slow.most_held, MOST_HELD)
        self.history.prompt = True
        read_slowly(self.slow, self.room, 100_000)
        events = [each for each in self.slow.answers() if isinstance(each, Event)]
        self.assertEqual(len(events), 128 * 5)
        self.assertEqual(len({event.position for event in events}), 128 * 5)

    def test_live_in_many_topics(self) -> None:
        """
        One commit that brings something large for each of many subscriptions does not go beyond the bound.
        """
        for number in range(128):
            self.room.ask(self.slow, f"/sub t{number}")
        self.slow.stop_reading()
        self.history.publish(*[Draft(f"t{n}", "bob", "x" * 60_000, None, 0) for n in range(128)])
        self.history.tell()
        self.assertLessEqual(self.slow.most_held, MOST_HELD)
        read_slowly(self.slow, self.room)
        self.assertEqual(len([each for each in self.slow.answers() if isinstance(each, Event)]), 128)

    def test_replies(self) -> None:
        """
        Whoever pipelines commands whose replies are large, and does not read them, is served one after the other as
        they read; and all are answered, in order.
        """
        publish(self.room, self.history, *["x" * 1_000] * 300)
        for command, many in (("/history lobby last=300", 20), ("/help", 400), ("/ping " + "y" * 500, 500)):
            self.slow.stop_reading()
            verb, _, rest = command.partition(" ")
            self.slow.say("".join(f"{verb}#{n} {rest}\n" for n in range(many)).encode())
            self.room.turns()
            self.assertLessEqual(self.slow.most_held, MOST_HELD + 131_072)
            self.slow.most_held = 0
            read_slowly(self.slow, self.room, 50_000)
            closing_lines = [each for each in self.slow.news() if each.startswith("/ok#")]
            self.assertEqual([each.split()[0] for each in closing_lines], [f"/ok#{n}" for n in range(many)])
            self.slow.most_held = 0

    def test_acknowledgements(self) -> None:
        """
        Whoever publishes and does not read the acknowledgements is not read from any more, and is told of each when
        they read on; the others publish meanwhile.
        """
        self.slow.stop_reading()
        for n in range(200):
            self.slow.say("".join(f"/pub#{n}.{m} lobby x\n" for m in range(100)).encode())
            self.room.turns()
            self.history.store()
            self.history.tell()
        self.assertFalse(self.slow.is_read_from)
        self.assertEqual(self.room.ask(self.quick, "/ping"), ["/ok ping"])
        self.slow.read()
        self.room.turns()
        while self.history.untold:
            self.history.store()
            self.history.tell()
            self.room.turns()
        labels = [each.split()[0] for each in self.slow.news()]
        self.assertEqual(labels, [f"/ok#{n}.{m}" for n in range(200) for m in range(100)])

    def test_presence(self) -> None:
        """
        Who came and went while a watcher did not read is told in pieces, and what cancels out is not told at all.
        """
        topic = "t" * 128
        self.room.ask(self.slow, f"/sub {topic} presence=on")
        self.slow.be_full()
        names = [f"{n:05}{'n' * 27}" for n in range(3_000)]
        for name in names:
            self.room.exchange.hub.follow(topic, 0, 0, _Nobody(), name, False)
        for name in names:
            self.room.exchange.hub.follow(topic, 0, 0, _Nobody(), name, False)
        read_slowly(self.slow, self.room)
        self.assertEqual(self.slow.news(), [f"/join {topic} {name}" for name in names])


class _Nobody:
    """
    A subscriber that takes nothing.
    """

    def wake(self) -> None:
        """
        Sleep on.
        """


class StallTests(SynchronousTestCase):
    """
    Who takes nothing at all for the stall time is disconnected, and told why.
    """

    def setUp(self) -> None:
        self.history = ScriptedHistory()
        self.history.prompt = True
        self.room = Room(self.history, ServerSettings(first_line=0, stall=30))
        self.slow, self.quick = self.room.connect(), self.room.connect()
        for client in (self.slow, self.quick):
            self.room.ask(client, "/sub lobby")
        self.slow.stop_reading()
        publish(self.room, self.history, *["x" * 1_000] * 300)

    def tearDown(self) -> None:
        self.room.empty()
        self.assertEqual(self.room.clock.getDelayedCalls(), [])

    def test_slow(self) -> None:
        """
        ``/bye slow`` is the last line, behind whole lines only; what was subscribed is given back; and the client can
        resume where it was, and gets the rest.
        """
        self.room.clock.advance(29.9)
        self.assertFalse(self.slow.ended)
        self.room.clock.advance(0.2)
        self.assertTrue(self.slow.ended)
        self.assertEqual(self.room.exchange.hub.followers("lobby"), 1)
        publish(self.room, self.history, "later")
        self.slow.read()
        *events, bye = self.slow.answers()
        self.assertEqual(bye.encode(), b"/bye slow nothing was taken for 30 seconds\r\n")
        again = self.room.connect()
        last = events[-1]
        assert isinstance(last, Event)
        again.say(f"/sub lobby after={last.position} epoch={self.history.epoch}\n".encode())
        self.room.turns()
        rest = [each for each in again.answers() if isinstance(each, Event)]
        told = [each.position for each in [*events, *rest] if isinstance(each, Event)]
        self.assertEqual(told, [event.position for event in self.history.log])
        self.assertEqual(len(self.quick.news()), 301)

    def test_progress(self) -> None:
        """
        Whoever takes a little within the time is not disconnected, however slow that is.
        """
        for _ in range(20):
            self.room.clock.advance(29.9)
            self.slow.read(1_000)
        self.assertFalse(self.slow.ended)
        self.room.clock.advance(31)
        self.assertFalse(self.slow.ended)
        self.room.clock.advance(31)
        self.assertTrue(self.slow.ended)

    def test_lets_go(self) -> None:
        """
        A client that does not even take the ``/bye`` is cut off when the grace is over.
        """
        self.room.clock.advance(30.1)
        self.assertFalse(self.slow.gone)
        self.room.clock.advance(6)
        self.assertTrue(self.slow.gone)


STOPPED = 200
BATCHES, BATCH, SIZE = 40, 50, 4_000


class ProcessTests(TestCase):
    """
    A real server with two hundred clients that have stopped reading.
    """

    timeout = 120

    async def test_stopped_readers(self) -> None:
        """
        Its memory grows by no more than the bound for each of them, while somebody else is given everything at once;
        one of them that reads again is given everything, too.
        """
        server = start_server(self, "--stall", "600")
        port = await server.port()
        growth = await deferToThread(self.converse, port, server.pid)
        self.assertLess(growth, STOPPED * MOST_HELD / 2)

    def converse(self, port: int, process: int) -> int:
        """
        :return: by how many bytes the server's memory grew.
        """
        stopped = [self.connect(port, 4_096) for _ in range(STOPPED)]
        reader, publisher = self.connect(port), self.connect(port)
        try:
            for each in (*stopped, reader):
                each.sendall(b"/sub lobby\n")
            answers = [each.makefile("rb").readline() for each in (*stopped, reader)]
            self.assertTrue(all(answer.startswith(b"/ok sub lobby 0 ") for answer in answers))
            before = resident(process)
            told, acknowledged = reader.makefile("rb"), publisher.makefile("rb")
            for batch in range(BATCHES):
                texts = [b"%d %s" % (batch * BATCH + n, b"x" * SIZE) for n in range(BATCH)]
                publisher.sendall(b"".join(b"/pub lobby %s\n" % text for text in texts))
                for text in texts:
                    self.assertTrue(told.readline().endswith(b" %s\r\n" % text))
                    self.assertTrue(acknowledged.readline().startswith(b"/ok pub lobby "))
            growth = resident(process) - before
            stopped[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            again = stopped[0].makefile("rb")
            numbers = [int(again.readline().split(b" ")[5]) for _ in range(BATCHES * BATCH)]
            self.assertEqual(numbers, list(range(BATCHES * BATCH)))
            return growth
        finally:
            for each in (*stopped, reader, publisher):
                each.close()

    def connect(self, port: int, buffer: int = 0) -> socket.socket:
        """
        :param buffer: what the kernel is to hold for this client; 0: what it likes.
        """
        connection = socket.socket()
        connection.settimeout(60)
        if buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.connect(("127.0.0.1", port))
        return connection


def resident(process: int) -> int:
    """
    The bytes of memory that a process has.
    """
    with open(f"/proc/{process}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
