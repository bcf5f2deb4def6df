"""
What goes wrong between a server and its broker, with a real nats-server, and what has to be true afterwards.
"""

import time
from collections.abc import Sequence
from typing import Any
from unittest import mock

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from echochat.broker import Broker, Message
from echochat.history import HistoryUnavailable, Retention, Stored
from echochat.history.jetstream.api import JetStreamError, Json, ask
from echochat.history.jetstream.stream import Stream
from tests.broker.nats import Nats
from tests.history.doubles import draft, read_everything
from tests.history.jetstream.sharing import Server, SharedCase
from tests.processes import DEADLINE

reactor: Any = _reactor


class BrokerTests(SharedCase):
    """
    The broker dies, hangs, and comes back: nothing that was acknowledged is lost, and nothing comes twice.
    """

    async def test_killed(self) -> None:
        """
        With publishing under way, and again and again; those who try again under the same label double nothing.
        """
        first, second = await self.server("a"), await self.server("a")
        stored: list[Stored] = []
        ended: list[str] = []

        async def publish(who: int) -> None:
            while not ended:
                stored.append(await first.publish(draft("x", "a", label=f"{who}-{len(stored)}")))

        publishing = [Deferred.fromCoroutine(publish(who)) for who in range(20)]
        for _ in range(3):
            await second.until(len(second.receiver.events) + 50)
            gone = first.when("unavailable"), second.when("unavailable")
            await self.nats.kill()
            await gatherResults(gone)
            await self.assertFailure(first.history.append([draft("x")]), HistoryUnavailable)
            back = first.when("available"), second.when("available")
            await self.nats.start()
            await gatherResults(back)
        ended.append("now")
        await gatherResults(publishing)
        await self.assert_all_arrived_once(stored, first, second)
        self.assertEqual(first.history.status.failures, 3)

    async def publish_all(self, server: Server, count: int) -> "list[Deferred[Stored]]":
        return [Deferred.fromCoroutine(server.publish(draft(str(n), "a", label=str(n)))) for n in range(count)]

    async def assert_all_arrived_once(self, stored: Sequence[Stored], *servers: Server) -> None:
        """
        Every one of these has one event, which every server was given, and in the one order.
        """
        positions = {position for each in stored for position in each.positions}
        self.assertEqual(len(positions), len(stored))
        for server in servers:
            await server.until(len(stored))
            self.assert_once_and_in_order(server)
            self.assertEqual(set(server.receiver.positions()), positions)
            pages = await read_everything(server.history, "a")
            self.assertEqual({event.position for page in pages for event in page.events}, positions)

    async def test_paused(self) -> None:
        """
        A broker that is stopped acknowledges nothing; one that goes on may have taken what it was sent before.
        """
        first, second = await self.server("a"), await self.server("a")
        await first.publish(draft("before", "a", label="before"))
        gone = first.when("unavailable")
        self.nats.pause()
        self.addCleanup(self.nats.go_on)
        answers = await self.publish_all(first, 100)
        await gone
        back = first.when("available")
        self.nats.go_on()
        await back
        stored = await gatherResults(answers)
        positions = {position for each in stored for position in each.positions}
        await second.until(101)
        self.assertEqual(set(second.receiver.positions()), positions | {1})
        self.assert_once_and_in_order(second)

    async def test_missed_while_away(self) -> None:
        """
        What others published while a server had no connection arrives before it is available again.
        """
        first, second = await self.server("a"), await self.server("a")
        await first.publish(draft("1", "a", label="1"))
        await second.until(1)
        gone = second.when("unavailable")
        second.broker.renew()
        await gone
        back = second.when("available")
        await first.publish(*[draft(str(n), "a", label=str(n)) for n in range(2, 200)])
        await back
        await second.until(199)
        self.assertEqual(second.receiver.events, first.receiver.events)

    async def test_cannot_be_had(self) -> None:
        """
        What is wrong with the stream is said in words, to the log; the history opens, is unavailable, and tries on.
        """
        server = Server(self, self.nats, self.settings)
        await server.open()
        await server.api("STREAM.DELETE.echochat")
        await server.api("STREAM.CREATE.echochat", {"name": "echochat", "subjects": ["mine"], "storage": "file"})
        other = await self.server()
        self.assertIn("does not keep events now", str(other.history.status.unavailable))
        back = other.when("available")
        await server.api("STREAM.DELETE.echochat")
        await back
        self.assertIsNone(other.history.status.unavailable)

    async def test_a_late_answer(self) -> None:
        """
        That nobody took what was given up long ago is no news.
        """
        server = await self.server("a")
        inbox = server.history._publisher._inbox
        server.broker.publish("nobody", b"", f"{inbox}.1000000")
        await server.publish(draft("x", "a", label="x"))
        self.assertEqual((server.receiver.told, server.history.status.failures), ([], 0))

    async def test_without_jetstream(self) -> None:
        """
        A broker without JetStream is no history, until it has one.
        """
        nats = await Nats(self, jetstream=False).start()
        server = Server(self, nats, self.settings)
        await server.open()
        self.assertIsNotNone(server.history.status.unavailable)
        await self.assertFailure(server.history.append([draft("x")]), HistoryUnavailable)
        await self.assertFailure(server.history.follow("a"), HistoryUnavailable)


