"""
Tests for :mod:`echochat.server.subscription`, and for the hub and the participant beneath and above it: the promise.
"""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echochat.chat import topics
from echochat.chat.hub import Hub
from echochat.history.errors import HistoryBusy, HistoryCorrupt, HistoryUnavailable
from echochat.history.records import Draft
from echochat.server import looking_back, subscription
from echochat.server.exchange import Exchange
from echochat.server.subscription import AGAIN, PRESENCE_LINES, ReadingTurns, Subscription
from tests.server.room import Room
from tests.server.scripted import ScriptedHistory
from tests.server.witness import Wish, Witness

TOPICS = ("a", "b", "lobby")


def draft(text: str, topic: str = "lobby") -> Draft:
    """
    Something that somebody else publishes.
    """
    return Draft(topic, "somebody", text, None, 0)


def patch_sizes(test: SynchronousTestCase) -> None:
    """
    Make everything that is bounded so small that a few events go beyond it.
    """
    test.patch(topics, "CHUNK", 200)
    test.patch(topics, "KEPT", 4)
    for module in (subscription, looking_back):
        test.patch(module, "PAGE_EVENTS", 3)
        test.patch(module, "PAGE_BYTES", 100)


class Outlet:
    """
    A connection that takes what it is told to take.
    """

    def __init__(self) -> None:
        self.full = False
        self.received = b""
        self.on_deliver: Callable[[], object] = lambda: None

    def deliver(self, data: bytes, lines: int) -> None:
        assert lines == data.count(b"\n")
        self.received += data
        self.on_deliver()

    def lend(self) -> None:
        """
        Everything goes through deliver().
        """

    def count(self, size: int, lines: int) -> None:
        raise AssertionError("nothing was lent")

    def resend(self, rest: bytes) -> None:
        raise AssertionError("nothing was lent")

    def news(self) -> list[str]:
        received, self.received = self.received, b""
        return received.decode().split("\r\n")[:-1]


