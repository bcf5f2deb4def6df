"""
Tests for :mod:`echochat.broker.broker`, with a real nats-server.
"""

import threading
from collections.abc import Sequence
from typing import Any, NoReturn
from unittest import mock

from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import TestCase

from echochat.broker import Broker, BrokerUnavailable, Message, NobodyAnswers, connection, parse_address
from echochat.broker.client import OneConnection
from tests.broker.nats import Connections, Inbox, Nats, connected, reactor
from tests.processes import DEADLINE


class BrokerTests(TestCase):
    """
    What two servers say to one another by a broker.
    """

    timeout = 60

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        self.nats = await Nats(self).start()
        self.broker, self.connections = await connected(self, self.nats.address)

    async def test_password_in_the_address(self) -> None:
        """
        Others may see it there: the log says so once, and does not say it itself.
        """
        with capturedLogs() as log:
            await connected(self, self.nats.address.replace("//", "//me:secret@"))
        told = [text for text in map(formatEvent, log) if "has a password in it" in text]
        self.assertEqual(len(told), 1)
        self.assertNotIn("secret", told[0])

    async def test_publish_and_subscribe(self) -> None:
        """
        What one publishes the others get, in order, with headers.
        """
        other, _ = await connected(self, self.nats.address)
        inbox = Inbox()
        other.subscribe("t.>", inbox)
        # The broker knows of the subscription when it has answered something that was asked after it.
        await other.request("$JS.API.INFO", b"", 5)
        for number in range(500):
            self.broker.publish(f"t.{number % 3}", str(number).encode(), headers={"Kind": "a b"})
        await inbox.when(500)
        self.assertEqual(inbox.payloads, [str(number).encode() for number in range(500)])
        self.assertEqual(inbox.messages[1].subject, "t.1")
        self.assertEqual(inbox.messages[1].header("Kind"), "a b")
        self.assertLess(inbox.batches, 500)

    async def test_own_messages_come_back(self) -> None:
        """
        Who publishes what it listens to hears itself.
        """
        inbox = Inbox()
        self.broker.subscribe("t", inbox)
        self.broker.publish("t", b"1")
        await inbox.when(1)

    async def test_unsubscribe(self) -> None:
        """
        What comes after the end is not heard.
        """
        first, second = Inbox(), Inbox()
        subscription = self.broker.subscribe("t", first)
        self.broker.subscribe("t", second)
        self.broker.publish("t", b"1")
        await gatherResults([first.when(1), second.when(1)])
        subscription.end()
        subscription.end()
        self.broker.publish("t", b"2")
        await second.when(2)
        self.assertEqual(first.payloads, [b"1"])

    async def test_request(self) -> None:
        """
        A question is answered by whoever listens.
        """
        other, _ = await connected(self, self.nats.address)

        def answer(messages: Sequence[Message]) -> None:
            for message in messages:
                other.publish(message.reply, message.payload.upper())

        other.subscribe("q", answer)
        await other.request("$JS.API.INFO", b"", 5)
        answers = await gatherResults([self.broker.request("q", text, 5) for text in (b"a", b"b")])
        self.assertEqual([answer.payload for answer in answers], [b"A", b"B"])

    async def test_gather(self) -> None:
        """
        A question may have several answers, until one is the last.
        """

        def answer(messages: Sequence[Message]) -> None:
            for message in messages:
                for text in (b"1", b"2", b"end"):
                    self.broker.publish(message.reply, text)

        self.broker.subscribe("q", answer)
        came = await self.broker.gather("q", b"", 5, lambda message: message.payload == b"end")
        self.assertEqual([message.payload for message in came], [b"1", b"2", b"end"])

    async def test_nobody_answers(self) -> None:
        """
        A question on a subject that nobody listens to fails at once.
        """
        await self.assertFailure(self.broker.request("nobody", b"", 60), NobodyAnswers)

    async def test_no_answer_in_time(self) -> None:
        """
        ... and one that nobody cares to answer when its time is over.
        """
        self.broker.subscribe("q", Inbox())
        await self.assertFailure(self.broker.request("q", b"", 0.05), BrokerUnavailable)

    async def test_a_question_that_is_cancelled(self) -> None:
        """
        Nothing is left of it.
        """
        inbox = Inbox()
        self.broker.subscribe("q", inbox)
        question = self.broker.request("q", b"", 60)
        question.cancel()
        self.failureResultOf(question, CancelledError)
        self.assertEqual(len(self.broker._questions), 0)
        await inbox.when(1)
        # An answer that comes all the same is nobody's.
        self.broker.publish(inbox.messages[0].reply, b"late")
        await self.broker.request("$JS.API.INFO", b"", 5)

    async def test_denied(self) -> None:
        """
        What the broker denies is told once, not for each message; and not more than some of it, where each message has
        a subject of its own.
        """
        nats = await Nats(
            self,
            'authorization { users: [{ user: u, password: u, permissions { publish: "may.>" } }] }\nno_auth_user: u',
        ).start()
        with capturedLogs() as log:
            broker, connections = await connected(self, nats.address)
            inbox = Inbox()
            broker.subscribe("may.>", inbox)
            for _ in range(100):
                broker.publish("denied", b"")
            for number in range(100):
                broker.publish(f"denied.{number}", b"")
            broker.publish("may.be", b"")
            await inbox.when(1)
            # Its complaints come before what it is asked afterwards.
            up = connections.when("connected")
            broker.renew()
            await up
        told = [text for text in map(formatEvent, log) if "violation" in (text or "")]
        self.assertEqual(len([text for text in told if '"denied"' in text]), 1)
        self.assertEqual(len(told), 20)
        self.assertEqual(len([text for text in map(formatEvent, log) if "more of this" in (text or "")]), 1)

    async def test_a_listener_that_fails_harms_only_itself(self) -> None:
        """
        Its failure is logged, and it and the others go on hearing.
        """
        inbox = Inbox()

        def listen(messages: Sequence[Message]) -> None:
            inbox(messages)
            raise ZeroDivisionError

        self.broker.subscribe("t", listen)
        self.broker.publish("t", b"1")
        await inbox.when(1)
        self.broker.publish("t", b"2")
        await inbox.when(2)
        await self.broker.request("$JS.API.INFO", b"", 5)
        self.assertGreaterEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class ReconnectingTests(TestCase):
    """
    A connection ends, and another one takes its place.
    """

    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        self.nats = await Nats(self).start()
        self.broker, self.connections = await connected(self, self.nats.address)
        self.inbox = Inbox()
        self.broker.subscribe("t", self.inbox)

    async def assert_works(self) -> None:
        seen = len(self.inbox.messages)
        self.broker.publish("t", b"again")
        await self.inbox.when(seen + 1)

    async def test_killed_and_started_again(self) -> None:
        """
        Subscriptions hold on the next connection. What was asked fails, and what is published meanwhile is not sent
        later, when nobody counts on it any more.
        """
        self.broker.subscribe("q", Inbox())
        question = self.broker.request("q", b"", 60)
        down = self.connections.when("disconnected")
        await self.nats.kill()
        await self.assertFailure(question, BrokerUnavailable)
        await down
        self.assertFalse(self.broker.is_connected)
        self.broker.publish("t", b"lost")
        await self.assertFailure(self.broker.request("t", b"", 60), BrokerUnavailable)
        up = self.connections.when("connected")
        await self.nats.start()
        await up
        await self.assert_works()
        self.assertEqual(self.inbox.payloads, [b"again"])

    async def test_stopped_and_started_again(self) -> None:
        """
        The same when the broker says good-bye.
        """
        down = self.connections.when("disconnected")
        await self.nats.stop()
        await down
        up = self.connections.when("connected")
        await self.nats.start()
        await up
        await self.assert_works()

    async def test_paused(self) -> None:
        """
        A broker that keeps its connections and says nothing is noticed, and found again when it goes on.
        """
        self.patch(connection, "PING", 0.2)
        self.patch(connection, "PATIENCE", 1.0)
        down = self.connections.when("disconnected")
        self.nats.pause()
        self.addCleanup(self.nats.go_on)
        await down
        self.assertEqual(self.connections.told[-1], "disconnected: the broker does not answer")
        up = self.connections.when("connected")
        self.nats.go_on()
        await up
        await self.assert_works()

    async def test_subscribed_while_away(self) -> None:
        """
        What is subscribed, or ended, while there is no connection holds on the next one.
        """
        gone = Inbox()
        subscription = self.broker.subscribe("gone", gone)
        down = self.connections.when("disconnected")
        await self.nats.kill()
        await down
        later = Inbox()
        self.broker.subscribe("later", later)
        subscription.end()
        up = self.connections.when("connected")
        await self.nats.start()
        await up
        self.broker.publish("gone", b"1")
        self.broker.publish("later", b"2")
        await later.when(1)
        self.assertEqual(gone.messages, [])

    async def test_broken(self) -> None:
        """
        What should not be able to fail is logged, and ends a connection, not the making of others.
        """
        for broken in ("subscribe", "close"):
            up = self.connections.when("connected")
            works = getattr(OneConnection, broken)
            failures = iter([ZeroDivisionError()])

            async def fail_once(*arguments: Any, works: Any = works, failures: Any = failures, **named: Any) -> Any:
                for error in failures:
                    raise error
                return await works(*arguments, **named)

            with mock.patch.object(OneConnection, broken, fail_once):
                self.broker.renew()
                await up
                await self.assert_works()
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_renewed(self) -> None:
        """
        Whoever doubts a connection can have another.
        """
        up = self.connections.when("connected")
        self.broker.renew()
        await up
        await self.assert_works()


