"""
Bans that a real broker keeps.
"""

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.trial.unittest import TestCase

from echochat.broker import Broker, Message
from echochat.chat.ban_book import LIFTED, BanRecord
from echochat.server.fellows import ban_shelf as module
from echochat.server.fellows.ban_shelf import FORGOTTEN, BanShelf
from tests.broker.nats import Nats, connected

NOW = 10**12


class BanShelfTests(TestCase):
    """
    What was decided is known to servers that are started later.
    """

    async def begin(self, settings: str = "", jetstream: bool = True) -> None:
        """
        Start a broker, and connect to it.
        """
        self.nats = await Nats(self, settings, jetstream=jetstream).start()
        self.broker, self.connections = await connected(self, self.nats.address)
        self.wall = NOW

    def shelf(self, broker: Broker | None = None) -> BanShelf:
        """
        That of a server.
        """
        return BanShelf(broker or self.broker, "TEST-bans", 1, lambda: self.wall)

    async def learned(self, known: Iterable[BanRecord] = ()) -> list[BanRecord]:
        """
        What a server that is started now, and knows this already, learns.
        """
        found: list[BanRecord] = []
        await self.shelf().look(known, found.append)
        return sorted(found, key=lambda record: record.who)

    async def test_kept(self) -> None:
        """
        Records are there for whoever connects later, the last one of each name and address, even after the broker was
        killed and started again.
        """
        await self.begin()
        self.assertEqual(await self.learned(), [])
        alice, address = BanRecord("alice", 1, None), BanRecord("2001:db8::1", 1, NOW + 1)
        for record in (alice, address, BanRecord("bob", 1, None), BanRecord("bob", 2, NOW + 5)):
            self.assertTrue(await self.shelf().put(record))
        expected = [address, alice, BanRecord("bob", 2, NOW + 5)]
        self.assertEqual(await self.learned(), expected)
        back = self.connections.when("connected")
        await self.nats.kill()
        await self.nats.start()
        await back
        self.assertEqual(await self.learned(), expected)

    async def test_before_it_was_looked(self) -> None:
        """
        A record that is decided on while a server connects for the first time is kept.
        """
        await self.begin()
        shelf = self.shelf()
        looked, put = shelf.look([], lambda _: None), shelf.put(BanRecord("alice", 1, None))
        self.assertTrue(await put)
        await looked
        self.assertEqual(await self.learned(), [BanRecord("alice", 1, None)])

    async def test_what_is_known_better(self) -> None:
        """
        What a server knows and the broker does not, or knows of an earlier decision, is kept with the next connection.
        """
        await self.begin()
        await self.learned([BanRecord("alice", 1, None), BanRecord("bob", 5, None), BanRecord("carol", 1, LIFTED)])
        known = [BanRecord("alice", 2, NOW + 9), BanRecord("bob", 4, NOW + 9), BanRecord("dave", 1, None)]
        await self.learned(known)
        self.assertEqual(await self.learned(), [known[0], BanRecord("bob", 5, None), known[2]])

    async def test_earlier_ones_written_later(self) -> None:
        """
        What was decided earlier does not replace what was decided later, also where servers write at the same time:
        each knows what was there when it looked.
        """
        await self.begin()
        await self.learned()
        records = [BanRecord("alice", version, NOW + version) for version in range(1, 7)]
        self.assertTrue(await self.shelf().put(records[3]))
        # What overrules it is kept, which is as good.
        self.assertTrue(await self.shelf().put(records[2]))
        self.assertEqual(await self.learned(), [records[3]])
        await gatherResults([self.shelf().look([record], lambda _: None) for record in reversed(records)])
        self.assertEqual(await self.learned(), [records[-1]])

    async def test_others_write_again_and_again(self) -> None:
        """
        A record that does not get its turn is given up, for now.
        """
        await self.begin()
        await self.learned()
        request, told = self.broker.request, list[str]()

        async def write_before(subject: str, payload: bytes, timeout: float, headers: Any = None) -> Message:
            if headers is not None:
                await request(subject, b"hello", timeout)
            return await request(subject, payload, timeout, headers)

        self.patch(self.broker, "request", lambda *arguments: Deferred.fromCoroutine(write_before(*arguments)))
        shelf = self.shelf()
        self.patch(shelf.log, "warn", lambda format, why: told.append(why))
        self.assertFalse(await shelf.put(BanRecord("alice", 1, None)))
        self.assertEqual(told, ["others write the same record again and again"])

    async def test_reading_that_is_cut_off(self) -> None:
        """
        Where the broker ends its answer with an error, it is not taken for all that there is, and the log says so.
        """
        await self.begin()
        await self.learned([BanRecord("alice", 2, None)])
        gather, told, found = self.broker.gather, list[str](), list[BanRecord]()

        def cut_off(subject: str, *arguments: Any) -> Deferred[list[Message]]:
            answers = gather(subject, *arguments)
            return answers.addCallback(end_with_error) if ".DIRECT.GET." in subject else answers

        def end_with_error(answers: list[Message]) -> list[Message]:
            return [*answers[:-1], Message(1, "", b"", headers={"Status": "408", "Description": "Requests Pending"})]

        with_error = self.shelf()
        self.patch(self.broker, "gather", cut_off)
        self.patch(with_error.log, "warn", lambda format, why: told.append(why))
        await with_error.look([BanRecord("alice", 1, None)], found.append)
        self.assertEqual((found, told), ([], ["408 Requests Pending"]))

    async def test_forgotten(self) -> None:
        """
        A day after a ban has ended, or was lifted, its record is gone; others stay.
        """
        await self.begin()
        records = [
            BanRecord("alice", NOW, NOW + 5),
            BanRecord("bob", NOW, LIFTED),
            BanRecord("carol", NOW, None),
            BanRecord("dave", NOW + FORGOTTEN, LIFTED),
        ]
        await self.learned()
        for record in records:
            await self.shelf().put(record)
        self.assertEqual(await self.learned(), records)
        self.wall = NOW + FORGOTTEN + 5
        # Two servers that are started at the same time: what the other has removed cannot be removed again.
        found: list[BanRecord] = []
        await gatherResults([self.shelf().look([], found.append) for _ in range(2)])
        self.assertEqual(found, records[2:] * 2)
        self.wall = NOW
        self.assertEqual(await self.learned(), records[2:])

    async def test_many(self) -> None:
        """
        However many there are, all are read: as many as one question takes, one less, and one more.
        """
        self.patch(module, "AT_ONCE", 4)
        await self.begin()
        await self.learned()
        for number in range(9):
            await self.shelf().put(BanRecord(f"name-{number}", 1, None))
            self.assertEqual(len(await self.learned()), number + 1)

    async def test_damaged(self) -> None:
        """
        A record that cannot be read is left alone, and the others are read.
        """
        await self.begin()
        await self.learned()
        await self.shelf().put(BanRecord("alice", 1, None))
        await self.broker.request("TEST-bans.00", b"hello", 5.0)
        self.assertEqual(await self.learned(), [BanRecord("alice", 1, None)])

    async def test_set_otherwise(self) -> None:
        """
        A stream that the broker's operator made otherwise is used as it is.
        """
        await self.begin()
        stream = b'{"name":"TEST-bans","subjects":["TEST-bans.*"],"max_msgs_per_subject":3,"allow_direct":true}'
        await self.broker.request("$JS.API.STREAM.CREATE.TEST-bans", stream, 5.0)
        await self.learned([BanRecord("alice", 1, None), BanRecord("alice", 2, NOW + 1)])
        self.assertEqual((await self.learned())[-1], BanRecord("alice", 2, NOW + 1))

    async def test_a_broker_that_keeps_nothing(self) -> None:
        """
        One without JetStream, or that refuses, or that is away, keeps nothing, and that is all.
        """
        await self.begin(jetstream=False)
        self.assertEqual(await self.learned([BanRecord("alice", 1, None)]), [])
        self.assertFalse(await self.shelf().put(BanRecord("alice", 1, None)))
        await self.broker.stop()
        self.assertFalse(await self.shelf().put(BanRecord("alice", 1, None)))
        self.assertEqual(await self.learned(), [])

    async def test_refused(self) -> None:
        """
        A stream for which there is no room is not made.
        """
        await self.begin(
            "accounts { A { jetstream { max_streams: 1 }, users [ { user: a, password: a } ] } }\nno_auth_user: a"
        )
        await self.broker.request("$JS.API.STREAM.CREATE.OTHER", b'{"name":"OTHER","subjects":["OTHER"]}', 5.0)
        self.assertEqual(await self.learned([BanRecord("alice", 1, None)]), [])

    async def test_an_answer_that_makes_no_sense(self) -> None:
        """
        What cannot be understood is logged as the failure that it is.
        """
        await self.begin()
        self.patch(self.broker, "request", lambda *arguments: succeed(Message(1, "", b"hello")))
        self.assertEqual(await self.learned(), [])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    async def test_a_connection_that_ends(self) -> None:
        """
        When the connection ends while the records are read, that is begun anew with the next one.
        """
        await self.begin()
        shelf, found = self.shelf(), list[BanRecord]()
        await shelf.put(BanRecord("alice", 1, None))
        first = shelf.look([BanRecord("alice", 1, None)], found.append)
        shelf.leave()
        await first
        self.assertEqual(found, [])
        await shelf.look([BanRecord("alice", 1, None)], found.append)
        shelf.leave()
        self.assertEqual(await self.learned(), [BanRecord("alice", 1, None)])
