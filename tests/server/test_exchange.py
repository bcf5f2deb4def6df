"""
Tests for :mod:`echochat.server.exchange`.
"""

from collections.abc import Mapping, Sequence

from twisted.internet.defer import CancelledError, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.effects import Publish
from echochat.chat.replies import Slot
from echochat.history.errors import HistoryBusy, HistoryRefused, HistoryUnavailable
from echochat.history.memory import MemoryHistory
from echochat.history.records import Deduplication, Draft, Stored
from echochat.net.lean import Interlude
from echochat.net.lean.interlude import PIECE, REST
from echochat.server.exchange import Exchange
from tests.server.room import Room
from tests.server.scripted import ScriptedHistory

Answer = tuple[list[int], dict[int, str]]


def publishes(*texts: str) -> Publish:
    """
    A run of publishes.
    """
    return Publish(Slot(), [Draft("lobby", "alice", text, None, 0) for text in texts], ["/ok pub lobby"] * len(texts))


class Answers:
    """
    What became of each run, in the order in which it was told.
    """

    def __init__(self) -> None:
        self.all: list[Answer] = []

    def __call__(self, positions: Sequence[int], refused: Mapping[int, HistoryUnavailable]) -> None:
        self.all.append(([*positions], {index: str(why) for index, why in refused.items()}))