class SubscriptionTests(SynchronousTestCase):
    """
    A subscription gives its connection what comes next, as fast as the connection takes it.
    """

    def setUp(self) -> None:
        patch_sizes(self)
        self.clock = Clock()
        self.history = ScriptedHistory()
        self.exchange = Exchange(self.clock, self.history)
        self.exchange.open()
        self.outlet = Outlet()
        self.turns = ReadingTurns(self.outlet)

    def publish(self, *texts: str, topic: str = "lobby") -> None:
        self.history.publish(*[draft(text, topic) for text in texts])
        self.history.tell()

    def follow(self, at: int = 0, topic: str = "lobby", watches: bool = False) -> Subscription:
        subscription = Subscription(self.exchange, self.outlet, self.turns, topic)
        head = self.history.log[-1].position if self.history.log else 0
        subscription.cursor = self.exchange.hub.follow(topic, head, at, subscription, "alice", watches)
        subscription.wake()
        return subscription

    def texts(self) -> list[str]:
        """
        What came: of events the text.
        """
        return [line.split(" ", 5)[-1] if line.startswith("/event") else line for line in self.outlet.news()]

    def test_full(self) -> None:
        """
        Nothing is given to a connection that takes nothing, and all of it when it does.
        """
        self.follow()
        self.outlet.full = True
        self.publish("a")
        self.publish("b")
        self.assertEqual(self.texts(), [])
        self.outlet.full = False
        self.publish("c")
        self.assertEqual(self.texts(), ["a", "b", "c"])

    def test_becomes_full(self) -> None:
        """
        A connection that is full after a piece is given no other.
        """
        self.outlet.full = True
        subscription = self.follow()
        for _ in range(4):
            self.publish("x" * 150)
        self.outlet.full = False
        self.outlet.on_deliver = lambda: setattr(self.outlet, "full", True)
        for left in (3, 2, 1, 0):
            subscription.wake()
            self.assertEqual(len(self.texts()), 1)
            self.assertEqual(self.exchange.hub.behind, 1 if left else 0)
            self.outlet.full = False

    def test_one_page_at_a_time(self) -> None:
        """
        The subscriptions of a connection read in turns, one page each, and none while the connection is full.
        """
        for topic in ("a", "b"):
            self.publish(*[f"{topic}{n}" for n in range(5)], topic=topic)
        subscriptions = [self.follow(topic=topic) for topic in ("a", "b")]
        asked = []
        while self.history.questions:
            (question,) = self.history.questions
            asked.append(question.topic)
            self.history.answer()
        self.assertEqual(asked, ["a", "b", "a", "b"])
        self.assertEqual(self.texts(), ["a0", "a1", "a2", "b0", "b1", "b2", "a3", "a4", "b3", "b4"])
        self.outlet.full = True
        self.exchange.hub.unfollow(subscriptions[0].cursor, "alice")
        late = self.follow(topic="a")
        self.assertEqual(self.history.questions, [])
        self.outlet.full = False
        late.wake()
        self.assertEqual(len(self.history.questions), 1)

    def test_woken_while_reading(self) -> None:
        """
        One that is reading is left alone: it reads no page twice.
        """
        self.publish(*"ab")
        subscription = self.follow(watches=True)
        subscription.wake()
        self.publish("c")
        self.history.answer()
        self.assertEqual(self.texts(), [*"abc"])
        self.assertEqual(self.history.questions, [])

    def test_full_while_reading(self) -> None:
        """
        A page that comes to a connection that has become full is not lost, and no other is asked for.
        """
        self.publish(*"abcde")
        subscription = self.follow()
        self.outlet.full = True
        self.history.answer()
        self.assertEqual(self.texts(), ["a", "b", "c"])
        self.assertEqual(self.history.questions, [])
        self.outlet.full = False
        subscription.wake()
        self.history.answer()
        self.assertEqual(self.texts(), ["d", "e"])

    def test_long_history_at_once(self) -> None:
        """
        A history that answers at once, page after page, is read to its end however long it is.
        """
        self.history.prompt = True
        self.publish(*map(str, range(3_000)))
        self.follow()
        self.assertEqual(self.texts(), [str(n) for n in range(3_000)])

    def test_woken_by_what_it_sends(self) -> None:
        """
        A connection that takes more while it is given something is given the next behind it, and nothing twice.
        """
        self.publish(*map(str, range(10)))
        subscription = self.follow()
        self.outlet.on_deliver = subscription.wake
        while self.history.questions:
            self.publish("more")
            self.history.answer()
        self.assertEqual(self.texts()[:10], [str(n) for n in range(10)])
        self.publish("x" * 300, "y" * 300, "z")
        self.assertEqual(self.texts()[-1], "z")
        self.assertEqual(self.exchange.hub.behind, 0)

    def test_page_with_more_than_was_told(self) -> None:
        """
        What a page had already of a commit is not given again when the commit is told.
        """
        self.publish("a")
        self.follow()
        self.history.publish(draft("b"), draft("c"))
        self.history.answer()
        self.assertEqual(self.texts(), ["a", "b", "c"])
        self.publish("d")
        self.assertEqual(self.texts(), ["d"])

    def test_memory_forgets_while_reading(self) -> None:
        """
        What memory lost while a page was on its way is read after it.
        """
        self.publish("a")
        self.follow()
        self.history.look()
        for n in range(8):
            self.publish(str(n))
        self.history.answer()
        self.history.answer_all()
        self.assertEqual(self.texts(), ["a", *map(str, range(8))])

    def test_gap(self) -> None:
        """
        What retention took is told in one gap, from where the subscriber was to the last that was taken.
        """
        self.publish(*"abcde")
        positions = [event.position for event in self.history.log]
        self.history.remove("lobby", positions[1])
        self.follow(at=1)
        self.history.answer_all()
        self.assertEqual(self.texts(), [f"/gap lobby 1 {positions[1]}", "c", "d", "e"])
        self.assertEqual(self.exchange.counters.gaps, 1)

    def test_all_gone(self) -> None:
        """
        Where retention took everything, that is told, and what is published then is given.
        """
        self.publish(*"abc")
        head = self.history.log[-1].position
        self.history.remove("lobby", head)
        self.follow()
        self.history.answer_all()
        self.publish("d")
        self.assertEqual(self.texts(), [f"/gap lobby 0 {head}", "d"])

    def test_failed_read(self) -> None:
        """
        A read that failed is tried again after a while, not before, and until it succeeds; what is in memory waits
        for it.
        """
        self.publish(*"abc")
        subscription = self.follow()
        for error in (HistoryBusy("busy"), HistoryUnavailable("away")):
            self.history.refuse(error)
            self.publish("x")
            subscription.wake()
            self.assertEqual((self.texts(), self.history.questions), ([], []))
            self.clock.advance(AGAIN)
        self.history.answer_all()
        self.assertEqual(self.texts(), [*"abcxx"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failed_read_lets_others_read(self) -> None:
        """
        The turn of a read that failed is over: the connection's other subscriptions go on.
        """
        self.publish("a")
        self.publish("b", topic="other")
        self.follow()
        self.follow(topic="other")
        self.history.refuse(HistoryBusy("busy"))
        self.history.answer()
        self.assertEqual(self.texts(), ["b"])
        self.clock.advance(AGAIN)
        self.history.answer()
        self.assertEqual(self.texts(), ["a"])

    def test_unexpected_failure(self) -> None:
        """
        A failure that nobody foresaw is logged, and tried again: of a read, and of what was read.
        """
        self.publish("a")
        self.follow()
        self.history.refuse(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.advance(AGAIN)
        self.history.questions[0].found.append(None)
        self.history.answer()
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.clock.advance(AGAIN)
        self.history.answer()
        self.assertEqual(self.texts(), ["a"])

    def test_damage(self) -> None:
        """
        What is damaged is told as a gap that reaches as far as the damage is known to, and what lies behind it is
        given; where that is not known, what is in memory.
        """
        self.publish(*"abcdef")
        positions = [event.position for event in self.history.log]
        self.history.damage(positions[2], positions[3])
        self.history.damage(positions[3], positions[3])
        self.follow()
        self.history.answer_all()
        self.assertEqual(self.texts(), ["a", "b", f"/gap lobby {positions[1]} {positions[3]}", "e", "f"])
        self.history.damage(positions[2], None)
        self.publish("live")
        self.follow(at=positions[0])
        self.history.answer_all()
        told = self.texts()
        self.assertEqual(told[1], "b")
        self.assertEqual(told[2], f"/gap lobby {positions[1]} {positions[-1]}")
        self.assertEqual(told[-1], "live")

    def test_damage_up_to_nobody_knows_where(self) -> None:
        """
        A gap reaches to the topic's last position, so that one can resume there, and no further, whatever was
        published elsewhere. Where not even that is known, it reaches to the log's.
        """
        for state_is_known, last in ((True, 1), (False, 3)):
            self.setUp()
            self.publish("a", "b")
            self.publish("c", "d", topic="other")
            self.history.damage(self.history.log[0].position)
            upto = self.history.log[last].position
            subscription = self.follow()
            self.history.answer()
            if not state_is_known:
                self.history.refuse(HistoryCorrupt("the topics are damaged, too"))
            self.history.answer_all()
            self.publish("live")
            self.assertEqual(self.texts(), [f"/gap lobby 0 {upto}", "live"])
            subscription.end()

    def test_damage_when_it_has_ended(self) -> None:
        """
        Nothing is told to a connection that has gone while the end of the damage was looked for.
        """
        self.publish("a")
        self.history.damage(self.history.log[0].position)
        subscription = self.follow()
        self.history.answer()
        subscription.end()
        self.assertEqual([*self.texts(), *self.history.questions], [])

    def test_damage_that_makes_no_sense(self) -> None:
        """
        A damage that is said to end before it begins, or in what memory has, does not stop delivery.
        """
        for beyond in (1, 100):
            self.setUp()
            self.publish(*"ab")
            self.history.damage(self.history.log[1].position, beyond)
            self.follow(at=1)
            self.publish("c")
            self.history.answer_all()
            self.assertEqual(self.texts(), ["/gap lobby 1 3", "c"])

    def test_presence_in_pieces(self) -> None:
        """
        However many came while the connection was full: they are told in pieces, as the connection takes them, and
        before events.
        """
        subscription = self.follow(watches=True)
        self.outlet.full = True
        for n in range(2 * PRESENCE_LINES):
            other = Subscription(self.exchange, Outlet(), self.turns, "lobby")
            other.cursor = self.exchange.hub.follow("lobby", 0, 0, other, f"n{n}", False)
        self.publish("a")
        self.outlet.full = False
        self.outlet.on_deliver = lambda: setattr(self.outlet, "full", True)
        for beginning in (0, PRESENCE_LINES):
            subscription.wake()
            expected = [f"/join lobby n{n}" for n in range(beginning, beginning + PRESENCE_LINES)]
            self.assertEqual(self.texts(), expected)
            self.outlet.full = False
        subscription.wake()
        self.assertEqual(self.texts(), ["a"])

    def test_end(self) -> None:
        """
        One that has ended takes nothing any more, whatever it was doing: neither a page that was on its way, nor what
        it was about to try again, nor what its topic has.
        """
        self.publish("a")
        reading, waiting, trying = self.follow(), self.follow(), self.follow(topic="other")
        self.history.refuse(HistoryBusy("busy"))
        self.assertIs(self.turns._reader, waiting)
        trying.end()
        waiting.end()
        reading.end()
        self.assertEqual(self.history.questions, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.publish("b")
        self.assertEqual(self.texts(), [])

    def test_ends_while_it_gives(self) -> None:
        """
        A connection that breaks while it is written to is not written to again, nor is anything read for it.
        """
        self.publish(*"abcde")
        subscription = self.follow()
        self.outlet.on_deliver = subscription.end
        self.history.answer()
        self.assertEqual(self.texts(), ["a", "b", "c"])
        self.assertEqual(self.history.questions, [])
        self.outlet.full = True
        live = self.follow(at=self.history.log[-1].position)
        for _ in range(3):
            self.publish("x" * 150)
        self.outlet.full = False
        self.outlet.on_deliver = live.end
        live.wake()
        self.assertEqual(len(self.texts()), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_turns_end(self) -> None:
        """
        When the connection has gone, no turn comes any more.
        """
        self.publish("a")
        one, _ = self.follow(), self.follow()
        self.turns.end()
        one.end()
        self.assertEqual(self.history.questions, [])


class SwitchTests(SynchronousTestCase):
    """
    From what is stored to what is live, with something published at every step of it.
    """

    def setUp(self) -> None:
        patch_sizes(self)

    def run_once(self, shared: bool, wish: Wish, memory: int, at: dict[int, Callable[[ScriptedHistory], None]]) -> int:
        """
        Follow a topic that has more than two pages, and do something before some of the steps.

        :return: how many steps there were.
        """
        history = ScriptedHistory(shared)
        room = Room(history)
        room.exchange.hub = Hub(memory=memory)
        history.publish(*[draft(f"old {n}") for n in range(8)])
        history.tell()
        client = room.connect()
        witness = Witness(client, history)
        step = 0
        for _ in self.steps(history, witness, wish):
            at.get(step, lambda _: None)(history)
            step += 1
        history.store()
        history.tell()
        history.answer_all()
        history.publish(draft("the last"))
        history.tell()
        history.answer_all()
        self.assertEqual(witness.look_at_the_end(), "", f"{wish}, {sorted(at)}")
        self.assertIn("the last", client.received.decode())
        room.empty()
        self.assertEqual(room.clock.getDelayedCalls(), [])
        self.assertEqual(room.exchange.hub.followed, [])
        return step

    def steps(self, history: ScriptedHistory, witness: Witness, wish: Wish) -> Iterator[None]:
        """
        Each question is first asked, then the answer found, then told: something may happen before and after each.
        """
        yield
        witness.subscribe(wish)
        while history.questions:
            yield
            history.look()
            yield
            history.answer()
        yield

    def test_every_step(self) -> None:
        """
        Nothing is lost and nothing comes twice, whether what is published is told at once, is stored and told a step
        later, or is stored before everything and told after it; over a log of one's own and over a shared one; with
        enough memory for the live part and with none.
        """

        def publish(history: ScriptedHistory) -> None:
            history.publish(draft("told at once"), draft("elsewhere", "other"), draft("with it"))
            history.tell()

        def store(history: ScriptedHistory) -> None:
            history.publish(draft("stored"), draft("beside"))

        def tell(history: ScriptedHistory) -> None:
            history.tell()

        wishes = [Wish("lobby"), Wish("lobby", after=0), Wish("lobby", after=4), Wish("lobby", last=5)]
        wishes.append(Wish("lobby", after=4, epoch="another1"))
        for shared in (False, True):
            for memory in (0, 1 << 20):
                for wish in wishes:
                    steps = self.run_once(shared, wish, memory, {})
                    self.assertGreater(steps, 5)
                    for step in range(steps):
                        self.run_once(shared, wish, memory, {step: publish})
                        self.run_once(shared, wish, memory, {step: store})
                        self.run_once(shared, wish, memory, {step: store, step + 1: tell})
                        self.run_once(shared, wish, memory, dict.fromkeys(range(step, steps), publish))

    def test_in_the_same_turn(self) -> None:
        """
        What is published in the turn of the reactor in which a subscription begins comes to it exactly once.
        """
        for first in (True, False):
            history = ScriptedHistory()
            history.prompt = True
            room = Room(history)
            reader, writer = Witness(room.connect(), history), room.connect()
            if first:
                writer.say(b"/pub lobby now\n")
            reader.subscribe(Wish("lobby", after=0))
            if not first:
                writer.say(b"/pub lobby now\n")
            room.turns()
            history.store()
            history.tell()
            self.assertEqual(reader.look_at_the_end(), "")
            self.assertEqual(reader.told, 1)
            room.empty()


class RankTests(SynchronousTestCase):
    """
    Those who are given what comes together.
    """

    def test_another_log(self) -> None:
        """
        They are all asked to come again when the log is replaced, and nothing of them is left.
        """
        history = ScriptedHistory()
        history.prompt = True
        room = Room(history)
        clients = [room.connect() for _ in range(4)]
        for client in clients:
            client.say(b"/sub lobby\n")
        room.turns()
        history.publish(draft("one"))
        history.tell()
        rank: Any = room.exchange.hub._topics["lobby"].rank
        self.assertEqual(len(rank._members), len(clients))
        room.exchange.interrupted("the stream is another one")
        for client in clients:
            self.assertEqual(client.received.split(b"\r\n")[-2][:14], b"/bye restarted")
        self.assertEqual((len(rank._members), room.exchange.hub.followed), (0, []))
        room.empty()


class Machine(RuleBasedStateMachine):
    """
    Anything at any moment: publishing, subscribing, reading, stopping to read, losing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    @initialize(
        shared=st.booleans(),
        memory=st.sampled_from([0, 600, 3_000]),
        prompt=st.sampled_from([(), ("follow", "topic", "read_before")]),
    )
    def begin(self, shared: bool, memory: int, prompt: tuple[str, ...]) -> None:
        self.history = ScriptedHistory(shared)
        self.history.prompt_kinds = prompt
        self.memory = memory
        self.room = Room(self.history)
        self.room.exchange.hub = Hub(memory=memory)
        self.writer = self.room.connect()
        self.witnesses = [Witness(self.room.connect(), self.history) for _ in range(4)]
        # An example in which nobody follows anything tells nothing.
        for index, each in enumerate(self.witnesses):
            each.subscribe(Wish("lobby"), presence=index == 3)
            self.history.answer_all()

    @rule(topic=st.sampled_from(TOPICS), count=st.integers(1, 6), size=st.sampled_from([1, 20, 70, 300]))
    def publish(self, topic: str, count: int, size: int) -> None:
        for _ in range(count):
            self.number += 1
            self.writer.say(f"/pub {topic} {self.number} {'x' * size}\n".encode())

    @rule(topic=st.sampled_from(TOPICS), other=st.sampled_from(TOPICS))
    def publish_elsewhere(self, topic: str, other: str) -> None:
        self.number += 1
        self.history.publish(draft(f"{self.number} x", topic), draft(f"{self.number} y", other))

    @rule()
    def turn(self) -> None:
        self.room.turns()

    @rule()
    def store(self) -> None:
        self.room.turns()
        self.history.store()

    @rule()
    def tell(self) -> None:
        self.history.tell()

    @rule()
    def commit(self) -> None:
        self.store()
        self.tell()

    @rule(
        who=st.integers(0, 3),
        topic=st.sampled_from(TOPICS),
        how=st.sampled_from(["next", "after", "last", "epoch"]),
        much=st.integers(0, 12),
        presence=st.booleans(),
    )
    def subscribe(self, who: int, topic: str, how: str, much: int, presence: bool) -> None:
        # A position that will be known when the command is read, which may be later.
        events = self.history.of(topic)
        known = [0, *[event.position for event in events]]
        after = known[max(0, len(known) - 1 - much)]
        wish = Wish(topic)
        if how == "after":
            wish.after = after
        elif how == "epoch":
            wish.after, wish.epoch = after + 500, "another1"
        elif how == "last":
            wish.last = much
        self.witnesses[who].subscribe(wish, presence)

    @rule(who=st.integers(0, 3), topic=st.sampled_from(TOPICS))
    def unsubscribe(self, who: int, topic: str) -> None:
        self.witnesses[who].unsubscribe(topic)

    @rule(who=st.integers(0, 3))
    def rename(self, who: int) -> None:
        self.number += 1
        self.witnesses[who].client.say(f"/nick n{self.number}\n".encode())

    @rule(who=st.integers(0, 3), size=st.sampled_from(["nothing", 10, 500, None, None]))
    def read(self, who: int, size: Any) -> None:
        client = self.witnesses[who].client
        if size == "nothing":
            client.be_full()
        else:
            client.read(size)

    @rule(who=st.integers(0, 3), room=st.sampled_from([0, 1, 150, 1_000]))
    def stop_reading(self, who: int, room: int) -> None:
        self.witnesses[who].client.stop_reading(room)

    @rule(who=st.integers(0, 3))
    def reconnect(self, who: int) -> None:
        known = self.witnesses[who].following
        self.witnesses[who].client.vanish()
        self.witnesses[who] = Witness(self.room.connect(), self.history)
        for topic, following in known.items():
            after = 0 if following.lead is not None else following.at
            self.witnesses[who].subscribe(Wish(topic, after=after, epoch=self.history.epoch))

    @precondition(lambda self: self.history.questions)
    @rule(which=st.integers(0, 20))
    def look(self, which: int) -> None:
        self.history.look(which % len(self.history.questions))

    @precondition(lambda self: self.history.questions)
    @rule(which=st.integers(0, 20))
    def answer(self, which: int) -> None:
        self.history.answer(which % len(self.history.questions))

    @rule()
    def look_at_all(self) -> None:
        for each in self.history.questions:
            each.look()

    @rule(topic=st.sampled_from(TOPICS))
    def publish_now(self, topic: str) -> None:
        self.number += 1
        self.history.publish(draft(f"{self.number} z", topic))
        self.history.tell()

    @rule()
    def answer_all(self) -> None:
        self.history.answer_all()

    @precondition(lambda self: any(each.kind == "read_after" for each in self.history.questions))
    @rule(which=st.integers(0, 20), error=st.sampled_from([HistoryBusy, HistoryUnavailable]))
    def refuse(self, which: int, error: type[Exception]) -> None:
        pages = [index for index, each in enumerate(self.history.questions) if each.kind == "read_after"]
        self.history.refuse(error("not now"), pages[which % len(pages)])

    @rule()
    def wait(self) -> None:
        self.room.clock.advance(AGAIN)

    @precondition(lambda self: self.history.log)
    @rule(which=st.integers(0, 100))
    def remove(self, which: int) -> None:
        event = self.history.log[which % len(self.history.log)]
        self.history.remove(event.topic, event.position)

    @precondition(lambda self: len(self.history.log) > 20)
    @rule(which=st.integers(0, 100), known=st.booleans())
    def damage(self, which: int, known: bool) -> None:
        event = self.history.log[which % len(self.history.log)]
        self.history.damage(event.position, event.position if known else None)

    @invariant()
    def keeps_the_promise(self) -> None:
        for each in getattr(self, "witnesses", ()):
            assert not each.look(), each.complaint

    @invariant()
    def counts_its_memory(self) -> None:
        if hasattr(self, "room"):
            hub = self.room.exchange.hub
            chunks = [chunk for log in hub._topics.values() for chunk in log.chunks]
            assert hub.memory_used == sum(len(chunk.data) for chunk in chunks) <= self.memory
            for log in hub._topics.values():
                assert log.floor <= log.head

    def teardown(self) -> None:
        if not hasattr(self, "room"):
            return
        room, history = self.room, self.history
        for each in self.witnesses:
            each.client.read()
        while history.untold or history.questions or any(not each.client.is_read_from for each in self.witnesses):
            room.turns()
            history.store()
            history.tell()
            history.answer_all()
            room.clock.advance(AGAIN)
        room.clock.advance(AGAIN)
        history.answer_all()
        for each in self.witnesses:
            assert not each.look_at_the_end(), each.look_at_the_end()
            connection = each.client.protocol
            connection.called_back()
            counted = connection._bytes_out, connection._lines_out
            assert counted == (len(each.client.received), each.client.received.count(b"\n")), counted
            for (topic, name), here in each.present.items():
                if topic in each.following:
                    names = [other.lower() for other in room.exchange.hub.who(topic)]
                    assert (name in names) is here, (topic, name, here)
        room.empty()
        room.turns()
        history.store()
        history.tell()
        assert room.clock.getDelayedCalls() == []
        assert room.exchange.hub.followed == []
        assert room.exchange.hub.memory_used == 0
        assert history.questions == []


class PromiseTests(SynchronousTestCase):
    """
    The promise, whatever happens in whatever order.

    :cvar runs: how many orders are tried; the long tests try more.
    """

    runs: ClassVar[int] = 100

    def test_anything_at_any_moment(self) -> None:
        """
        Every subscriber is told each event behind its start exactly once and in order, or of a gap that covers it;
        and when all have gone, nothing of them is left.
        """
        patch_sizes(self)
        run_state_machine_as_test(
            Machine,
            settings=settings(
                derandomize=True,
                deadline=None,
                database=None,
                max_examples=self.runs,
                stateful_step_count=80,
                suppress_health_check=list(HealthCheck),
            ),
        )
