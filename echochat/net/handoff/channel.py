"""
The balancer's end: connections are handed to one worker, over a link that is made again when it breaks.

The counts must be exact whatever breaks, so what is known of a connection follows from what is known of its worker:

- The worker is there: it says which connections it takes, and when each ends.
- The link breaks. What was not taken is refused at once, and may be given to another worker; what was taken is in
  doubt. Connecting again decides, in a moment: when nobody listens any more the worker has died, and its connections
  with it; when another worker answers, likewise; when the same one answers it says which of them are alive.
- The worker is stopping, and says so: its link stays until its last connection has ended, and meanwhile another one
  may begin to listen in its place.
"""

import errno
import os
import secrets
import socket
from collections.abc import Callable
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall
from txaio.tx import make_logger

from echochat.net.handoff.census import Census
from echochat.net.handoff.frames import TOKEN, Willing
from echochat.net.handoff.links import Link
from echochat.net.handoff.passengers import UNWILLING, NotTaken, Passenger, Unwilling
from echochat.net.handoff.records import user_at
from echochat.wire.backoff import Backoff

FIRST: Final = 0.05
LONGEST: Final = 1.0
"""
Seconds between attempts to connect to a worker, at first and at most: it is on this machine, and asking costs little.
"""

_NOBODY: Final = frozenset((errno.ECONNREFUSED, errno.ENOENT))


