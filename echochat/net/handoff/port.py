"""
The worker's end: a port on which connections arrive that a balancer has accepted.

The problem. A connection must have exactly one owner at any moment, whichever process dies or hangs, and both sides
must know the same number of connections afterwards.

How. The worker says that it takes a connection *before* anything is made of the socket, and makes it only when the
kernel has that word for the balancer. A balancer that has not heard it gives the client to another worker; before it
does, it sees to it that the word cannot be said any more (:meth:`echochat.net.handoff.records.Records.close`). So

- until the word is sent nothing is read from the client or written to it, and it can be served elsewhere;
- from then on it is the worker's, and ends with it.

A channel may break while the worker lives. Then its connections go on, and when the same balancer connects again it is
told which of them there still are.

Rejected: acknowledging after the connection is made (a worker that hangs in between has read from the client, and a
second one reads what it left); a third message with which the balancer agrees (a round trip more for each client).
"""

import os
import secrets
import socket
from collections import deque
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress, IListeningPort
from txaio.tx import make_logger
from zope.interface import implementer

from echochat.net.deadlines import Deadlines
from echochat.net.handoff.adopting import adopt
from echochat.net.handoff.balancers import Balancer, Channel
from echochat.net.handoff.frames import TOKEN, End, Willing
from echochat.net.handoff.records import user_at
from echochat.net.lean.ports import LeanUnixPort

MOST_CHANNELS: Final = 64
"""
Connections of balancers: a worker has one or two, and a few more while they are restarted.
"""


GREETING: Final = 5.0
"""
Seconds in which whoever connects has to say which balancer it is: what it says is ready before it connects.
"""


