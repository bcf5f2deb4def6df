"""
Connections that are handed to a process on this machine, socket and all: the balancer is out of their way then.
"""

from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Final

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IAddress

from echochat.balancer.backends import Backend, Lease
from echochat.balancer.connection import Connection
from echochat.balancer.sockets import Sockets
from echochat.net.handoff.channel import Channel
from echochat.net.handoff.frames import End
from echochat.net.handoff.passengers import NotTaken
from echochat.net.lean import LeanReactor

_KIND: Final = "handoff:"

_PLAIN: Final = ("tcp:", "unix:", "systemd:")
"""
Kinds of endpoints that give nothing but the socket itself.
"""

_CAUSES: Final = {
    End.CLIENT: "client closed",
    End.WORKER: "backend closed",
    End.LOST: "client reset",
    End.ABORTED: "backend reset",
    None: "the backend died",
}


def is_handoff(endpoint: str) -> bool:
    """
    Whether connections are handed over there.
    """
    return endpoint.startswith(_KIND)


def look_at_listening(endpoints: Iterable[str]) -> None:
    """
    See whether what is accepted there can be handed over.

    :raises ValueError: it cannot; the text says why.
    """
    for endpoint in endpoints:
        if not endpoint.startswith(_PLAIN):
            kind, _, _ = endpoint.partition(":")
            raise ValueError(
                f"connections of --listen {kind}: cannot be handed over: they begin with what the balancer has to read"
            )


class HandoffRoute:
    """
    Hands clients to a worker.

    :param reactor: a lean one: others read from a client before anybody can ask for its socket.
    :param count: counts a connection that the worker has from a balancer that is gone, such as the one before this one
        that was killed.
    :raises ValueError: the backend's endpoint makes no sense; the text says why.
    """

    def __init__(self, reactor: Any, backend: Backend, random: Random, count: Callable[[], Lease]) -> None:
        path = backend.endpoint.removeprefix(_KIND)
        if not path or ":" in path.replace("\\:", ""):
            raise ValueError(f"{_KIND} needs the path of a socket and nothing else, as in {_KIND}run/w1.sock")
        if not isinstance(reactor, LeanReactor):
            raise ValueError(f"{_KIND} needs a system with epoll")
        self._count = count
        self._strangers: list[Lease] = []
        self._channel = Channel(path.replace("\\:", ":"), reactor, backend.name, random, self._has_strangers)
        self._channel.begin()

    # Called by whoever looks for a backend

    def open(self, client: Connection) -> "Deferred[None]":
        carrier = client.carrier
        if not isinstance(carrier, Sockets):
            return fail(NotTaken("this connection has been read from and cannot be handed over"))
        passage = Passage(client, carrier, self._channel)
        try:
            passage.begin()
        except NotTaken:
            return fail()
        return passage.opening

    def close(self) -> None:
        self._channel.close()

    # Called by whoever asks sessions to move

    def move(self, count: int | None, seconds: float) -> "Deferred[int]":
        return self._channel.move(count, seconds)

    # Called by the watch

    def check(self, backend: Backend) -> "Deferred[str]":
        return self._channel.check()

    # Called by the channel

    def _has_strangers(self, count: int) -> None:
        """
        They are its load as any other, and are never given to it here: nothing more is known of them.
        """
        while len(self._strangers) < count:
            self._strangers.append(self._count())
        while len(self._strangers) > count:
            self._strangers.pop().release()


class Passage:
    """
    One client's way to a worker, and what stands for its connection while it is there.

    :ivar opening: fires when the worker has it.
    """

    __slots__ = ("_channel", "_connection", "_number", "_sockets", "bytes_in", "bytes_out", "opening")

    def __init__(self, connection: Connection, sockets: Sockets, channel: Channel) -> None:
        self._connection = connection
        # What carries the connection if this does not succeed; None: it has.
        self._sockets: Sockets | None = sockets
        self._channel = channel
        self.bytes_in = 0
        self.bytes_out = 0

    # Called by the route

    def begin(self) -> None:
        """
        Hand the client over.

        :raises NotTaken: the worker is not there, or takes none now.
        """
        assert self._sockets is not None
        self._number = self._channel.hand(self._sockets.lend().fileno(), self)
        self.opening: Deferred[None] = Deferred(self._cancel)
        self._connection.carrier = self

    # Called by the channel

    def taken(self) -> None:
        """
        The worker has it.
        """
        sockets, self._sockets = self._sockets, None
        if sockets is not None:
            sockets.give_up()
            self._connection.factory.handed_over(self._connection)
            opening = self.opening
            # It refers to this, and this to the connection, as that does to this: whatever refers in a circle is left
            # to the collector, which took an eighth of the time.
            del self.opening
            opening.callback(None)

    def refused(self, why: NotTaken) -> None:
        """
        The worker does not take it.
        """
        self._go_back()
        self.opening.errback(why)

    def over(self, received: int, sent: int, end: End | None) -> None:
        """
        It has ended there.
        """
        self.bytes_in, self.bytes_out = max(0, received), max(0, sent)
        self._connection.blame(_CAUSES[end])
        self._connection.end()
        del self._connection

    # Called by the connection

    @property
    def host(self) -> IAddress:
        """
        Where the client connected to; of no use to anybody, and not known, when the worker has it.
        """
        return self._sockets.host if self._sockets is not None else UNIXAddress(None)

    @property
    def is_here(self) -> bool:
        """
        Whether this process has descriptors of it.
        """
        return self._sockets is not None

    def wait(self) -> None:
        """
        It takes no time. If the client goes meanwhile, that is for the worker to find out.
        """

    def abort(self) -> None:
        """
        Have the worker close it.
        """
        self._channel.kick(self._number)

    def let_go(self) -> None:
        """
        The balancer is stopping: the worker goes on.
        """
        if self._sockets is None:
            self._channel.forget(self._number)
            self._connection.blame("left with its backend")
            self._connection.end()
            del self._connection

    # Ours

    def _cancel(self, _: "Deferred[None]") -> None:
        """
        The time is over, or an operator wants the client gone.
        """
        self._channel.withdraw(self._number)
        if self._sockets is not None:
            self._go_back()

    def _go_back(self) -> None:
        sockets = self._sockets
        assert sockets is not None
        self._connection.carrier = sockets
        # It takes more time than expected.
        sockets.take_back()