class Channel:
    """
    The way to one worker.

    :param path: where it listens.
    :param reactor: an ``IReactorFDSet`` and ``IReactorTime``.
    :param name: what the worker is called in the log.
    :param random: for the times between attempts.
    :param strangers: is told how many connections the worker has that balancers handed over which are gone, such as the
        one before this that was killed.
    """

    log = make_logger()

    def __init__(
        self,
        path: str,
        reactor: Any,
        name: str,
        random: Random,
        strangers: Callable[[int], object] = lambda count: None,
    ) -> None:
        self._path = path
        self._reactor = reactor
        self._name = name
        self._backoff = Backoff(random.uniform, FIRST, LONGEST)
        self._token = secrets.token_bytes(TOKEN)
        self._number = 0
        self._link: Link | None = None
        # Of workers that are stopping.
        self._departing: set[Link] = set()
        # By worker, what it had taken when its link broke.
        self._doubtful: dict[bytes, dict[int, Passenger]] = {}
        # Of those, what is to be closed when their worker is there again.
        self._unwanted: set[int] = set()
        self._census = Census(strangers)
        self._retry: IDelayedCall | None = None
        self._why_not = "nobody has been asked yet"
        self._is_closed = False

    # Called by the route

    def begin(self) -> None:
        """
        Connect.
        """
        self._connect()

    def hand(self, descriptor: int, passenger: Passenger) -> int:
        """
        Hand a connection over. Its descriptor has to stay open until the passenger was taken or refused.

        :return: its number.
        :raises NotTaken: the worker is not there, or takes none now.
        """
        link = self._link
        if link is None or (link.willing is not None and link.willing is not Willing.OPEN):
            raise self._explain()
        self._number = number = self._number + 1
        link.hand(number, descriptor, passenger)
        return number

    def withdraw(self, number: int) -> None:
        """
        Do not hand a connection over after all: see :meth:`Link.withdraw`.
        """
        for link in self._links:
            link.withdraw(number)

    def kick(self, number: int) -> None:
        """
        Have a connection closed that was taken: now, or as soon as its worker can be told.
        """
        for link in self._links:
            if number in link.alive:
                link.kick(number)
        if any(number in passengers for passengers in self._doubtful.values()):
            self._unwanted.add(number)
            self.log.warn(
                "a connection at worker {name} is closed when its channel is there again: {why}",
                name=self._name,
                why=self._why_not,
            )

    def forget(self, number: int) -> None:
        """
        Nobody wants to know when this connection ends.
        """
        for link in self._links:
            link.forget(number)
        for passengers in self._doubtful.values():
            passengers.pop(number, None)

    def move(self, count: int | None, seconds: float) -> "Deferred[int]":
        """
        Have sessions asked to reconnect, which takes them elsewhere.

        :param count: how many; None: all.
        :return: how many will be asked.
        """
        if self._link is None or self._link.willing is None:
            return fail(ConnectionError(self._why_not))
        return self._link.questions.move(count, seconds)

    def check(self) -> "Deferred[str]":
        """
        See whether the worker is there and takes connections.

        :return: fires with what was seen; fails with :exc:`NotTaken`.
        """
        if self._link is None or self._link.willing is not Willing.OPEN:
            return fail(self._explain())
        answered: Deferred[Any] = self._link.questions.ping()
        return answered.addCallback(lambda _: "answered")

    def close(self) -> None:
        """
        Hand nothing over any more. The link stays while connections do that were.
        """
        self._is_closed = True
        if self._retry is not None and not self._doubtful:
            self._retry.cancel()
            self._retry = None
        for link in self._links:
            if link.is_empty:
                link.close("the balancer has no use for it")

    @property
    def _links(self) -> list[Link]:
        return [*self._departing, *([self._link] if self._link is not None else [])]

    # Called by the links

    def welcomed(self, link: Link, alive: set[int]) -> None:
        """
        The worker is there.
        """
        self._backoff.reset()
        self.log.info("worker {name} is connected", name=self._name)
        known = self._doubtful.pop(link.token, {})
        for number in [each for each in known if each in alive]:
            link.alive[number] = known.pop(number)
            if number in self._unwanted:
                link.kick(number)
        self._doubtful[link.token] = known
        self._give_up_doubtful()

    def departing(self, link: Link) -> None:
        """
        The worker is stopping.
        """
        self._departing.add(link)
        if self._link is link:
            self.log.info("worker {name} is stopping", name=self._name)
            self._link = None
            self._why_not = UNWILLING[Willing.DRAINING]
            self._try_later()

    def strangers(self, link: Link, count: int) -> None:
        """
        The worker has so many connections of balancers that are gone.
        """
        self._census.count(link.token, count)
        self.emptied(link)

    def emptied(self, link: Link) -> None:
        """
        Nothing that was handed over on this link is open.
        """
        if self._is_closed and link.is_empty:
            link.close("the balancer has no use for it")

    def lost(self, link: Link, why: str) -> None:
        """
        A link is closed.
        """
        self._why_not = f"its channel was closed: {why}"
        if link in self._departing:
            self._departing.discard(link)
            self._census.gone(link.token)
            self._over(link.alive)
            return
        self._link = None
        if not link.token:
            self._failed(f"it was closed: {why}")
            return
        if not self._is_closed:
            self.log.warn("the channel to worker {name} is closed: {why}", name=self._name, why=why)
        self._doubtful[link.token] = link.alive
        self._connect()

    # Ours

    def _explain(self) -> NotTaken:
        link = self._link
        if link is None:
            return NotTaken(self._why_not)
        if link.willing is None:
            return NotTaken("it has not answered yet")
        return Unwilling(UNWILLING[link.willing])

    def _connect(self) -> None:
        self._retry = None
        if self._is_closed and not any(self._doubtful.values()):
            self._give_up_doubtful()
            return
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connected.setblocking(False)
            connected.connect(self._path)
            user = user_at(connected)
        except OSError as error:
            connected.close()
            if error.errno in _NOBODY:
                self._give_up_doubtful()
            self._failed(error.strerror or str(error))
            return
        if os.geteuid() not in (0, user) and user != 0:
            connected.close()
            self._failed(f"it is a process of user {user}")
            return
        self._link = Link(connected, self._reactor, self, self._token)

    def _failed(self, why: str) -> None:
        if why != self._why_not:
            self.log.warn("worker {name} cannot be reached: {why}", name=self._name, why=why)
        self._why_not = why
        self._try_later()

    def _try_later(self) -> None:
        if self._retry is None and not (self._is_closed and not any(self._doubtful.values())):
            self._retry = self._reactor.callLater(self._backoff.next_delay(), self._connect)

    def _give_up_doubtful(self) -> None:
        """
        Whoever had these connections is gone.
        """
        gone, self._doubtful = self._doubtful, {}
        self._unwanted.clear()
        self._census.only({link.token for link in self._links})
        for passengers in gone.values():
            self._over(passengers)

    def _over(self, passengers: dict[int, Passenger]) -> None:
        left = [*passengers.values()]
        passengers.clear()
        for passenger in left:
            passenger.over(-1, -1, None)
