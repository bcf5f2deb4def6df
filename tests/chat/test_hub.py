"""
Tests for :mod:`echochat.chat.hub`.
"""

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from echochat.chat import topics
from echochat.chat.events import Draft, encode_drafts
from echochat.chat.hub import Hub
from echochat.chat.topics import Cursor, Member, Send


class Reader:
    """
    A subscriber that takes what there is as soon as it is woken.
    """

    def __init__(self) -> None:
        self.cursor: Cursor
        self.taken = b""
        self.woken = 0
        self.on_wake: Callable[[], object] = lambda: None

    def wake(self) -> None:
        self.woken += 1
        self.on_wake()
        while (taken := self.cursor.take())[1]:
            self.taken += taken[0]

    def follow(
        self, hub: Hub, topic: str = "lobby", name: str = "alice", at: int = 0, watches: bool = False
    ) -> "Reader":
        self.cursor = hub.follow(topic, 0, at, self, name, watches)
        return self


class Row:
    """
    A rank that takes what there is as soon as it is woken, for readers that stand in it until it has something for
    them.
    """

    def __init__(self, *readers: Reader) -> None:
        log = readers[0].cursor.log
        self._cursor = Cursor(log, log.head, self, None)
        self._readers = readers
        self.behind = 0
        self.taken = b""
        log.rank = self
        for reader in readers:
            del log.cursors[reader.cursor]

    def wake(self) -> None:
        self.disband()
        self.taken += self._cursor.take()[0]

    def disband(self) -> None:
        readers, self._readers = self._readers, ()
        for reader in readers:
            self._cursor.log.cursors[reader.cursor] = None

    def enter(self, member: Member, send: Send) -> bool:
        raise AssertionError("the hub has nobody enter")

    def leave(self, member: Member, send: Send) -> None:
        raise AssertionError("the hub has nobody leave")


def line(position: int, topic: str = "lobby", text: str = "hi") -> bytes:
    """
    What a subscriber is told of an event.
    """
    return encode_drafts([Draft(topic, "bob", text, None, 0)], [position])


def arrive(hub: Hub, *events: tuple[int, str], text: str = "hi") -> None:
    """
    These have become durable.
    """
    hub.arrived([Draft(topic, "bob", text, None, 0) for _, topic in events], [position for position, _ in events])


class DeliveryTests(SynchronousTestCase):
    """
    Whoever follows a topic is woken for what is published there, and finds it.
    """

    def test_topics_apart(self) -> None:
        """
        Everybody is told of their topic's events in their order, and of no others.
        """
        hub = Hub()
        lobby, other, both = Reader().follow(hub), Reader().follow(hub, "other"), Reader().follow(hub)
        arrive(hub, (1, "lobby"), (2, "other"), (3, "nobody"), (4, "lobby"))
        self.assertEqual(lobby.taken, line(1) + line(4))
        self.assertEqual(both.taken, lobby.taken)
        self.assertEqual(other.taken, line(2, "other"))
        self.assertEqual((lobby.woken, other.woken), (1, 1))
        self.assertEqual((hub.head, hub.published), (4, 4))

    def test_nobody(self) -> None:
        """
        What nobody follows is counted, and not kept.
        """
        hub = Hub()
        arrive(hub, (1, "lobby"), (2, "other"))
        self.assertEqual((hub.head, hub.published, hub.memory_used, hub.followed), (2, 2, 0, []))

    def test_begins_with_the_log(self) -> None:
        """
        A topic that is followed for the first time needs no reading where everything was told already; where the
        history is ahead of what was told, what is told again is left to it.
        """
        hub = Hub(head=10)
        self.assertFalse(Reader().follow(hub, at=10).cursor.needs_history)
        self.assertTrue(Reader().follow(hub, at=9).cursor.needs_history)
        ahead = Reader()
        ahead.cursor = hub.follow("ahead", 12, 12, ahead, "alice", False)
        self.assertFalse(ahead.cursor.needs_history)
        behind = Reader()
        behind.cursor = hub.follow("ahead", 12, 11, behind, "bob", False)
        arrive(hub, (11, "ahead"), (12, "ahead"))
        self.assertEqual((ahead.taken, behind.taken, hub.memory_used), (b"", b"", 0))
        arrive(hub, (13, "ahead"))
        self.assertEqual((ahead.taken, behind.taken), (line(13, "ahead"), b""))
        self.assertTrue(behind.cursor.needs_history)

    def test_behind(self) -> None:
        """
        It can be told how many have something to take.
        """
        hub = Hub()
        Reader().follow(hub)
        slow = Reader().follow(hub, at=-1)
        arrive(hub, (1, "lobby"))
        self.assertEqual(hub.behind, 1)
        slow.cursor.at = 1
        self.assertEqual(hub.behind, 0)

    def test_unfollow(self) -> None:
        """
        Whoever follows a topic no more is not woken, nor counted, and twice is once; a topic without followers is
        forgotten with all that was kept of it.
        """
        hub = Hub()
        one, two = Reader().follow(hub), Reader().follow(hub, name="carol")
        arrive(hub, (1, "lobby"))
        self.assertEqual(hub.followers("lobby"), 2)
        hub.unfollow(one.cursor, "alice")
        hub.unfollow(one.cursor, "alice")
        arrive(hub, (2, "lobby"))
        self.assertEqual((one.woken, two.woken, hub.followers("lobby")), (1, 2, 1))
        self.assertEqual(hub.followed, ["lobby"])
        hub.unfollow(two.cursor, "carol")
        self.assertEqual((hub.followed, hub.followers("lobby"), hub.memory_used), ([], 0, 0))

    def test_rank(self) -> None:
        """
        A rank is woken once for all who stand in it, and before all others: whoever cannot keep up with it is given
        the same event alone, at once.
        """
        hub = Hub()
        alone, fallen = Reader().follow(hub), Reader().follow(hub, name="carol")
        row = Row(fallen)
        woken: list[bytes] = []
        alone.on_wake = lambda: woken.append(row.taken)
        arrive(hub, (1, "lobby"))
        self.assertEqual((woken, row.taken, alone.taken, fallen.taken), ([line(1)], line(1), line(1), line(1)))
        self.assertEqual((alone.woken, fallen.woken, hub.behind), (1, 1, 0))
        row.behind = 7
        self.assertEqual(hub.behind, 7)

    def test_level(self) -> None:
        """
        Whoever has been given all of a topic can stand in its rank, also beyond the topic's last event, since others
        were published to or the history was ahead; but not beyond what the hub was told of, which comes once more.
        """
        hub = Hub()
        cursor = Reader().follow(hub).cursor
        arrive(hub, (3, "lobby"), (5, "other"))
        for at, is_level in ((0, False), (2, False), (3, True), (4, True), (5, True), (6, False)):
            cursor.at = at
            self.assertEqual(hub.is_level(cursor), is_level, at)

    def test_ends_when_woken(self) -> None:
        """
        A subscriber that gives up when it is woken, and takes others with it, leaves everything in order.
        """
        hub = Hub()
        one, two, other = Reader().follow(hub), Reader().follow(hub, name="carol"), Reader().follow(hub, "other")

        def leave() -> None:
            hub.unfollow(one.cursor, "alice")
            hub.unfollow(other.cursor, "alice")

        one.on_wake = leave
        arrive(hub, (1, "lobby"), (2, "other"))
        self.assertEqual(two.taken, line(1))
        self.assertEqual(hub.followed, ["lobby"])
        hub.unfollow(two.cursor, "carol")
        self.assertEqual(hub.memory_used, 0)
        arrive(hub, (3, "lobby"), (4, "other"))
        self.assertEqual(hub.memory_used, 0)


