"""
This server in the company of the others that share its log.
"""

import os
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from txaio.tx import make_logger

from echochat.broker import Message
from echochat.chat.ban_book import BanRecord
from echochat.chat.fellows.census import Census
from echochat.chat.fellows.encoding import LONGEST_PLACE, encode
from echochat.chat.fellows.fellowship import Fellowship
from echochat.chat.fellows.messages import Done, Order
from echochat.chat.fellows.outcomes import Answered, Banned, Displaced, Lost, Met, Moved, Ordered, Outcome, Send, Shown
from echochat.server.factory import EchoChatFactory
from echochat.server.fellows.ban_shelf import BanShelf
from echochat.server.fellows.inbox import Inbox
from echochat.server.fellows.orders import Expelled, Orders

FLUSH: Final = 0.05
"""
Seconds for which news are collected before they are told.
"""

BEATS: Final = 10
LOOKS: Final = 20
"""
How often within its lease a server says that it is alive, and looks who of the others is.
"""

KEEPING: Final = 5.0
"""
Seconds that the broker has to keep a ban before the operator is told that it has not.
"""

UNREACHED: Final = "the broker cannot be reached: only this server has done it"
NOT_KEPT: Final = "the broker has not said that it keeps this: it may be forgotten when all servers have stopped"


class Bus(Protocol):
    """
    The connection to the broker, as far as it is needed: see :class:`echochat.broker.Broker`.
    """

    id: str
    is_connected: bool

    def publish(self, subject: str, payload: bytes) -> None: ...
    def subscribe(self, subject: str, callback: Callable[[Sequence[Message]], None]) -> Any: ...
    def watch(self, watcher: Any) -> None: ...
    def unwatch(self, watcher: Any) -> None: ...


