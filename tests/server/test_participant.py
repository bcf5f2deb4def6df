"""
Tests for :mod:`echochat.server.participant`.
"""

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from echochat.history.errors import HistoryBusy, HistoryCorrupt, HistoryUnavailable
from echochat.history.records import Draft
from echochat.server import listing, looking_back
from tests.server.room import Client, Room
from tests.server.scripted import ScriptedHistory


def draft(text: str, topic: str = "lobby") -> Draft:
    """
    Something that somebody else publishes.
    """
    return Draft(topic, "somebody", text, None, 0)


class ParticipantTests(SynchronousTestCase):
    """
    Made for tests of a connection whose history answers when it is told to.
    """

    def setUp(self) -> None:
        self.make()

    def make(self, shared: bool = False) -> None:
        self.history = ScriptedHistory(shared)
        self.room = Room(self.history)
        self.client = self.room.connect()

    def say(self, line: str, client: Client | None = None) -> None:
        (client or self.client).say(line.encode() + b"\n")

    def answer(self, *kinds: str) -> None:
        """
        Answer these questions, which must be all there are, one after the other.
        """
        for kind in kinds:
            self.assertEqual([each.kind for each in self.history.questions], [kind])
            self.history.answer()

    def publish(self, *texts: str, topic: str = "lobby") -> None:
        self.history.publish(*[draft(text, topic) for text in texts])
        self.history.tell()

    def tearDown(self) -> None:
        self.room.empty()
        self.room.turns()
        self.assertEqual(self.history.questions, [])
        self.assertEqual(self.history.followed, [])
        self.assertEqual(self.room.exchange.hub.followed, [])
        self.assertEqual(self.room.clock.getDelayedCalls(), [])


