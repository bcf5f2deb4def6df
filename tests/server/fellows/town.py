"""
Houses in memory that share a broker: each is a server, and all have one clock.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echochat.broker import BrokerUnavailable, Message, NobodyAnswers
from echochat.server.fellows.ban_shelf import BanShelf
from echochat.server.fellows.company import Company
from echochat.server.operations import Operations
from tests.server.house import House, Visitor

LEASE = 20.0


class Exchange:
    """
    The broker: what is published is delivered in the next turn, to whoever listens then.

    :ivar sent: all that was published, by subject.
    :ivar kept: the bans that it keeps, by subject.
    :ivar is_slow: whether what it is asked is answered only when the test says so.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.buses: list[Bus] = []
        self.sent: list[tuple[str, bytes]] = []
        self.kept: dict[str, bytes] = {}
        self.is_slow = False
        self._asked: list[tuple[str, bytes, Deferred[Message]]] = []

    def publish(self, subject: str, payload: bytes) -> None:
        """
        Deliver to all that are connected now.
        """
        self.sent.append((subject, payload))
        for bus in self.buses:
            if bus.is_connected:
                self.clock.callLater(0, bus.deliver, subject, payload)

    def ask(self, subject: str, payload: bytes) -> Deferred[Message]:
        """
        What keeps a ban, or tells of one that is kept.
        """
        answer: Deferred[Message] = Deferred()
        self._asked.append((subject, payload, answer))
        if not self.is_slow:
            self.clock.callLater(0, self.answer)
        return answer

    def answer(self) -> bool:
        """
        Do what was asked first.

        :return: whether there was anything.
        """
        if not self._asked:
            return False
        subject, payload, answer = self._asked.pop(0)
        told: dict[str, Any] = {"seq": 1}
        if not subject.startswith("$JS.API."):
            self.kept[subject] = payload
        elif (there := self.kept.get(json.loads(payload)["last_by_subj"])) is not None:
            told = {"message": {"seq": 1, "data": b64encode(there).decode()}}
        else:
            told = {"error": {"err_code": 10037}}
        answer.callback(Message(1, "", json.dumps(told).encode()))
        return True


class Bus:
    """
    One server's connection to the broker.
    """

    def __init__(self, exchange: Exchange, server: str) -> None:
        self.id = server
        self.is_connected = True
        self._exchange = exchange
        self._watchers: list[Any] = []
        self._callbacks: dict[str, Callable[[Sequence[Message]], None]] = {}
        exchange.buses.append(self)

    def publish(self, subject: str, payload: bytes) -> None:
        if self.is_connected:
            self._exchange.publish(subject, payload)

    def subscribe(self, subject: str, callback: Callable[[Sequence[Message]], None]) -> "Listening":
        self._callbacks[subject] = callback
        return Listening(self._callbacks, subject)

    def watch(self, watcher: Any) -> None:
        self._watchers.append(watcher)

    def unwatch(self, watcher: Any) -> None:
        self._watchers.remove(watcher)

    def request(
        self, subject: str, payload: bytes, timeout: float, headers: Mapping[str, str] | None = None
    ) -> Deferred[Message]:
        if not self.is_connected:
            return fail(BrokerUnavailable("the broker cannot be reached"))
        if ".STREAM.CREATE." in subject:
            return fail(NobodyAnswers("nobody answers at the broker"))
        return self._exchange.ask(subject, payload)

    def gather(
        self, subject: str, payload: bytes, timeout: float, is_last: Callable[[Message], bool]
    ) -> Deferred[list[Message]]:
        raise AssertionError("nothing can be read of a stream that could not be made")

    def deliver(self, subject: str, *payloads: bytes) -> None:
        """
        Messages have come.
        """
        callback = self._callbacks.get(subject)
        if callback is not None and self.is_connected:
            callback([Message(1, subject, payload) for payload in payloads])

    def lose(self) -> None:
        """
        The connection has ended.
        """
        self.is_connected = False
        for watcher in [*self._watchers]:
            watcher.broker_disconnected("the cable was cut")

    def find(self) -> None:
        """
        There is one again.
        """
        self.is_connected = True
        for watcher in [*self._watchers]:
            watcher.broker_connected()


class Listening:
    """
    A subscription.
    """

    def __init__(self, callbacks: dict[str, Callable[[Sequence[Message]], None]], subject: str) -> None:
        self._callbacks = callbacks
        self._subject = subject

    def end(self) -> None:
        del self._callbacks[self._subject]


class Server:
    """
    A house in the town, with its connection to the broker and its operator.
    """

    def __init__(self, test: SynchronousTestCase, exchange: Exchange, server: str, **named: Any) -> None:
        self.house = House(test, clock=exchange.clock, **named)
        self.bus = Bus(exchange, server)
        self.operations = Operations(self.house.factory, lambda: None)
        shelf = BanShelf(self.bus, "TEST-bans", 1)
        self.company = Company(
            exchange.clock, self.bus, "TEST-fellows", LEASE, self.house.factory, self.operations.expel, shelf
        )
        self.operations.company = self.company

    def connect(self, host: str = "127.0.0.1") -> Visitor:
        """
        Somebody comes.
        """
        return self.house.connect(host)


class TownTestCase(SynchronousTestCase):
    """
    Tests with several servers. At the end nothing is left.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.exchange = Exchange(self.clock)
        self.servers: list[Server] = []
        self.addCleanup(self._close)

    def start(self, number: int, **named: Any) -> list[Server]:
        """
        Start so many servers, which know of each other then.
        """
        started = []
        for _ in range(number):
            server = Server(self, self.exchange, f"server{len(self.servers) + 1:02}", **named)
            self.servers.append(server)
            started.append(server)
            server.company.start()
        self.settle()
        return started

    def settle(self) -> None:
        """
        Let everything happen that happens soon.
        """
        for _ in range(10):
            self.wait(0.05)

    def wait(self, seconds: float) -> None:
        """
        Let time pass.
        """
        step = 0.05
        for _ in range(max(1, round(seconds / step))):
            self.clock.advance(step)
            for server in self.servers:
                server.house.settle()

    def say(self, visitor: Visitor, data: bytes) -> bytes:
        """
        Send a line. Tells what came at once.
        """
        answer = visitor.say(data)
        self.settle()
        return answer

    def take(self, visitor: Visitor) -> bytes:
        """
        What a client was sent since it was last asked.
        """
        received, visitor.received = visitor.received, b""
        return received

    def kill(self, server: Server) -> None:
        """
        A server is gone, without a word.
        """
        server.bus.is_connected = False
        self._stop(server)

    def leave(self, server: Server) -> None:
        """
        A server stops, as its service has it.
        """
        self._stop(server)

    def _stop(self, server: Server) -> None:
        self.servers.remove(server)
        server.house.clean_up()
        server.company.stop()

    def _close(self) -> None:
        for server in [*self.servers]:
            self.leave(server)
        # What was on its way from the broker has nobody to come to.
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
