"""
A cluster in memory: servers that are a hub and people each, and messages that arrive in whatever order a test wants.
"""

from dataclasses import dataclass
from itertools import count

from echochat.chat.ban_book import BanBook
from echochat.chat.fellows.census import Census
from echochat.chat.fellows.fellowship import Fellowship
from echochat.chat.fellows.outcomes import Answered, Banned, Displaced, Lost, Met, Moved, Ordered, Outcome, Send, Shown
from echochat.chat.hub import Hub
from echochat.chat.people import People
from echochat.chat.topics import Cursor
from echochat.wire.names import fold_name

LEASE = 20.0
BEAT = 2.0

MOST_PARCELS = 2_000
"""
Messages that are on their way at once, in a cluster that comes to rest.
"""


class Watcher:
    """
    Follows a topic and keeps the list of who is there, from what it is told.

    :ivar there: by the form in which names are compared, the name as it was told.
    :ivar told: all that it was told.
    :ivar wrong: what it was told that cannot be.
    """

    def __init__(self, hub: Hub, topic: str, name: str) -> None:
        self.cursor: Cursor
        self.name = name
        self.hub = hub
        self.told: list[tuple[str, bool]] = []
        self.wrong: list[tuple[str, bool]] = []
        self.cursor = hub.follow(topic, 0, 0, self, name, True)
        self.there = {fold_name(each): each for each in hub.who(topic)}

    def wake(self) -> None:
        assert self.cursor.changes is not None
        for name, came in self.cursor.changes.items():
            self.told.append((name, came))
            known = self.there.pop(fold_name(name), None)
            if came:
                self.there[fold_name(name)] = name
            if known != (None if came else name):
                self.wrong.append((name, came))
        self.cursor.changes.clear()

    @property
    def is_right(self) -> bool:
        """
        Whether it knows who is there, and was told nothing twice.
        """
        return not self.wrong and sorted(self.there.values()) == sorted(self.hub.who(self.cursor.log.name))


class Follower:
    """
    Follows a topic and does not care who else does.
    """

    def __init__(self, hub: Hub, topic: str, name: str) -> None:
        self.name = name
        self.cursor = hub.follow(topic, 0, 0, self, name, False)

    def wake(self) -> None:
        pass


class Server:
    """
    One server of the cluster.

    :ivar outbox: what it wants sent: to whom (None: all), and the message.
    :ivar outcomes: all else that was to be done.
    """

    def __init__(self, server: str) -> None:
        self.hub = Hub()
        self.people = People()
        self.book = BanBook()
        self.census = Census(self.hub, self.people, self.book)
        self.fellowship = Fellowship(
            server, LEASE, f"at {server}", self.census, self.hub.is_watched, self.people.is_guests
        )
        self.hub.elsewhere = self.people.elsewhere = self.fellowship
        self.outbox: list[tuple[str | None, bytes]] = []
        self.outcomes: list[Outcome] = []
        self.followers: list[Watcher | Follower] = []
        self.guests: list[str] = []
        self.shown: set[str] = set()

    @property
    def id(self) -> str:
        """
        Its id.
        """
        return self.fellowship.server

    def follow(self, topic: str, name: str) -> Follower:
        """
        Somebody follows a topic.
        """
        follower = Follower(self.hub, topic, name)
        self.followers.append(follower)
        return follower

    def watch(self, topic: str, name: str) -> Watcher:
        """
        Somebody follows a topic and wants to know who else does.
        """
        watcher = Watcher(self.hub, topic, name)
        self.followers.append(watcher)
        return watcher

    def unfollow(self, follower: Watcher | Follower) -> None:
        """
        Somebody follows a topic no more.
        """
        self.followers.remove(follower)
        self.hub.unfollow(follower.cursor, follower.name)

    def ban(self, who: str, until: int | None, wall: int = 1) -> None:
        """
        An operator here bans somebody, or lifts a ban.
        """
        self.census.decided(self.book.decide(who, until, wall))

    def say(self, *messages: bytes) -> None:
        """
        Send to all.
        """
        self.outbox += [(None, message) for message in messages]

    def receive(self, data: bytes, now: float) -> None:
        """
        A message has come.
        """
        self.carry_out(self.fellowship.receive(data, now))

    def look(self, now: float) -> None:
        """
        See whether leases have ended.
        """
        self.carry_out(self.fellowship.look(now))

    def carry_out(self, outcomes: list[Outcome]) -> None:
        """
        Do what follows from a message.
        """
        moves = [(each.topic, each.before, each.after) for each in outcomes if isinstance(each, Moved)]
        self.hub.moved_elsewhere(moves)
        for outcome in outcomes:
            self.outcomes.append(outcome)
            match outcome:
                case Send(to, data):
                    self.outbox.append((to, data))
                case Displaced(name):
                    self.people.release(name)
                    self.guests = [each for each in self.guests if fold_name(each) != name]
                case Shown(name):
                    self.people.reserve_too(name)
                case Banned(record):
                    if self.book.learn(record, 1):
                        # Whoever decided it may be gone before it has told everybody.
                        self.census.decided(record)
                case Moved() | Met() | Lost() | Ordered() | Answered():
                    pass


@dataclass(frozen=True)
class Parcel:
    """
    A message on its way.
    """

    to: str
    data: bytes


class Cluster:
    """
    Servers, and what is on its way between them.

    :ivar now: the time, for all of them.
    """

    def __init__(self, size: int = 3) -> None:
        self._numbers = count(1)
        self.now = 0.0
        self.servers: list[Server] = []
        self.parcels: list[Parcel] = []
        for _ in range(size):
            self.start()

    def start(self) -> Server:
        """
        One more server.
        """
        server = Server(f"server{next(self._numbers):02}")
        self.servers.append(server)
        server.say(server.fellowship.greet())
        return server

    def kill(self, server: Server) -> None:
        """
        A server is gone, without a word; what it has sent may still arrive.
        """
        self.collect()
        self.servers.remove(server)

    def collect(self) -> None:
        """
        What the servers want sent is on its way.
        """
        for server in self.servers:
            for to, data in server.outbox:
                # A broker gives what is sent to all to the sender, too.
                self.parcels += [Parcel(each.id, data) for each in self.servers if to in (None, each.id)]
            server.outbox.clear()

    def deliver(self, parcel: Parcel) -> None:
        """
        A message arrives.
        """
        for server in [*self.servers]:
            if server.id == parcel.to:
                server.receive(parcel.data, self.now)

    def settle(self) -> None:
        """
        Deliver everything, in order, until nobody has more to say.
        """
        for _ in range(100):
            for server in self.servers:
                server.say(*server.fellowship.news())
            self.collect()
            if not self.parcels:
                return
            if len(self.parcels) > MOST_PARCELS:
                break
            parcels, self.parcels = self.parcels, []
            for parcel in parcels:
                self.deliver(parcel)
        raise AssertionError("they go on and on")

    def pass_time(self, seconds: float) -> None:
        """
        Time passes as it does: with heartbeats, and with looks at the leases, and nothing is lost.
        """
        end = self.now + seconds
        while self.now < end:
            self.now += 1.0
            for server in self.servers:
                if self.now % BEAT == 0:
                    server.say(server.fellowship.beat())
                server.look(self.now)
            self.settle()