class ExchangeTests(SynchronousTestCase):
    """
    What is published goes to the history once a turn, and everybody is told what became of it.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.history = ScriptedHistory()
        self.exchange = Exchange(self.clock, self.history)
        self.successResultOf(self.exchange.open())
        self.answers = Answers()

    def test_one_append_a_turn(self) -> None:
        """
        However many publish in a turn, in whatever runs: the history is asked once, with all of it in order, and each
        run is told its own positions.
        """
        for texts in (["a", "b"], ["c"], ["d", "e", "f"]):
            self.exchange.publish(publishes(*texts), self.answers)
        self.assertEqual(self.history.appends, [])
        self.clock.advance(0)
        ((drafts, _),) = self.history.appends
        self.assertEqual([draft.text for draft in drafts], list("abcdef"))
        self.exchange.publish(publishes("g"), self.answers)
        self.clock.advance(0)
        self.assertEqual([len(drafts) for drafts, _ in self.history.appends], [6, 1])
        self.history.store()
        self.history.tell()
        positions = [event.position for event in self.history.log]
        self.assertEqual(
            [each for each, _ in self.answers.all], [positions[:2], positions[2:3], positions[3:6], positions[6:]]
        )
        self.assertEqual(self.exchange.counters.publishes, 7)
        self.assertEqual(self.exchange.counters.refused, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_acknowledged_only_when_stored(self) -> None:
        """
        Nobody is told that something is stored before it is, nor before subscribers can be told of it.
        """
        self.exchange.publish(publishes("a"), self.answers)
        self.clock.advance(0)
        self.history.store()
        self.assertEqual((self.answers.all, self.exchange.hub.head), ([], 0))
        self.exchange.publish(publishes("b"), lambda *_: self.fail("too early"))
        self.history.tell()
        self.assertEqual(self.answers.all, [([1], {})])
        self.assertEqual(self.exchange.hub.head, 1)

    def test_rest(self) -> None:
        """
        Where a delivery kept others waiting, what is published gathers for a while, and is stored together.
        """
        self.exchange.interlude = Interlude(lambda left_out: 1, self.clock.seconds)
        self.exchange.interlude.begin()
        self.clock.advance(PIECE)
        self.exchange.interlude.look()
        self.exchange.interlude.end()
        for text in "abc":
            self.exchange.publish(publishes(text), self.answers)
            self.clock.advance(REST * PIECE / 4)
            self.assertEqual(self.history.appends, [])
        self.clock.advance(REST * PIECE / 2)
        self.assertEqual([len(drafts) for drafts, _ in self.history.appends], [3])
        self.exchange.publish(publishes("d"), self.answers)
        self.clock.advance(0)
        self.assertEqual(len(self.history.appends), 2)

    def test_one_rest(self) -> None:
        """
        ... once: what others publish all the time, on other servers, may rest again and again, and must not keep what
        is published here for ever.
        """
        self.exchange.interlude = Interlude(lambda left_out: 1, self.clock.seconds)
        for _ in range(4):
            self.exchange.interlude.begin()
            self.clock.advance(PIECE)
            self.exchange.interlude.look()
            self.exchange.interlude.end()
            if not self.exchange.counters.publishes:
                self.exchange.publish(publishes("a"), self.answers)
            self.clock.advance(REST * PIECE / 2)
        self.assertEqual(len(self.history.appends), 1)

    def test_a_rest_ends_with_the_server(self) -> None:
        """
        What gathers when the server ends is stored before the history is closed.
        """
        self.exchange.interlude = Interlude(lambda left_out: 1, self.clock.seconds)
        self.exchange.interlude.begin()
        self.clock.advance(PIECE)
        self.exchange.interlude.look()
        self.exchange.interlude.end()
        self.exchange.publish(publishes("a"), self.answers)
        self.clock.advance(0)
        self.assertEqual(self.answers.all, [])
        self.exchange.close()
        self.assertEqual(self.answers.all, [([1], {})])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_unavailable(self) -> None:
        """
        When the history takes nothing, every publish is told why, with position 0, which is none.
        """
        for error in (HistoryUnavailable("the disk is full"), HistoryBusy("too much")):
            self.answers.all.clear()
            self.patch(self.history, "append", lambda drafts, error=error: fail(error))
            self.exchange.publish(publishes("a", "b"), self.answers)
            self.exchange.publish(publishes("c"), self.answers)
            self.clock.advance(0)
            why = str(error)
            self.assertEqual(self.answers.all, [([0, 0], {0: why, 1: why}), ([0], {0: why})])
        self.assertEqual(self.exchange.counters.refused, 6)

    def test_unexpected_failure(self) -> None:
        """
        A failure that is the history's own fault is logged, and nobody waits for ever or is told of it more than that.
        """
        self.patch(self.history, "append", lambda drafts: fail(ZeroDivisionError("secret")))
        self.exchange.publish(publishes("a"), self.answers)
        self.clock.advance(0)
        self.assertEqual(self.answers.all, [([0], {0: "the history failed: the server's log says why"})])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_some_are_refused(self) -> None:
        """
        What is refused by itself is told to whom it belongs, and the others have their positions.
        """
        why = HistoryBusy("too many labels")
        stored = Stored([4, 0, 5, 0], (), {1: why, 3: why})
        self.patch(self.history, "append", lambda drafts: succeed(stored))
        for texts in (["a"], ["b", "c"], ["d"]):
            self.exchange.publish(publishes(*texts), self.answers)
        self.clock.advance(0)
        self.assertEqual(self.answers.all, [([4], {}), ([0, 5], {0: "too many labels"}), ([0], {0: "too many labels"})])
        self.assertEqual(self.exchange.counters.refused, 2)

    def test_one_that_fails(self) -> None:
        """
        A connection that fails over its answer keeps no other from theirs, and its failure is logged.
        """

        def broken(positions: Sequence[int], refused: Mapping[int, HistoryUnavailable]) -> None:
            raise ZeroDivisionError

        self.exchange.publish(publishes("a"), broken)
        self.exchange.publish(publishes("b"), self.answers)
        self.clock.advance(0)
        self.history.store()
        self.history.tell()
        self.assertEqual([positions for positions, _ in self.answers.all], [[self.history.log[1].position]])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_unreadable_answer(self) -> None:
        """
        An answer of the history that makes no sense is logged.
        """
        self.patch(self.history, "append", lambda drafts: succeed(None))
        self.exchange.publish(publishes("a"), self.answers)
        self.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    def test_close_flushes(self) -> None:
        """
        What was published in the last turn is stored and acknowledged before the history is closed.
        """
        self.exchange.publish(publishes("a"), self.answers)
        self.successResultOf(self.exchange.close())
        self.assertEqual(self.answers.all, [([1], {})])
        self.assertEqual([event.text for event in self.history.log], ["a"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.exchange.publish(publishes("b"), self.answers)
        self.clock.advance(0)
        self.assertEqual(self.answers.all[1:], [([0], {0: "the history is closed"})])

    def test_close_with_nothing_to_store(self) -> None:
        """
        A server that was never published to closes as well.
        """
        self.successResultOf(self.exchange.close())
        self.assertIsNotNone(self.history.status.unavailable)

    def test_open(self) -> None:
        """
        The hub begins with the log's head; a history that cannot be had says so.
        """
        history = ScriptedHistory()
        history.head = 17
        exchange = Exchange(self.clock, history)
        self.successResultOf(exchange.open())
        self.assertEqual(exchange.hub.head, 17)
        self.patch(history, "open", lambda receiver: fail(HistoryRefused("locked")))
        self.failureResultOf(Exchange(self.clock, history).open(), HistoryRefused)

    def test_told_of_availability(self) -> None:
        """
        The operator finds in the log when the history fails, and when it works again; delivery goes on.
        """
        self.exchange.became_unavailable("the disk is full")
        self.exchange.became_available()

    def test_topics_for_many(self) -> None:
        """
        However many ask for all topics at once, the history is asked twice at most: those who asked while it was being
        asked are told together what there was then, and who has gone in between is not missed.
        """
        publish = Draft("lobby", "alice", "hi", None, 0)
        first = self.exchange.topics()
        self.history.look()
        self.history.publish(publish)
        others = [self.exchange.topics() for _ in range(3)]
        self.assertEqual(len(self.history.questions), 1)
        others[0].cancel()
        self.failureResultOf(others[0], CancelledError)
        self.history.answer()
        self.assertEqual(self.successResultOf(first), [])
        self.assertEqual(len(self.history.questions), 1)
        self.history.answer()
        for each in others[1:]:
            self.assertEqual([state.topic for state in self.successResultOf(each)], ["lobby"])
        self.assertEqual(self.history.questions, [])

    def test_topics_fail(self) -> None:
        """
        Who asks for all topics when the history cannot tell them is told so, and who asks later is not.
        """
        waiting = [self.exchange.topics() for _ in range(2)]
        self.history.refuse(HistoryUnavailable("no"))
        self.failureResultOf(waiting[0], HistoryUnavailable)
        self.history.answer()
        self.assertEqual(self.successResultOf(waiting[1]), [])

    def test_follows_while_anybody_does(self) -> None:
        """
        The history is told that nobody follows a topic when the last one has gone, and not before: one who is about to
        begin counts.
        """
        self.history.prompt = True
        for _ in range(2):
            self.successResultOf(self.exchange.follow("lobby"))
        self.exchange.unfollow("lobby")
        self.assertEqual(self.history.followed, ["lobby", "lobby"])
        self.exchange.unfollow("lobby")
        self.assertEqual(self.history.followed, [])

    def test_follow_that_fails(self) -> None:
        """
        Who could not follow gives back what they asked for, as anybody else.
        """
        unfollowed: list[str] = []
        self.patch(self.history, "follow", lambda topic: fail(HistoryUnavailable("no")))
        self.patch(self.history, "unfollow", unfollowed.append)
        self.failureResultOf(self.exchange.follow("lobby"), HistoryUnavailable)
        self.exchange.unfollow("lobby")
        self.assertEqual(unfollowed, ["lobby"])


class PublishingTests(SynchronousTestCase):
    """
    What a publisher is told over a connection.
    """

    def test_every_connection_in_one_append(self) -> None:
        """
        A turn costs the history one append, however many connections publish in it.
        """
        history = ScriptedHistory()
        room = Room(history)
        clients = [room.connect() for _ in range(5)]
        for number, client in enumerate(clients):
            client.say(f"/pub#{number} lobby hi\n".encode() * 3)
        room.turns()
        self.assertEqual([len(drafts) for drafts, _ in history.appends], [15])
        history.store()
        history.tell()
        positions = [event.position for event in history.log]
        for number, client in enumerate(clients):
            its = positions[3 * number : 3 * number + 3]
            self.assertEqual(client.news(), [f"/ok#{number} pub lobby {position}" for position in its])
        room.empty()

    def test_failures(self) -> None:
        """
        Every publish that was not stored is answered by itself, with its label and why, in the order of the lines; what
        came before and after is answered as ever.
        """
        history = ScriptedHistory()
        room = Room(history)
        client = room.connect()
        history.status.unavailable = "the disk is full"
        self.assertEqual(
            room.ask(client, "hello\n/pub#a lobby 1\n/msg#b bob 2\n/say lobby 3\n/ping"),
            [
                "HELLO\n/err#a unavailable the disk is full",
                "/err#b unavailable the disk is full",
                "/err unavailable the disk is full",
                "/ok ping",
            ],
        )
        history.status.unavailable = None
        client.say(b"/pub#c lobby 4\n")
        room.turns()
        history.store()
        history.tell()
        self.assertEqual(client.news(), ["/ok#c pub lobby 1"])
        room.empty()

    def test_labels_refused(self) -> None:
        """
        Where no more labels can be remembered, labelled publishes are refused and others of the same segment stored.
        """
        clock = Clock()
        bounds = Deduplication(labels=1)
        room = Room(MemoryHistory(clock, deduplication=bounds, monotonic=clock.seconds), clock=clock)
        client = room.connect()
        client.say(b"/pub#a lobby 1\n/pub#b lobby 2\n/pub lobby 3\n/pub#a lobby 1\n")
        room.turns()
        first, second, third, fourth = client.news()
        self.assertEqual((first, third, fourth), ("/ok#a pub lobby 1", "/ok pub lobby 2", "/ok#a pub lobby 1"))
        self.assertTrue(second.startswith("/err#b slow-down "))
        room.empty()

    def test_publisher_goes(self) -> None:
        """
        What was published is stored though its publisher has gone, and the others are told.
        """
        history = ScriptedHistory()
        history.prompt = True
        room = Room(history)
        publisher, reader = room.connect(), room.connect()
        room.ask(reader, "/sub lobby")
        publisher.say(b"/pub lobby last words\n")
        publisher.vanish()
        room.turns()
        history.store()
        history.tell()
        self.assertEqual(len(reader.news()), 1)
        room.empty()


class CrowdedTests(SynchronousTestCase):
    """
    Publishers are held back long before the history would have to refuse what they send.
    """

    def test_flood(self) -> None:
        """
        However much is published without waiting, all of it is stored, and nobody is refused.
        """
        room = Room()
        clients = [room.connect() for _ in range(30)]
        chunk = b"/pub t x\n" * 7_000
        for _ in range(4):
            # What a connection is not read from waits in the client's kernel, as on a real one.
            for client in clients:
                client.say(chunk)
        room.turns(200)
        answers = [line for client in clients for line in client.news()]
        self.assertEqual(len(answers), 30 * 4 * 7_000)
        self.assertEqual({line[:9] for line in answers}, {"/ok pub t"})

    def test_many_topics(self) -> None:
        """
        More topics than can be listed are not: it is said how many there are.
        """
        room = Room()
        client = room.connect()
        with_names = b"".join(b"/pub t%d x\n" % number for number in range(10_001))
        for start in range(0, len(with_names), 60_000):
            client.say(with_names[start : start + 60_000])
            room.turns()
        client.news()
        client.say(b"/topics\n")
        room.turns()
        self.assertEqual(client.news(), ["/err too-many there are 10001 topics: 10000 can be listed"])