class SubscribeTests(ParticipantTests):
    """
    A subscription begins where its reply says, and its events follow the reply.
    """

    def test_head_is_where_it_begins(self) -> None:
        """
        What is published before the history was asked is at or below HEAD, and what comes later is delivered.
        """
        self.say("/sub lobby")
        self.publish("a")
        self.answer("follow")
        self.publish("b")
        self.history.look()
        self.publish("c")
        self.answer("topic", "read_after")
        self.assertEqual(
            self.client.news(),
            ["/ok sub lobby 3 scripted01", "/event lobby 5 1970-01-01T00:00:00.000Z somebody c"],
        )

    def test_nothing_to_read(self) -> None:
        """
        Who begins at the head reads nothing, though other topics have gone on, and is given what comes next.
        """
        for options in ("", " after=0", " last=3", " last=0"):
            self.make()
            self.publish("elsewhere", topic="other")
            self.say(f"/sub lobby{options}")
            self.answer("follow", "topic", *["read_before"] * (options == " last=3"))
            self.publish("a")
            self.assertEqual([line[-1] for line in self.client.news()[1:]], ["a"])
            self.room.empty()

    def test_last_is_counted_from_the_head(self) -> None:
        """
        What is published while the last events are counted is not one of them, and leaves none of them out.
        """
        self.patch(looking_back, "PAGE_EVENTS", 2)
        self.publish(*"abcde")
        self.say("/sub lobby last=3")
        self.answer("follow", "topic")
        self.publish("f")
        self.answer("read_before")
        self.publish("g")
        self.answer("read_before", "read_after")
        head, *told = self.client.news()
        self.assertTrue(head.startswith(f"/ok sub lobby {self.history.log[4].position} "))
        self.assertEqual([line[-1] for line in told], [*"cdefg"])

    def test_last_while_retention_works(self) -> None:
        """
        What retention took of the last events while they were counted is not asked for any more.
        """
        self.patch(looking_back, "PAGE_EVENTS", 1)
        self.publish(*"abc")
        self.say("/sub lobby last=3")
        self.answer("follow", "topic", "read_before")
        self.history.remove("lobby", self.history.log[2].position)
        self.answer("read_before")
        self.history.answer_all()
        (told,) = self.client.news()
        self.assertTrue(told.startswith("/ok sub lobby "))

    def test_log_that_is_replaced_while_it_is_asked(self) -> None:
        """
        Whoever begins while the log is replaced begins in the new one: no event of that is left out for having a
        position that the old one had reached, neither for this subscriber nor for those who follow the topic, too.
        """
        for options, asked in (
            ("", ["topic"]),
            (" last=1", ["topic", "read_before"]),
            (" after=1 epoch=scripted01", ["topic"]),
        ):
            for answered in range(len(asked)):
                self.make()
                other = self.room.connect()
                self.publish(*"abcdefgh")
                self.say(f"/sub lobby{options}")
                self.answer("follow", *asked[:answered])
                self.history.look()
                self.history.start_over(draft("i"))
                self.answer(asked[answered])
                self.history.answer_all()
                self.say("/sub lobby", other)
                self.history.answer_all()
                self.publish("j")
                self.history.answer_all()
                ok, *told = self.client.news()
                self.assertEqual(ok, "/ok sub lobby 1 scripted01x", options)
                gap = ["/gap lobby 1 1"] if "after" in options else []
                self.assertEqual([line for line in told if line.startswith("/gap")], gap, options)
                self.assertEqual([line[-1] for line in told[len(gap) :]], ["i"] * bool(options) + ["j"], options)
                self.assertEqual([line[-1] for line in other.news()[1:]], ["j"], options)
                self.room.empty()

    def test_refusal_leaves_nothing(self) -> None:
        """
        Who asks for a position beyond the head follows nothing, whoever else does.
        """
        self.history.prompt = True
        self.say("/sub#x lobby after=1")
        (answer,) = self.client.news()
        self.assertEqual(answer, "/err#x bad-arguments after= is beyond the last position, 0")
        self.assertEqual((self.history.followed, self.room.exchange.hub.followed), ([], []))

    def test_history_fails(self) -> None:
        """
        When the history cannot say where a topic stands, nothing is followed, and the answer says why: in words that
        are for people, where the history has such.
        """
        for error, why in (
            (HistoryUnavailable("the disk is away"), "unavailable the disk is away"),
            (HistoryBusy("too many reads"), "slow-down too many reads: try again in a few seconds"),
            (HistoryCorrupt("the topic is damaged"), "unavailable the topic is damaged"),
            (ZeroDivisionError("secret"), "unavailable the history failed: the server's log says why"),
        ):
            for answered in ([], ["follow"]):
                self.say("/sub#x lobby")
                self.answer(*answered)
                self.history.refuse(error)
                self.assertEqual(self.client.news(), [f"/err#x {why}"])
                self.assertEqual((self.history.followed, self.room.exchange.hub.followed), ([], []))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_other_who_begins_while_the_last_one_leaves(self) -> None:
        """
        In a log that servers share: who is about to follow a topic is not cut off by the end of its only subscription.
        """
        self.make(shared=True)
        other = self.room.connect()
        self.say("/sub lobby")
        self.answer("follow", "topic")
        self.say("/sub lobby", other)
        self.answer("follow")
        self.say("/unsub lobby")
        self.answer("topic")
        self.publish("a")
        self.assertEqual(len(other.news()), 2)

    def test_shared_log_that_went_on_unseen(self) -> None:
        """
        In a log that servers share: what was published while nobody here followed the topic is found in the history.
        """
        self.make(shared=True)
        self.history.prompt = True
        self.say("/sub other")
        self.publish("seen", topic="other")
        self.publish("a", "b")
        self.say(f"/sub lobby after={self.history.log[1].position}")
        self.publish("c")
        self.assertEqual([line[-1] for line in self.client.news() if "/event lobby" in line], [*"bc"])

    def test_reply_comes_first(self) -> None:
        """
        Nothing of a subscription is told before its reply: no presence, either, when a new name is pipelined behind it.
        """
        self.history.prompt = True
        self.say("/sub lobby presence=on\n/nick bob")
        self.assertEqual(
            self.client.news(),
            ["/ok sub lobby 0 scripted01", "/part lobby guest-1", "/join lobby bob", "/ok nick bob"],
        )

    def test_replaced(self) -> None:
        """
        A second subscription replaces the first without anybody coming or going, and what the first was reading is
        not given.
        """
        watcher = self.room.connect()
        self.publish("a")
        self.history.prompt = True
        self.say("/sub lobby presence=on", watcher)
        self.say("/sub lobby after=0")
        self.history.prompt = False
        watcher.news()
        self.client.news()
        self.say("/sub lobby after=0")
        self.history.answer_all()
        self.assertEqual([line[:5] for line in self.client.news()], ["/ok s", "/even"])
        self.assertEqual(watcher.news(), [])
        self.assertEqual(self.room.exchange.hub.followers("lobby"), 2)

    def test_replaced_before_its_reply_was_followed(self) -> None:
        """
        Two subscriptions of one topic in one segment: the second is the one that stays.
        """
        self.history.prompt = True
        self.publish("a")
        self.say("/sub#1 lobby after=0\n/sub#2 lobby after=0\n/unsub lobby\n/sub#3 lobby")
        self.publish("b")
        told = self.client.news()
        self.assertEqual(
            [line.split(" ")[0] for line in told],
            ["/ok#1", "/event", "/ok#2", "/event", "/ok", "/ok#3", "/event"],
        )