@implementer(IListeningPort)
class HandoffPort:
    """
    Takes connections from balancers. While it is not to be read from, as when a gate is shut, it refuses them, and the
    balancers know it.

    :param path: of the socket where balancers connect.
    :param reactor: an ``IReactorFDSet``.
    :param factory: makes the protocols.
    :ivar token: tells this worker from the one before, and from the next.
    :ivar strangers: how many connections there are of balancers that are not connected, and may never be again.
    """

    log = make_logger()

    connected = False
    disconnecting = False

    def __init__(self, path: str, reactor: Any, factory: Any) -> None:
        self.reactor = reactor
        self.token = secrets.token_bytes(TOKEN)
        self.strangers = 0
        self._factory = factory
        self._wanted = True
        self._told = Willing.OPEN
        self._door = _Door(path, factory, reactor, self)
        self._channels: set[Channel] = set()
        # Those that have not said which balancer they are. A few are enough to keep all others out.
        self._silent: Deadlines[Channel] = Deadlines(reactor, GREETING, _give_up)
        self._balancers: dict[bytes, Balancer] = {}
        # Promised when the gate was open, and shut out by those who came right before them.
        self._waiting: deque[tuple[socket.socket, int, Balancer]] = deque()

    # Called by Twisted

    def startListening(self) -> None:
        # Without the mask everybody could open the socket between its making and Twisted's chmod.
        mask = os.umask(0o177)
        try:
            self._door.startListening()
        finally:
            os.umask(mask)
        self.connected = True

    def stopListening(self) -> "Deferred[None]":
        """
        Take no connection any more, and tell the balancers. Those that were taken go on, and their ends are told.
        """
        self.connected = False
        self.disconnecting = True
        self._tell_situation()
        while self._waiting:
            self._let_go(self._waiting.popleft(), End.WORKER)
        return maybeDeferred(self._door.stopListening)

    def getHost(self) -> IAddress:
        address: IAddress = self._door.getHost()
        return address

    # Called by a gate

    def stopReading(self) -> None:
        """
        Take no connection for now.
        """
        if self._wanted:
            self._wanted = False
            self._tell_situation()

    def startReading(self) -> None:
        """
        Take connections again.
        """
        if not self._wanted:
            self._wanted = True
            while self._waiting and self._wanted:
                self.adopt(*self._waiting.popleft())
            self._tell_situation()

    # Called by the channels

    @property
    def willing(self) -> Willing:
        """
        Whether connections are taken.
        """
        if self.disconnecting:
            return Willing.DRAINING
        return Willing.OPEN if self._wanted else Willing.FULL

    def welcome(self, channel: Channel, token: bytes) -> Balancer:
        """
        A balancer has said which one it is.
        """
        self._silent.clear(channel)
        balancer = self._balancers.setdefault(token, Balancer(token, self._ended))
        if balancer.channel is not None:
            # Its end has not been seen yet.
            balancer.channel.close("the same balancer has connected again")
        self._balancers[token] = balancer
        balancer.channel = channel
        self._count_strangers()
        return balancer

    def adopt(self, handed: socket.socket, number: int, balancer: Balancer) -> None:
        """
        Serve this client, when there is a place.
        """
        balancer.alive[number] = None
        if not self._wanted:
            self._waiting.append((handed, number, balancer))
            return
        transport = adopt(self.reactor, self._factory, handed, number, balancer.over)
        if number in balancer.alive:
            balancer.alive[number] = transport

    def kick(self, number: int, balancer: Balancer) -> None:
        """
        Close this balancer's connection at once: one that waits for a place, too.
        """
        transport = balancer.alive.get(number)
        if transport is not None:
            transport.abortConnection()
            return
        for waiting in self._waiting:
            if waiting[1:] == (number, balancer):
                self._waiting.remove(waiting)
                self._let_go(waiting, End.ABORTED)
                return

    def move(self, count: int | None, seconds: float) -> int:
        """
        Ask so many clients to move within so many seconds, if the factory knows how; None: all.

        :return: how many will be asked.
        """
        move = getattr(self._factory, "move", None)
        return 0 if move is None else int(move(count, seconds))

    def left(self, channel: Channel, balancer: Balancer | None) -> None:
        """
        The channel is closed.
        """
        self._channels.discard(channel)
        self._silent.clear(channel)
        if not self._channels:
            self._silent.stop()
        if balancer is not None and balancer.channel is channel:
            balancer.channel = None
            self._ended(balancer)

    # Called by the door

    def arrived(self, connected: socket.socket) -> None:
        """
        Somebody has connected.
        """
        user = user_at(connected)
        if user not in (0, os.geteuid()):
            self.log.warn("a process of user {user} may not hand connections over", user=user)
            connected.close()
        elif len(self._channels) >= MOST_CHANNELS:
            self.log.warn("there are {count} balancers already", count=MOST_CHANNELS)
            connected.close()
        else:
            channel = Channel(connected, self)
            self._channels.add(channel)
            self._silent.set(channel)

    # Ours

    def _let_go(self, waiting: tuple[socket.socket, int, Balancer], end: End) -> None:
        """
        Close what was promised a place and has got none.
        """
        handed, number, balancer = waiting
        handed.close()
        balancer.over(number, 0, 0, end)

    def _ended(self, balancer: Balancer) -> None:
        """
        A balancer's channel, or a connection of one that has none. A balancer that was started anew has another token:
        what is over of the one before is nobody's.
        """
        if not balancer.alive:
            del self._balancers[balancer.token]
        self._count_strangers()

    def _count_strangers(self) -> None:
        strangers = sum(len(each.alive) for each in self._balancers.values() if each.channel is None)
        if strangers != self.strangers:
            self.strangers = strangers
            for channel in self._channels:
                channel.flush_soon()

    def _tell_situation(self) -> None:
        if self.willing is self._told:
            return
        self._told = self.willing
        for channel in [*self._channels]:
            channel.tell_situation()


def _give_up(channel: Channel) -> None:
    channel.close(f"who connected has not said within {GREETING:g} s that it is a balancer")


class _Door(LeanUnixPort):
    """
    Where balancers connect.
    """

    socketType = socket.SOCK_SEQPACKET

    def __init__(self, path: str, factory: Any, reactor: Any, behind: HandoffPort) -> None:
        super().__init__(os.fsencode(path), factory, MOST_CHANNELS, 0o600, reactor, True)
        self._behind = behind

    def _make_connection(self, accepted: socket.socket, address: Any) -> None:
        self._behind.arrived(accepted)