class MemoryTests(SynchronousTestCase):
    """
    What is kept in memory is bounded, however much is published.
    """

    def test_of_a_topic(self) -> None:
        """
        A topic keeps its newest events, and no more than a chunk over its share.
        """
        self.patch(topics, "KEPT", 3)
        hub = Hub()
        reader = Reader().follow(hub)
        for position in range(1, 10):
            arrive(hub, (position, "lobby"))
        self.assertEqual(hub.memory_used, 3 * len(line(1)))
        self.assertEqual(reader.cursor.log.floor, 6)
        late = Reader().follow(hub, at=6)
        late.wake()
        self.assertEqual(late.taken, line(7) + line(8) + line(9))
        self.assertTrue(Reader().follow(hub, at=5).cursor.needs_history)

    def test_of_all_topics(self) -> None:
        """
        When all topics together keep too much, the one that was silent for longest loses first.
        """
        hub = Hub(memory=4 * len(line(1)))
        readers = {topic: Reader().follow(hub, topic) for topic in ("lobby", "other", "third")}
        for position, topic in enumerate(["lobby", "other", "lobby", "third", "third"], start=1):
            arrive(hub, (position, topic))
        self.assertEqual(readers["other"].cursor.log.floor, 2)
        self.assertEqual(readers["lobby"].cursor.log.floor, 0)
        self.assertEqual(hub.memory_used, 4 * len(line(1)))
        arrive(hub, (6, "other"))
        self.assertEqual(readers["lobby"].cursor.log.floor, 1)
        hub.unfollow(readers["lobby"].cursor, "alice")
        self.assertEqual(hub.memory_used, 3 * len(line(1)))
        arrive(hub, (7, "other"), (8, "other"))
        self.assertEqual(readers["third"].cursor.log.floor, 4)

    def test_larger_than_all(self) -> None:
        """
        An event that is larger than the memory is not kept, and who is up to date is sent to the history for it.
        """
        hub = Hub(memory=100)
        reader = Reader().follow(hub)
        arrive(hub, (1, "lobby"), text="x" * 200)
        self.assertEqual((reader.woken, reader.taken, hub.memory_used), (1, b"", 0))
        self.assertTrue(reader.cursor.needs_history)
        reader.cursor.at = 1
        arrive(hub, (2, "lobby"))
        self.assertEqual(reader.taken, line(2))