class Company:
    """
    Tells the other servers who is here, and this one who is there.

    :param clock: for heartbeats, leases and deadlines.
    :param bus: the connection to the broker.
    :param name: what the servers of this cluster have in common, and no others at the same broker.
    :param lease: seconds after which the people of a server that is not heard of are gone.
    :param factory: this server.
    :param expel: closes the connections of a name or an address, because of a ban if there is one; tells how many.
    :param shelf: keeps bans where they survive all servers.
    """

    log = make_logger()

    def __init__(
        self,
        clock: IReactorTime,
        bus: Bus,
        name: str,
        lease: float,
        factory: EchoChatFactory,
        expel: Callable[[str, BanRecord | None], int],
        shelf: BanShelf,
    ) -> None:
        self._clock = clock
        self._bus = bus
        self._name = name
        self._factory = factory
        self._expel = expel
        self._shelf = shelf
        self._hub, self._people = factory.exchange.hub, factory.commons.people
        self._census = Census(self._hub, self._people, factory.bans.book)
        self._census.on_news = self._flush_later
        place = f"{socket.gethostname()}, process {os.getpid()}"[:LONGEST_PLACE]
        self.fellowship = Fellowship(bus.id, lease, place, self._census, self._hub.is_watched, self._people.is_guests)
        self._orders = Orders(clock)
        self._inbox = Inbox(clock, self._receive)
        self._flushing: IDelayedCall | None = None
        self._beating: IDelayedCall | None = None
        self._looking: IDelayedCall | None = None
        self._subscriptions: list[Any] = []

    # Called by the broker

    def broker_connected(self) -> None:
        self._bus.publish(self._all, self.fellowship.greet())
        self._shelf.look(self._factory.bans.book.records, self._learn)

    def broker_disconnected(self, why: str) -> None:
        self._shelf.leave()

    # Called by the service

    def start(self) -> None:
        """
        Be there.
        """
        self._hub.elsewhere = self._people.elsewhere = self.fellowship
        self._subscriptions = [
            self._bus.subscribe(subject, self._inbox.came) for subject in (self._all, self._subject_of(self._bus.id))
        ]
        self._bus.watch(self)
        if self._bus.is_connected:
            self.broker_connected()
        self._beat()
        self._look()

    def ready(self) -> Deferred[None]:
        """
        :return: fires when it is known who is banned, as far as the broker tells: let nobody in before that.
        """
        return self._shelf.when_looked()

    def stop(self) -> None:
        """
        Say farewell: nobody is here any more.
        """
        # Connections that had to be aborted leave after this: news behind the farewell would be those of a server that
        # has just come.
        self._census.leave_untold()
        self._bus.unwatch(self)
        for subscription in self._subscriptions:
            subscription.end()
        self._inbox.stop()
        for delayed in (self._flushing, self._beating, self._looking):
            if delayed is not None and delayed.active():
                delayed.cancel()
        self._shelf.leave()
        self._orders.stop()
        self._bus.publish(self._all, self.fellowship.leave())

    # Called by the operator

    @property
    def status(self) -> dict[str, str | int | float]:
        """
        The other servers.
        """
        now, fellows = self._clock.seconds(), self.fellowship.fellows
        status: dict[str, str | int | float] = {
            "server": self._bus.id,
            "broker": "connected" if self._bus.is_connected else "cannot be reached",
            "other servers": len(fellows),
            "messages of servers refused": self._inbox.refused,
        }
        for fellow in fellows:
            heard = max(0.0, now - fellow.until + fellow.lease)
            people = fellow.population
            followers = sum(attendance.followers for attendance in people.topics.values())
            status[f"server {fellow.server}"] = (
                f"{fellow.place}: {followers} subscriptions of {len(people.topics)} topics, "
                f"heard of {heard:.1f} s ago" + ("" if fellow.seq is not None else ", its people are not known yet")
            )
        return status

    async def order(self, who: str, ban: BanRecord | None) -> Expelled:
        """
        Have somebody's connections closed on the other servers.

        :param who: a name or an address, in the form in which they are compared.
        :param ban: because of this; None: it is a kick.
        :return: what came of it there.
        """
        number, answered = self._orders.give(self._reachable)
        self._bus.publish(self._all, encode(Order(self._bus.id, number, who, ban)))
        remarks = [] if self._bus.is_connected else [UNREACHED]
        decided = self.decided(ban) if ban is not None else succeed([])
        expelled = await answered
        expelled.remarks += remarks + await decided
        return expelled

    def decided(self, record: BanRecord) -> Deferred[list[str]]:
        """
        A ban was decided on, or lifted, here.

        :return: what the operator should know besides, a sentence each, when the broker keeps it, or within
            :data:`KEEPING`: who is told before that has been told of a ban that a stop of the servers undoes. Never
            fails.
        """
        self._census.decided(record)
        kept = self._shelf.put(record).addTimeout(KEEPING, self._clock)
        return kept.addCallback(lambda is_kept: [] if is_kept else [NOT_KEPT])

    # Ours

    @property
    def _all(self) -> str:
        return f"{self._name}.all"

    def _subject_of(self, server: str) -> str:
        return f"{self._name}.to.{server}"

    @property
    def _reachable(self) -> list[str]:
        return [fellow.server for fellow in self.fellowship.fellows] if self._bus.is_connected else []

    def _beat(self) -> None:
        self._beating = self._clock.callLater(self.fellowship.lease / BEATS, self._beat)
        self._bus.publish(self._all, self.fellowship.beat())

    def _look(self) -> None:
        self._looking = self._clock.callLater(self.fellowship.lease / LOOKS, self._look)
        self._carry_out(self.fellowship.look(self._clock.seconds()))

    def _flush_later(self) -> None:
        if self._flushing is None:
            self._flushing = self._clock.callLater(FLUSH, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        # Where the broker cannot be reached, too: the others see from the numbers that they have missed something.
        for message in self.fellowship.news():
            self._bus.publish(self._all, message)

    def _receive(self, payload: bytes) -> None:
        self._carry_out(self.fellowship.receive(payload, self._clock.seconds()))

    def _carry_out(self, outcomes: list[Outcome]) -> None:
        self._hub.moved_elsewhere(
            [(each.topic, each.before, each.after) for each in outcomes if isinstance(each, Moved)]
        )
        for outcome in outcomes:
            match outcome:
                case Send(to, data):
                    self._bus.publish(self._all if to is None else self._subject_of(to), data)
                case Met(server, place):
                    self.log.info("server {server} is there: {place}", server=server, place=place)
                case Lost(server, place, why):
                    self.log.info("server {server} has gone: {why} ({place})", server=server, place=place, why=why)
                case Displaced(name):
                    self._factory.displace_guest(name)
                case Shown(name):
                    self._people.reserve_too(name)
                    if self._people.is_guests(name):
                        self._factory.displace_guest(name)
                case Banned(record):
                    self._learn(record)
                case Ordered(order):
                    closed = self._learn(order.ban) if order.ban is not None else self._expel(order.who, None)
                    self._bus.publish(self._subject_of(order.server), encode(Done(self._bus.id, order.number, closed)))
                case Answered(done):
                    self._orders.answered(done)
                case Moved():
                    pass

    def _learn(self, record: BanRecord) -> int:
        bans = self._factory.bans
        if not bans.learn(record):
            return 0
        # Whoever decided it may be gone before it has told everybody.
        self._census.decided(record)
        return self._expel(record.who, record) if bans.is_in_force(record) else 0