class BeginningTests(TestCase):
    """
    How it begins, and how it ends.
    """

    timeout = 60

    async def test_not_there_yet(self) -> None:
        """
        A broker that is started later is found.
        """
        nats = await Nats(self).start()
        await nats.kill()
        broker, connections = Broker(reactor, parse_address(nats.address)), Connections()
        self.addCleanup(broker.stop)
        broker.watch(connections)
        refused = connections.when("disconnected: ")
        broker.start()
        broker.start()
        await refused
        up = connections.when("connected")
        await nats.start()
        await up
        self.assertEqual(len(broker.id), 12)

    async def test_one_of_several(self) -> None:
        """
        Whichever of the servers is there is used.
        """
        nats, other = await Nats(self).start(), await Nats(self).start()
        address = f"nats://127.0.0.1:{nats.port},127.0.0.1:{other.port}"
        _, connections = await connected(self, address)
        up, down = connections.when("connected"), connections.when("disconnected")
        await nats.kill()
        await other.kill()
        await down
        await other.start()
        await up

    async def test_stopping(self) -> None:
        """
        What was published before the end is sent, and later nothing can be asked; it may be stopped twice, and before
        it was started.
        """
        nats = await Nats(self).start()
        broker, _ = await connected(self, nats.address)
        other, _ = await connected(self, nats.address)
        inbox = Inbox()
        other.subscribe("t", inbox)
        await other.request("$JS.API.INFO", b"", 5)
        broker.publish("t", b"farewell")
        await gatherResults([broker.stop(), broker.stop()])
        await inbox.when(1)
        await self.assertFailure(broker.request("t", b"", 5), BrokerUnavailable)
        await broker.stop()
        await Broker(reactor, parse_address(nats.address)).stop()

    async def test_stopping_while_a_name_is_looked_up(self) -> None:
        """
        A resolver that does not answer keeps nobody from stopping.
        """
        asked, over = threading.Event(), threading.Event()
        self.addCleanup(over.set)

        def look_up(*arguments: object, **named: object) -> NoReturn:
            asked.set()
            over.wait()
            raise OSError

        broker = Broker(reactor, parse_address("nats://broker.example"))
        with mock.patch("socket.getaddrinfo", look_up):
            broker.start()
            await deferToThread(asked.wait, DEADLINE)
            stopping = broker.stop().addTimeout(5, reactor)
            try:
                await stopping
            finally:
                over.set()

    async def test_stopping_without_a_connection(self) -> None:
        """
        ... also while the broker can not be reached, or does not answer.
        """
        nats = await Nats(self).start()
        broker, _ = await connected(self, nats.address)
        nats.pause()
        self.addCleanup(nats.go_on)
        broker.publish("t", b"x" * 1_000_000)
        await broker.stop()
        await nats.kill()
        broker, connections = Broker(reactor, parse_address(nats.address)), Connections()
        broker.watch(connections)
        refused = connections.when("disconnected: ")
        broker.start()
        await refused
        await broker.stop()
