"""
Whatever happens to messages between servers: when it has stopped happening, all know the same, and it is true.
"""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.chat import ban_book
from echochat.chat.ban_book import BanBookFull
from echochat.chat.people import NameTaken
from echochat.chat.topics import Cursor
from echochat.wire.names import fold_name
from tests.chat.fellows.cluster import LEASE, Cluster, Server, Watcher
from tests.wire.examples import reproducible

TOPICS = ("lobby", "games")
NAMES = ("alice", "bob", "Bob", "carol")

Step = tuple[str, int, int]

ACTIONS = ("follow", "watch", "unfollow", "claim", "release", "show", "ban", "lift")
WEATHER = ("deliver", "late", "drop", "twice", "news", "beat", "wait", "kill", "leave", "start")

STEPS = st.lists(
    st.tuples(st.sampled_from(ACTIONS + WEATHER + ("deliver",) * 6), st.integers(0, 5), st.integers(0, 7)),
    min_size=40,
    max_size=120,
)


def choose_name(number: int) -> str:
    """
    One of the names.
    """
    return NAMES[number % len(NAMES)]


def act(server: Server, step: Step) -> None:
    """
    Something happens on a server.
    """
    action, _, number = step
    name, topic = choose_name(number), TOPICS[number % len(TOPICS)]
    if action == "follow":
        server.follow(topic, name)
    elif action == "watch":
        server.watch(topic, name)
    elif action == "unfollow" and server.followers:
        server.unfollow(server.followers[number % len(server.followers)])
    elif action == "claim":
        try:
            server.people.claim(name)
        except NameTaken:
            return
        server.guests.append(name)
    elif action == "release" and server.guests:
        server.people.release(server.guests.pop())
    elif action == "show" and name == "carol":
        server.people.reserve(name)
        server.shown.add(name)
    elif action == "ban":
        try:
            server.ban(fold_name(name), 10**12 if number % 2 else None)
        except BanBookFull:
            return
    elif action == "lift":
        server.ban(fold_name(name), 0)


def befall(cluster: Cluster, server: Server, step: Step) -> None:
    """
    Something happens to the messages, or to a server.
    """
    event, _, number = step
    cluster.collect()
    parcels = cluster.parcels
    if event == "deliver" and parcels:
        cluster.deliver(parcels.pop(0))
    elif event == "late" and parcels:
        cluster.deliver(parcels.pop(number % len(parcels)))
    elif event == "drop" and parcels:
        parcels.pop(number % len(parcels))
    elif event == "twice" and parcels:
        parcels.append(parcels[number % len(parcels)])
    elif event == "news":
        server.say(*server.fellowship.news())
    elif event == "beat":
        server.say(server.fellowship.beat())
    elif event == "wait":
        cluster.now += number
        server.look(cluster.now)
    elif event == "kill" and len(cluster.servers) > 1:
        cluster.kill(server)
    elif event == "leave" and len(cluster.servers) > 1:
        server.say(*server.fellowship.news(), server.fellowship.leave())
        cluster.kill(server)
    elif event == "start" and len(cluster.servers) < 4:
        cluster.start()


class ConvergenceTests(SynchronousTestCase):
    """
    Messages are lost, come twice and in any order, and servers come and go.
    """

    @settings(reproducible, max_examples=200)
    @given(STEPS)
    def test_all_know_what_is(self, steps: list[Step]) -> None:
        """
        When the weather is fair again for a lease and a heartbeat, each server knows who follows what on all of them,
        how many subscriptions there are, which names are taken and who is banned; a name is one guest's; and whoever
        watches a topic was told of each change once, whatever there was in between.
        """
        servers = play(steps).servers
        for topic in TOPICS:
            names = {fold_name(each.name) for server in servers for each in server.followers if on(each.cursor, topic)}
            subscriptions = sum(on(each.cursor, topic) for server in servers for each in server.followers)
            for server in servers:
                self.assertEqual(Counter(map(fold_name, server.hub.who(topic))), Counter(names))
                self.assertEqual(server.hub.followers(topic), subscriptions)
        followed = {each.cursor.log.name for server in servers for each in server.followers}
        guests = Counter(fold_name(name) for server in servers for name in server.guests)
        self.assertEqual(set(guests.values()) - {1}, set(), "a name is one guest's")
        for server in servers:
            self.assertEqual(set(server.hub.followed), followed)
            others = {fold_name(name) for other in servers if other is not server for name in other.guests}
            self.assertEqual({name for name in map(fold_name, NAMES) if server.fellowship.has(name)}, others)
            self.assertEqual(len(server.fellowship.fellows), len(servers) - 1)
            for name in map(fold_name, NAMES):
                self.assertEqual(server.book.find(name), servers[0].book.find(name))
            for other in servers:
                self.assertLessEqual(other.shown, set(server.people.reserved))
            for watcher in server.followers:
                if isinstance(watcher, Watcher):
                    self.assertTrue(watcher.is_right, (watcher.told, watcher.there))

    @settings(reproducible, max_examples=200)
    @given(STEPS)
    def test_full_books(self, steps: list[Step]) -> None:
        """
        Where more is decided on bans than is kept, servers do not tell one another for ever what some of them forget.
        """
        self.patch(ban_book, "MOST_RECORDS", 2)
        for server in play(steps).servers:
            self.assertLessEqual(len([*server.book.records]), 2)


def play(steps: list[Step]) -> Cluster:
    """
    What becomes of a cluster: fails if it does not come to rest.
    """
    cluster = Cluster()
    for step in steps:
        server = cluster.servers[step[1] % len(cluster.servers)]
        if step[0] in ACTIONS:
            act(server, step)
        else:
            befall(cluster, server, step)
    cluster.settle()
    cluster.pass_time(2 * LEASE)
    return cluster


def on(cursor: Cursor, topic: str) -> bool:
    """
    Tell whether a cursor is one of this topic.
    """
    return cursor.log.name == topic