class PresenceTests(SynchronousTestCase):
    """
    Who asks for it is told who comes and goes.
    """

    def test_first_and_last(self) -> None:
        """
        A name's first subscription and the end of its last are told, once, to those who watch; not to the one itself.
        """
        hub = Hub()
        watcher, other = Reader().follow(hub, name="watcher", watches=True), Reader().follow(hub, name="other")
        alice = [Reader().follow(hub, name=name) for name in ("alice", "Alice")]
        self.assertEqual(watcher.cursor.changes, {"other": True, "alice": True})
        self.assertEqual(watcher.woken, 2)
        self.assertIsNone(other.cursor.changes)
        self.assertEqual(hub.who("lobby"), ["watcher", "other", "alice"])
        watcher.cursor.changes = {}
        hub.unfollow(alice[0].cursor, "alice")
        self.assertEqual(watcher.cursor.changes, {})
        hub.unfollow(alice[1].cursor, "Alice")
        self.assertEqual(watcher.cursor.changes, {"alice": False})
        self.assertEqual(hub.who("lobby"), ["watcher", "other"])
        self.assertEqual(hub.who("nowhere"), [])

    def test_slow_watcher(self) -> None:
        """
        What a watcher has yet to be told stays bounded by who there is, however often they come and go, and under
        whatever spelling of their names.
        """
        hub = Hub()
        watcher = Reader().follow(hub, name="watcher", watches=True)
        for name in ("bob", "bOB", "Bob") * 3:
            reader = Reader().follow(hub, name=name)
            hub.unfollow(reader.cursor, name.upper())
        self.assertEqual(watcher.cursor.changes, {})

    def test_rename(self) -> None:
        """
        A new name is told as a going and a coming, another spelling too, and the same name not at all.
        """
        hub = Hub()
        watcher, bob = Reader().follow(hub, name="watcher", watches=True), Reader().follow(hub, name="bob")
        watcher.cursor.changes = {}
        hub.rename(bob.cursor, "bob", "bob")
        self.assertEqual(watcher.cursor.changes, {})
        hub.rename(bob.cursor, "bob", "Bob")
        self.assertEqual(list(watcher.cursor.changes.items()), [("bob", False), ("Bob", True)])
        self.assertEqual(hub.who("lobby"), ["watcher", "Bob"])
        watcher.cursor.changes = {}
        hub.rename(bob.cursor, "Bob", "carol")
        self.assertEqual(watcher.cursor.changes, {"Bob": False, "carol": True})
        hub.unfollow(bob.cursor, "carol")
        self.assertEqual(watcher.cursor.changes, {"Bob": False})

    def test_rename_of_one_of_several(self) -> None:
        """
        A name that is still there under another subscription has not gone, and one that was there has not come.
        """
        hub = Hub()
        watcher = Reader().follow(hub, name="watcher", watches=True)
        one = Reader().follow(hub, name="bob")
        Reader().follow(hub, name="bob")
        Reader().follow(hub, name="carol")
        watcher.cursor.changes = {}
        hub.rename(one.cursor, "bob", "carol")
        self.assertEqual(watcher.cursor.changes, {})
        self.assertEqual(hub.who("lobby"), ["watcher", "bob", "carol"])

    def test_watcher_leaves(self) -> None:
        """
        Who watches no more is not told.
        """
        hub = Hub()
        watcher, _ = Reader().follow(hub, name="watcher", watches=True), Reader().follow(hub, name="bob")
        hub.unfollow(watcher.cursor, "watcher")
        woken = watcher.woken
        Reader().follow(hub, name="carol")
        self.assertEqual(watcher.woken, woken)


class StartingOverTests(SynchronousTestCase):
    """
    The log does not go on where it has ended.
    """

    def test_nothing_is_left(self) -> None:
        """
        Who followed is told of nothing any more, and may unfollow all the same; who follows anew gets lower positions.
        """
        hub = Hub(100)
        old = Reader().follow(hub, at=100, watches=True)
        arrive(hub, (101, "lobby"))
        hub.start_over(3)
        self.assertEqual((hub.followed, hub.memory_used, hub.head), ([], 0, 3))
        new = Reader().follow(hub, name="bob", at=3)
        hub.unfollow(old.cursor, "alice")
        arrive(hub, (4, "lobby"))
        self.assertEqual((old.taken, new.taken), (line(101), line(4)))
        self.assertEqual(hub.who("lobby"), ["bob"])

    def test_a_rank(self) -> None:
        """
        Those who stood in a rank follow nothing any more, either: when they unfollow, who follows anew stays.
        """
        hub = Hub(100)
        old = Reader().follow(hub, at=100)
        row = Row(old)
        hub.start_over(3)
        new = Reader().follow(hub, name="bob", at=3)
        # Who ends leaves the rank first, if it still stands there.
        row.disband()
        hub.unfollow(old.cursor, "alice")
        arrive(hub, (4, "lobby"))
        self.assertEqual((old.woken, new.taken), (0, line(4)))
        self.assertEqual((hub.who("lobby"), hub.followers("lobby")), (["bob"], 1))