class ConsumerTests(SharedCase):
    """
    The consumer is gone, or has skipped something: another one goes on where it ended.
    """

    async def assert_goes_on(self, first: Server, second: Server, told: int = 0) -> None:
        seen = len(first.receiver.events)
        await first.history.append([draft(f"again {n}", "a") for n in range(10)])
        await second.until(seen + 10)
        self.assert_once_and_in_order(second)
        self.assertEqual(second.receiver.events, first.receiver.events)
        self.assertEqual(len(second.receiver.told), told)

    async def test_deleted(self) -> None:
        """
        Somebody deletes the consumers of all servers, as a broker does that was restarted.
        """
        first, second = await self.server("a"), await self.server("a")
        await first.history.append([draft("1", "a")])
        await second.until(1)
        for consumer in await first.consumers():
            await first.api(f"CONSUMER.DELETE.echochat.{consumer}")
        await self.assert_goes_on(first, second)

    async def test_messages_that_did_not_arrive(self) -> None:
        """
        A message that was dropped on the way, in the middle or as the last one, is noticed and read again.
        """
        first, second = await self.server("a"), await self.server("a")
        dropped: list[Message] = []
        consumer = second.history._consumer
        assert consumer._subscription is not None
        subscription, came = consumer._subscription, consumer._subscription.callback

        def drop_one(messages: Sequence[Message]) -> None:
            some = [message for message in messages if message.payload]
            if some and not dropped:
                dropped.append(some[len(some) // 2])
                messages = [message for message in messages if message is not dropped[0]]
            came(messages)

        subscription.callback = drop_one
        await first.history.append([draft(str(n), "a") for n in range(9)])
        await second.until(9)
        self.assertEqual(len(dropped), 1)
        await self.assert_goes_on(first, second)

    async def test_events_before_the_answer(self) -> None:
        """
        A consumer's events may all be there before the answer that it has been made: nothing more is waited for.
        """
        first, second = await self.server("a"), await self.server("a")

        async def ask_and_dawdle(broker: Broker, what: str, request: Json | None = None) -> Json:
            await first.publish(*[draft(str(n), "a", label=str(n)) for n in range(3)])
            answer = await ask(broker, what, request)
            await second.until(3)
            await deferLater(reactor, 0)
            return answer

        back = second.when("available")
        with (
            mock.patch("echochat.history.jetstream.consumer.ask", ask_and_dawdle),
            # Heartbeats would tell, too.
            mock.patch("echochat.history.jetstream.description.HEARTBEAT", 60),
            mock.patch("echochat.history.jetstream.reception.SILENCE", 60),
        ):
            second.broker.renew()
            await back
        self.assertEqual(second.receiver.events, first.receiver.events)

    async def test_announced_and_removed(self) -> None:
        """
        What is announced may be removed before it is sent: nothing is waited for that cannot come.
        """
        first, second = await self.server("a"), await self.server("a")

        async def ask_and_expect_more(broker: Broker, what: str, request: Json | None = None) -> Json:
            answer = await ask(broker, what, request)
            return {**answer, "num_pending": answer["num_pending"] + 1}

        back = second.when("available")
        with mock.patch("echochat.history.jetstream.consumer.ask", ask_and_expect_more):
            second.broker.renew()
            await back
        await first.publish(draft("x", "a", label="x"))
        await second.until(1)

    async def test_lost_while_it_is_made(self) -> None:
        """
        A history that loses its stream while its consumer is made is available again only with another one.
        """
        first, second = await self.server("a"), await self.server("a")
        asked: list[str] = []

        async def ask_and_lose(broker: Broker, what: str, request: Json | None = None) -> Json:
            asked.append(what)
            if len(asked) == 1:
                reactor.callLater(0, second.history._lose, "the stream is not the one that it was")
            return await ask(broker, what, request)

        gone = second.when("unavailable")
        with mock.patch("echochat.history.jetstream.consumer.ask", ask_and_lose):
            second.broker.renew()
            await gone
            await second.when("available")
            await second.history.follow("b").addTimeout(DEADLINE, reactor)
        self.assertGreater(len(asked), 1)
        await self.assert_goes_on(first, second, told=2)

    async def test_does_not_come(self) -> None:
        """
        A broker that announces events, says that there is more, and sends none, is asked anew, and for ever.
        """
        first, second = await self.server("a"), await self.server("a")
        begun: list[int] = []

        async def ask_and_hear_nothing(broker: Broker, what: str, request: Json | None = None) -> Json:
            begun.append(1)
            subscription = second.history._consumer._subscription
            assert subscription is not None
            heartbeat = Message(
                0, "", b"", "", {"Status": "100", "Nats-Consumer-Stalled": "x", "Nats-Last-Consumer": "0"}
            )
            came = subscription.callback
            if len(begun) < 4:
                subscription.callback = lambda messages: came([heartbeat for _ in messages])
            return await ask(broker, what, request)

        gone, back = second.when("unavailable"), second.when("available")
        with (
            mock.patch("echochat.history.jetstream.consumer.ask", ask_and_hear_nothing),
            mock.patch.object(second.history._consumer._reception._progress, "_seconds", 0.3),
        ):
            second.broker.renew()
            await first.publish(draft("x", "a", label="x"))
            await gone
            await back
        self.assertEqual(second.receiver.events, first.receiver.events)

    async def test_not_delivered(self) -> None:
        """
        What is acknowledged and does not come back is not waited for in silence: its publisher is told, and the server
        begins anew.
        """
        with (
            mock.patch("echochat.history.jetstream.publishing.DELIVERY", 0.5),
            mock.patch("echochat.history.jetstream.reception.SILENCE", 60),
        ):
            server = await self.server("a")
            assert server.history._consumer._subscription is not None
            server.history._consumer._subscription.callback = lambda messages: None
            gone, back = server.when("unavailable: the broker does not deliver"), server.when("available")
            appended = server.history.append([draft("x", "a", label="x")])
            await self.assertFailure(appended, HistoryUnavailable)
            await gone
            await back
        stored = await server.publish(draft("x", "a", label="x"))
        self.assertEqual((list(stored.positions), list(stored.repeated)), ([1], [0]))
        self.assertEqual(server.receiver.events, [(1, "a", "x")])

    async def test_slow_reader(self) -> None:
        """
        A server that is busy for a while is sent no more than it can hold, and misses nothing.
        """
        first, second = await self.server(), await self.server("a")
        pauses = iter(range(5))
        second.receiver.on_arrived = lambda: time.sleep(0.1) if next(pauses, None) is not None else None
        text = "x" * 20_000
        for _ in range(20):
            await first.history.append([draft(text, "a") for _ in range(100)])
        await second.until(2_000)
        self.assert_once_and_in_order(second)
        self.assertEqual(second.receiver.told, [])

    async def test_nothing_is_left_behind(self) -> None:
        """
        A server that ends takes its consumer with it.
        """
        first, second = await self.server("a"), await self.server("a")
        self.assertEqual(len(await first.consumers()), 2)
        await second.history.close()
        self.assertEqual(len(await first.consumers()), 1)


class BugTests(SharedCase):
    """
    What fails that should not be able to is in the log, and nobody waits for ever because of it.
    """

    async def test_reasons_are_for_the_log(self) -> None:
        """
        A client is told in words of ours that there is no consumer, never what the broker or a bug says.
        """
        server = await self.server("a")
        for error in (JetStreamError({"description": "internal: 10.0.0.1"}), ZeroDivisionError("internal: line 7")):
            gone, back = server.when("unavailable"), server.when("available")
            with mock.patch("echochat.history.jetstream.consumer.ask", side_effect=error):
                [consumer] = await server.consumers()
                server.broker.publish(f"$JS.API.CONSUMER.DELETE.echochat.{consumer}", b"")
                await gone
            self.assertIn("unavailable: the broker does not send events now", server.receiver.told)
            await back
            self.assertNotIn("internal", "".join(server.receiver.told))
        self.assertGreaterEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_deadlines_that_fail(self) -> None:
        """
        One look at the deadlines that fails is not the last one.
        """
        looked: Deferred[None] = Deferred()
        failures = iter([ZeroDivisionError()])

        def look() -> None:
            for error in failures:
                raise error
            if not looked.called:
                looked.callback(None)

        server = await self.server("a")
        with mock.patch.object(server.history._publisher, "look", look):
            await looked.addTimeout(DEADLINE, reactor)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_an_end_that_fails(self) -> None:
        """
        Whoever closes a history is told of the end, whatever it was like.
        """
        server = await self.server("a")
        stop = server.broker.stop
        with mock.patch.object(server.broker, "stop", side_effect=ZeroDivisionError):
            await gatherResults([server.history.close() for _ in range(2)]).addTimeout(DEADLINE, reactor)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        await stop()


class AnotherStreamTests(SharedCase):
    """
    The stream is another one: another epoch, and everybody has to resume.
    """

    async def test_deleted(self) -> None:
        """
        Deleted under two servers, it is made anew once, and both use it.
        """
        first, second = await self.server("a"), await self.server("a")
        old = first.history.epoch
        await first.publish(*[draft(str(n), "a", label=str(n)) for n in range(5)])
        told = [server.when("interrupted: the stream is another one") for server in (first, second)]
        back = [server.when("available") for server in (first, second)]
        await first.api("STREAM.DELETE.echochat")
        await gatherResults(told)
        await gatherResults(back)
        self.assertNotEqual(first.history.epoch, old)
        self.assertEqual(first.history.epoch, second.history.epoch)
        stored = await first.publish(draft("new", "a", label="new"))
        self.assertEqual(list(stored.positions), [1])
        await second.until(6)
        self.assertEqual(second.receiver.events[-1], (1, "a", "new"))

    async def test_an_older_one(self) -> None:
        """
        A broker that lost its last events, or was given back an old copy of its store, gives their positions to others:
        it is another log.
        """
        server = await self.server("a")
        old = server.history.epoch
        await server.publish(*[draft(str(n), "a", label=str(n)) for n in range(5)])
        await server.until(5)
        await self.nats.stop()
        self.nats.save_store()
        back = server.when("available")
        await self.nats.start()
        await back
        await server.publish(draft("lost", "a", label="lost"))
        await server.until(6)
        await self.nats.kill()
        self.nats.restore_store()
        told = server.when("interrupted: the stream is another one")
        await self.nats.start()
        await told
        self.assertNotEqual(server.history.epoch, old)
        # What was written to make sure has the position of what was lost.
        self.assertEqual(server.history.head, 6)

    async def test_a_broker_that_is_behind(self) -> None:
        """
        What a broker says that was cut off from the others is old, and not the whole log: it is the same one.
        """
        server = await self.server("a")
        epoch = server.history.epoch
        old = await Stream(server.broker, self.settings).look()
        await server.publish(*[draft(str(n), "a", label=str(n)) for n in range(5)])
        await server.until(5)
        with mock.patch.object(Stream, "look", return_value=old):
            await server.history.look()
        gone, back = server.when("unavailable"), server.when("available")
        with mock.patch.object(Stream, "prepare", return_value=old) as prepare:
            server.broker.renew()
            await gone
            while not prepare.called:
                await deferLater(reactor, 0.01)
        await back
        self.assertEqual(server.history.epoch, epoch)
        self.assertNotIn("interrupted: the stream is another one", server.receiver.told)
        stored = await server.publish(draft("more", "a", label="more"))
        await server.until(6)
        self.assertEqual(server.receiver.events[-1], (stored.positions[0], "a", "more"))

    async def test_removed_before_it_arrived(self) -> None:
        """
        What retention removed while a server was away never arrives there: its subscribers have to resume.
        """
        kept = Retention(events=3)
        first = await self.server("a", retention=kept)
        second = await self.server("a", retention=kept)
        await first.publish(draft("0", "a", label="0"))
        await second.until(1)
        gone, told = second.when("unavailable"), second.when("interrupted: events were removed")
        second.broker.renew()
        await gone
        await first.publish(*[draft(str(n), "a", label=str(n)) for n in range(1, 9)])
        await told
        page = await second.history.read_after("a", 1, 10, 1_000)
        self.assertEqual(([event.text for event in page.events], page.floor), (["6", "7", "8"], 6))
