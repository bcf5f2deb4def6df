"""
The broker as the reactor's thread sees it.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from txaio.tx import make_logger

from echochat.broker.address import BrokerAddress
from echochat.broker.errors import BrokerUnavailable
from echochat.broker.link import Link
from echochat.broker.messages import Broken, Complaint, Down, Message, Report, Up
from echochat.broker.orders import Publish, Renew, Subscribe, Unsubscribe
from echochat.broker.questions import Questions
from echochat.broker.queues import ReportQueue

_NOT_CONNECTED: Final = "the broker cannot be reached"

_MOST_COMPLAINTS: Final = 20

Callback = Callable[[Sequence[Message]], None]
"""
Is given all messages for a subscription that have come since it was last called, in their order. Must not raise.
"""


class Watcher(Protocol):
    """
    Who is told of connections. Called in the reactor's thread; must not raise.
    """

    def broker_connected(self) -> None:
        """
        Everything can be published and asked now; what was subscribed is.
        """

    def broker_disconnected(self, why: str) -> None:
        """
        The connection has ended, or another attempt to make one was in vain. Questions that had no answer have failed,
        and what was published last may or may not have arrived.
        """


class _Phase(Enum):
    NEW = "made"
    RUNNING = "connected, or trying to be"
    STOPPING = "ending the thread"
    STOPPED = "ended, or never begun"


@dataclass(slots=True)
class Subscription:
    """
    What somebody listens to, on every connection until :meth:`end`.
    """

    number: int
    subject: str
    callback: Callback
    _broker: "Broker" = field(repr=False)

    def end(self) -> None:
        """
        Listen no more: the callback is not called again.
        """
        self._broker.unsubscribe(self)


class Broker:
    """
    One connection, for all that this server wants of its broker: made anew whenever it ends, with full-jitter back-off
    and for ever.

    All methods are called in the reactor's thread.

    :param reactor: any real one: with time and threads.
    :param clock: for deadlines; the reactor, if not a test's.
    :ivar id: names this server among those that use the broker: 12 hexadecimal digits, others after each start.
    :ivar is_connected: whether what is published now has a chance to arrive.
    :ivar server: what the broker has said of itself.
    """

    log = make_logger()

    def __init__(self, reactor: Any, address: BrokerAddress, clock: Any = None) -> None:
        self.id = secrets.token_hex(6)
        self.address = address
        self.is_connected = False
        self.server: Mapping[str, object] = {}
        self._reactor = reactor
        self._reports = ReportQueue(reactor, self._take)
        self._link = Link(address, f"echochat {self.id}", self._reports.put)
        self._connection = 0
        self._watchers: list[Watcher] = []
        self._subscriptions: dict[int, Subscription] = {}
        self._next_number = 0
        inbox = f"_INBOX.{secrets.token_hex(11)}"
        self._questions = Questions(inbox, reactor if clock is None else clock)
        self._told = ""
        self._complaints: set[str] = set()
        self._phase = _Phase.NEW
        self._stopped: list[Deferred[None]] = []
        self.subscribe(f"{inbox}.*", self._questions.came)

    # Called by whoever uses it

    def start(self) -> None:
        """
        Begin to connect. Whoever shares the broker may call it, too.
        """
        if self._phase is _Phase.NEW:
            self._phase = _Phase.RUNNING
            if self.address.password is not None:
                self.log.warn(
                    "The address of the broker {address} has a password in it, which everybody on this machine sees if "
                    "it is on a command line: write user=NAME&password-file=FILE, or creds=FILE, instead",
                    address=self.address,
                )
            self._link.start()

    def stop(self) -> Deferred[None]:
        """
        End the connection and its thread; what was published is sent before, if that is possible at once.
        """
        if self._phase in (_Phase.NEW, _Phase.STOPPED):
            self._phase = _Phase.STOPPED
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stopped.append(stopped)
        if self._phase is _Phase.RUNNING:
            self._phase = _Phase.STOPPING
            self._link.stop(lambda: self._reactor.callFromThread(self._has_stopped))
        return stopped

    def watch(self, watcher: Watcher) -> None:
        """
        Tell of connections from now on.
        """
        self._watchers.append(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """
        The opposite.
        """
        self._watchers.remove(watcher)

    def publish(self, subject: str, payload: bytes, reply: str = "", headers: Mapping[str, str] | None = None) -> None:
        """
        Publish, if there is a connection; whether it arrives is not known.

        :param reply: where an answer is to go.
        """
        if self.is_connected:
            self._link.order(Publish(self._connection, subject, payload, reply, headers))

    def subscribe(self, subject: str, callback: Callback) -> Subscription:
        """
        Listen, on this connection and all that follow. What is published while there is none is not heard.
        """
        self._next_number += 1
        subscription = Subscription(self._next_number, subject, callback, self)
        self._subscriptions[subscription.number] = subscription
        self._link.order(Subscribe(subscription.number, subject))
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """
        See :meth:`Subscription.end`.
        """
        if self._subscriptions.pop(subscription.number, None) is not None:
            self._link.order(Unsubscribe(subscription.number))

    def request(
        self, subject: str, payload: bytes, timeout: float, headers: Mapping[str, str] | None = None
    ) -> Deferred[Message]:
        """
        Ask, and wait for one answer.

        :param timeout: seconds.
        :return: fails with BrokerUnavailable, or NobodyAnswers, which is one. Can be cancelled.
        """
        return self.gather(subject, payload, timeout, _is_enough, headers).addCallback(_only)

    def gather(
        self,
        subject: str,
        payload: bytes,
        timeout: float,
        is_last: Callable[[Message], bool],
        headers: Mapping[str, str] | None = None,
    ) -> Deferred[list[Message]]:
        """
        Ask, and wait for all answers.

        :param timeout: seconds until the last.
        :param is_last: tells it.
        :return: as for :meth:`request`.
        """
        if not self.is_connected:
            return fail(BrokerUnavailable(_NOT_CONNECTED))
        inbox, answer = self._questions.ask(timeout, is_last)
        self.publish(subject, payload, inbox, headers)
        return answer

    def renew(self) -> None:
        """
        Leave this connection, which seems to be of no use, and make another.
        """
        self._link.order(Renew(self._connection))

    # Ours

    def _take(self, reports: Sequence[Report]) -> None:
        batch: list[Message] = []
        for report in reports:
            if isinstance(report, Message):
                if batch and batch[-1].subscription != report.subscription:
                    self._deliver(batch)
                    batch = []
                batch.append(report)
                continue
            self._deliver(batch)
            batch = []
            self._note(report)
        self._deliver(batch)

    def _deliver(self, batch: list[Message]) -> None:
        if not batch:
            return
        subscription = self._subscriptions.get(batch[0].subscription)
        if subscription is None:
            return
        try:
            subscription.callback(batch)
        except Exception:
            self.log.failure("what listens to {subject} failed", subject=subscription.subject)

    def _note(self, report: Up | Down | Complaint | Broken) -> None:
        match report:
            case Up(connection, server):
                self.server = server
                self.is_connected = True
                self._connection = connection
                self._told = ""
                self._complaints.clear()
                name = server.get("server_name")
                self.log.info("connected to the broker {name}, one of {address}", name=name, address=self.address)
                for watcher in [*self._watchers]:
                    watcher.broker_connected()
            case Down(why):
                self._lose(why)
            case Complaint(what):
                self._complain(what)
            case Broken(error):
                self.log.failure("the connection to the broker failed; it is made anew", Failure(error))

    def _complain(self, what: str) -> None:
        # What is denied is denied for each message, and the subject may be another one each time.
        if what in self._complaints or len(self._complaints) > _MOST_COMPLAINTS:
            return
        self._complaints.add(what)
        if len(self._complaints) > _MOST_COMPLAINTS:
            what = "more of this, which is not told until there is another connection"
        self.log.warn("the broker at {address}: {what}", address=self.address, what=what)

    def _lose(self, why: str) -> None:
        was_connected, self.is_connected = self.is_connected, False
        if self._phase is _Phase.RUNNING and why != self._told:
            # Attempts go on for ever; each reason is told once.
            self._told = why
            what = "the connection to the broker at {address} has ended: {why}"
            if not was_connected:
                what = "the broker at {address} cannot be reached: {why}"
            self.log.error(what, address=self.address, why=why)
        self._questions.fail_all(_NOT_CONNECTED)
        for watcher in [*self._watchers]:
            watcher.broker_disconnected(why)

    def _has_stopped(self) -> None:
        self._link.join()
        self._reports.take()
        self._phase = _Phase.STOPPED
        stopped, self._stopped = self._stopped, []
        for each in stopped:
            each.callback(None)


def _is_enough(message: Message) -> bool:
    return True


def _only(messages: list[Message]) -> Message:
    return messages[0]