class RenameTests(ParticipantTests):
    """
    A new name keeps the subscriptions that it may have.
    """

    def test_while_reading(self) -> None:
        """
        A page that was on its way when the name changed is given, and what follows it.
        """
        self.publish("a", "b")
        self.say("/sub lobby after=0")
        self.answer("follow", "topic")
        self.say("/nick bob")
        self.publish("c")
        self.answer("read_after")
        self.publish("d")
        self.assertEqual([line[-1] for line in self.client.news() if "/event" in line], [*"abcd"])
        self.assertEqual(self.room.exchange.hub.who("lobby"), ["bob"])

    def test_inbox(self) -> None:
        """
        A guest who follows their inbox keeps the name. Who logs in as somebody else follows it no more, also while it
        is read.
        """
        self.publish("a", topic="@guest-1")
        self.say("/whoami\n/sub @guest-1 after=0\n/sub lobby")
        self.answer("follow", "topic")
        self.assertEqual(self.client.news()[-1][:17], "/ok sub @guest-1 ")
        self.assertEqual([each.kind for each in self.history.questions], ["read_after", "follow"])
        self.history.answer(1)
        self.history.answer(1)
        self.say("/nick bob")
        self.assertIn("/err denied ", self.client.news()[-1])
        (protocol,) = self.room.factory.connections
        renamed = protocol._session.person.become("bob", "password", lambda: None)
        assert renamed is not None
        protocol.renamed(renamed)
        self.assertEqual(self.history.questions, [])
        self.assertEqual(self.history.followed, ["lobby"])
        self.publish("b", topic="@guest-1")
        self.assertNotIn("/event", " ".join(self.client.news()))


class EndTests(ParticipantTests):
    """
    Nothing is left of a connection that has gone.
    """

    def endings(self) -> list[Callable[[], None]]:
        protocol = self.client.protocol
        return [self.client.vanish, protocol.leave, lambda: protocol.be_kicked("restarted", "no")]

    def test_questions_are_given_up(self) -> None:
        """
        Whatever was asked is given up, and what was held behind it is not begun.
        """
        for number in range(3):
            for line in ("/sub lobby", "/sub lobby last=3", "/history lobby", "/topics"):
                for answered in (0, 1):
                    self.make()
                    self.publish("a")
                    self.say(f"{line}\n/sub other\n/pub lobby b\n/sub third presence=on")
                    for _ in range(answered):
                        self.history.answer()
                    self.endings()[number]()
                    self.history.answer_all()
                    self.room.turns()
                    self.assertEqual(self.history.followed, [])
                    self.assertEqual(self.room.exchange.hub.followed, [])
                    if not answered or "sub" in line:
                        self.assertEqual(self.history.appends, [])

    def test_bye_is_last(self) -> None:
        """
        Nothing is sent behind ``/bye``: neither answers to what was given up, nor events, nor acknowledgements.
        """
        for ending in (1, 2):
            self.make()
            self.history.prompt = True
            self.say("/sub lobby presence=on\n/pub lobby a")
            self.room.turns()
            self.history.prompt = False
            self.say("/history lobby\n/ping")
            self.endings()[ending]()
            other = self.room.connect()
            self.history.prompt = True
            self.say("/sub lobby", other)
            self.history.store()
            self.history.tell()
            lines = self.client.news()
            self.assertEqual([line for line in lines if line.startswith("/bye ")], lines[-1:])

    def test_presence_of_who_vanished(self) -> None:
        """
        Who vanishes has left all topics, and the others are told.
        """
        self.history.prompt = True
        watcher = self.room.connect()
        self.say("/sub a presence=on\n/sub b presence=on", watcher)
        self.say("/nick bob\n/sub a\n/sub b")
        watcher.news()
        self.client.vanish()
        self.assertEqual(sorted(watcher.news()), ["/part a bob", "/part b bob"])

    def test_many_behind(self) -> None:
        """
        When a connection with many subscriptions behind goes, none of them begins to read for it.
        """
        for n in range(5):
            self.publish("a", topic=f"t{n}")
        for n in range(5):
            self.say(f"/sub t{n} after=0")
            for _ in ("follow", "topic"):
                self.history.answer(-1)
        self.assertEqual([each.kind for each in self.history.questions], ["read_after"])
        self.patch(self.history, "read_after", lambda *_: self.fail("nobody wants to read"))
        self.client.vanish()
        self.assertEqual(self.history.questions, [])


class QuestionTests(ParticipantTests):
    """
    A question is answered with what is true when it is answered, or with why it cannot be.
    """

    def test_failures(self) -> None:
        """
        A question that the history cannot answer is answered with its label and why; later ones are answered.
        """
        for line in ("/history#x lobby", "/topics#x"):
            self.say(line)
            self.history.refuse(HistoryUnavailable("away"))
            self.assertEqual(self.client.news(), ["/err#x unavailable away"])
            self.say(line)
            self.history.answer()
            self.assertTrue(self.client.news()[-1].startswith("/ok#x "))

    def test_too_many_followers(self) -> None:
        """
        Of a topic that more follow than can be listed, it is told how many they are.
        """
        self.patch(listing, "MOST_LISTED", 1)
        self.history.prompt = True
        self.say("/sub lobby\n/who#x lobby")
        self.assertEqual(self.client.news()[1:], ["/here#x lobby guest-1", "/ok#x who lobby 1"])
        self.say("/sub lobby", self.room.connect())
        self.say("/who#x lobby")
        self.assertEqual(self.client.news(), ["/err#x too-many 2 follow it: 1 can be listed"])

    def test_connection_fails(self) -> None:
        """
        A reply that cannot be sent is logged, and takes nothing else down.
        """
        self.say("/topics")

        def broken(data: bytes) -> None:
            raise ZeroDivisionError

        self.patch(self.client, "write", broken)
        self.history.answer()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
