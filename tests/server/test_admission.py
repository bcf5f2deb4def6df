"""
What somebody may do once they are in, and what guests may: at every door that there is.
"""

from itertools import pairwise

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.verbs import VERBS
from echochat.identity.tokens import Grants
from echochat.identity.topic_sets import TopicSet
from echochat.server.settings import ServerSettings
from echochat.tap.server import Options
from tests.identity.doubles import write_file
from tests.server.house import SHARED, HouseTestCase, Visitor, rule, token_for

ALICE = {"alice staff": "right", "bob": "right"}

DONE = b"done"
NOT_LOGGED_IN = b"not-logged-in"

# For each line: what a guest is told with --guests echo, and with --guests no. DONE: whatever anybody is told.
LINES: tuple[tuple[bytes, bytes, bytes], ...] = (
    (b"hello\r\n", DONE, NOT_LOGGED_IN),
    (b"\n", DONE, NOT_LOGGED_IN),
    (b"//hello\r\n", DONE, NOT_LOGGED_IN),
    (b"/help\r\n", DONE, DONE),
    (b"/help pub\r\n", DONE, DONE),
    (b"/ping x\r\n", DONE, DONE),
    (b"/whoami\r\n", DONE, DONE),
    (b"/nick carol\r\n", DONE, NOT_LOGGED_IN),
    (b"/sub t\r\n", NOT_LOGGED_IN, NOT_LOGGED_IN),
    (b"/join t\r\n", NOT_LOGGED_IN, NOT_LOGGED_IN),
    (b"/unsub t\r\n", NOT_LOGGED_IN, NOT_LOGGED_IN),
    (b"/part t\r\n", NOT_LOGGED_IN, NOT_LOGGED_IN),
    (b"/pub t x\r\n", NOT_LOGGED_IN, NOT_LOGGED_IN),
    (b"/pub#l t x\r\n", NOT_LOGGED_IN, NOT_LOGGED_IN),
    (b"/PUB t x\r\n", NOT_LOGGED_IN, NOT_LOGGED_IN),
    (b"/say t x\r\n", NOT_LOGGED_IN, NOT_LOGGED_IN),
    (b"/msg bob x\r\n", NOT_LOGGED_IN, NOT_LOGGED_IN),
    (b"/history t\r\n", NOT_LOGGED_IN, NOT_LOGGED_IN),
    (b"/who t\r\n", NOT_LOGGED_IN, NOT_LOGGED_IN),
    (b"/topics\r\n", NOT_LOGGED_IN, NOT_LOGGED_IN),
    (b"/nosuch\r\n", b"unknown-command", b"unknown-command"),
)


class GuestsTests(HouseTestCase):
    """
    ``--guests yes|echo|no``.
    """

    def test_every_line(self) -> None:
        """
        For every command, and for messages, in each of the three ways to have guests.
        """
        for guests, column in (("yes", 0), ("echo", 1), ("no", 2)):
            house = self.open(guests=guests)
            for row in LINES:
                wanted = row[column] if column else DONE
                if row[0] == b"/nosuch\r\n":
                    wanted = b"unknown-command"
                with self.subTest(guests=guests, line=row[0]):
                    answer = house.connect().say(row[0])
                    if wanted is DONE:
                        self.assertNotIn(NOT_LOGGED_IN, answer)
                        self.assertTrue(answer)
                    else:
                        self.refused(answer, wanted, b"l" if b"#l" in row[0] else b"")
            if guests != "yes":
                self.assertEqual(house.exchange.counters.publishes, 0)
                self.assertEqual(house.exchange.hub.followed, [])
            house.clean_up()

    def test_every_verb_is_in_the_table(self) -> None:
        """
        No command is forgotten here; those that end the connection or log in are tested elsewhere.
        """
        tried = {line[0].split()[0][1:].decode() for line in LINES if line[0].startswith(b"/") and line[0][1:2] != b"/"}
        self.assertEqual(set(VERBS) - tried, {"login", "token", "quit"})

    def test_leaving_is_allowed(self) -> None:
        """
        Whoever may do nothing may still leave.
        """
        for line in (b"/quit\r\n", b"CLOSE SOCKET\r\n"):
            visitor = self.open(guests="no").connect()
            visitor.say(line)
            self.assertTrue(visitor.lost)
            self.house.clean_up()

    def test_whole_chunks(self) -> None:
        """
        What comes in large segments of one kind is taken in another way, and under the same rule.
        """
        house = self.open(guests="no")
        for kind, line in ((b"a message", b"hello\r\n"), (b"a publish", b"/pub t x\r\n")):
            for first in (b"", b"/ping\r\n", b"hello\r\n", b"/pub t x\r\n"):
                with self.subTest(kind=kind, first=first):
                    visitor = house.connect()
                    visitor.say(first)
                    answer = visitor.say(line * 100)
                    self.assertRegex(answer, rb"\A(/err not-logged-in [^\r\n]+\r\n){100}\Z")
        self.assertEqual(house.exchange.counters.publishes, 0)

    def test_publishes_of_an_echo_guest(self) -> None:
        """
        Whose messages are answered in whole chunks has no whole chunk of publishes taken.
        """
        visitor = self.open(guests="echo").connect()
        self.assertEqual(visitor.say(b"a\r\n" * 100, b"b\r\n" * 100), b"A\r\n" * 100 + b"B\r\n" * 100)
        self.assertRegex(visitor.say(b"/pub t x\r\n" * 100), rb"\A(/err not-logged-in [^\r\n]+\r\n){100}\Z")
        self.assertEqual(visitor.say(b"a\r\n" * 100), b"A\r\n" * 100)

    def test_nothing_slips_past_a_login(self) -> None:
        """
        While a login is being checked nothing behind it is done, in whatever segments it comes; when it has failed, it
        is all refused.
        """
        behind = b"hello\r\n" * 50 + b"/pub t x\r\n" * 50 + b"/sub t\r\n"
        house = self.open(ALICE)
        for number, size in enumerate((1, 3, 19, 64, 350, len(behind)), 1):
            visitor = house.connect(f"127.0.1.{number}")
            visitor.say(b"/ping\r\n")
            house.hashing = False
            visitor.say(b"/login nobody%d wrong\r\n" % number)
            before = len(visitor.received)
            segments = [behind[start : start + size] for start in range(0, len(behind), size)]
            while segments and visitor.reading:
                visitor.say(segments.pop(0))
            self.assertEqual(len(visitor.received), before)
            house.hashing = True
            house.settle()
            for segment in segments:
                visitor.say(segment)
            answer = visitor.received[before:]
            self.assertRegex(answer, rb"\A/err login-failed [^\r\n]+\r\n(/err not-logged-in [^\r\n]+\r\n){101}\Z")
        self.assertEqual(house.exchange.counters.publishes, 0)
        self.assertEqual(house.exchange.hub.followed, [])

    def test_after_login(self) -> None:
        """
        Whoever has logged in is no guest: whole chunks of messages and of publishes are theirs.
        """
        visitor = self.open(ALICE).connect()
        visitor.log_in()
        self.assertEqual(visitor.say(b"a\r\n" * 100, b"b\r\n" * 100), b"A\r\n" * 100 + b"B\r\n" * 100)
        answer = visitor.say(b"/pub t x\r\n" * 100)
        self.assertEqual(answer, b"".join(b"/ok pub t %d\r\n" % position for position in range(1, 101)))

    def test_others_are_not_answered_for_it(self) -> None:
        """
        That one has logged in helps no other connection.
        """
        house = self.open(ALICE)
        house.connect().log_in()
        self.refused(house.connect().say(b"hello\r\n"), NOT_LOGGED_IN)

    def test_guests_are_forbidden_while_they_are_here(self) -> None:
        """
        When a reload says that guests may do nothing any more, the messages of those who are here are not answered
        from then on, and those who follow a topic have to go.
        """
        house = self.open(guests="yes")
        talker, follower, idler = house.connect(), house.connect(), house.connect()
        for _ in range(2):
            self.assertEqual(talker.say(b"hello\r\n"), b"HELLO\r\n")
        follower.say(b"/sub t\r\n")
        house.factory.apply(ServerSettings(guests="no"))
        house.factory.look_again()
        house.settle()
        self.refused(talker.say(b"hello\r\n"), NOT_LOGGED_IN)
        self.assertRegex(follower.received, rb"/bye restarted [^\r\n]+\r\n\Z")
        self.assertTrue(follower.lost)
        self.assertFalse(idler.lost)
        house.factory.apply(ServerSettings(guests="yes"))
        house.factory.look_again()
        self.assertEqual(talker.say(b"hello\r\n"), b"HELLO\r\n")


class NamesTests(HouseTestCase):
    """
    Guests cannot take the names of others.
    """

    def test_accounts(self) -> None:
        """
        A name that an account has, in any letter case.
        """
        house = self.open({"Alice": "right"}, guests="yes")
        for name in (b"alice", b"ALICE", b"Alice"):
            self.refused(house.connect().say(b"/nick " + name + b"\r\n"), b"name-taken")

    def test_accounts_that_are_added(self) -> None:
        """
        An account that a reload brings: from then on.
        """
        house = self.open(ALICE, guests="yes")
        carol, dave = house.connect(), house.connect()
        self.assertEqual(carol.say(b"/nick carol\r\n"), b"/ok nick carol\r\n")
        self.assertEqual(dave.say(b"/nick Dave\r\n"), b"/ok nick Dave\r\n")
        house.rewrite_accounts({**ALICE, "dave": "right"})
        self.assertRegex(dave.received, rb"\r\n/bye restarted [^\r\n]+\r\n\Z")
        self.assertEqual([carol.lost, dave.lost], [False, True])
        self.refused(house.connect().say(b"/nick dave\r\n"), b"name-taken")

    def test_who_was_there_before(self) -> None:
        """
        A guest who had the name before it turned out to be somebody's has to give it up, and does not read that
        inbox any more: with a password of another checker, a token or a certificate, in any letter case.
        """
        others = InMemoryUsernamePasswordDatabaseDontUse(dave=b"right")
        house = self.open(tokens=True, guests="yes", checkers=(others,))
        guests = {}
        for name in ("dave", "carol", "erin", "frank"):
            guests[name] = house.connect()
            guests[name].say(f"/nick {name.title()}\r\n/sub @{name}\r\n".encode())
        house.connect().log_in("dave")
        house.connect().say(f"/token {token_for('carol')}\r\n".encode())
        house.connect(certified="erin")
        house.connect().say(b"/msg dave a secret\r\n/msg carol a secret\r\n/msg erin a secret\r\n")
        for name in ("dave", "carol", "erin"):
            self.assertRegex(guests[name].received, rb"\r\n/bye restarted [^\r\n]+\r\n\Z")
            self.assertTrue(guests[name].lost)
        self.assertFalse(guests["frank"].lost)

    def test_ones_own_name(self) -> None:
        """
        A guest who took the name that they then show to be theirs stays, and so do all others of that name.
        """
        house = self.open(tokens=True, guests="yes")
        visitor = house.connect()
        visitor.say(b"/nick carol\r\n/sub @carol\r\n")
        for each in (visitor, house.connect()):
            self.assertEqual(each.say(f"/token {token_for('carol')}\r\n".encode()), b"/ok token carol\r\n")
        self.assertFalse(visitor.lost)
        house.connect().say(b"/msg carol hi\r\n")
        self.assertRegex(visitor.received, rb"/event @carol 1 \S+ guest-\w+ hi\r\n\Z")

    def test_proven_names(self) -> None:
        """
        A name that somebody has shown to be theirs by a token or a password that only another checker knows.
        """
        others = InMemoryUsernamePasswordDatabaseDontUse(dave=b"right")
        house = self.open(tokens=True, guests="yes", checkers=(others,))
        house.connect().log_in("dave")
        house.connect().say(f"/token {token_for('carol')}\r\n".encode())
        for name in (b"Dave", b"Carol"):
            self.refused(house.connect().say(b"/nick " + name + b"\r\n"), b"name-taken")


RULES = (
    rule("*", "read publish", "lobby")
    + rule("user", "read", "news.*")
    + rule("user", "publish", "@*")
    + rule("@staff", "read publish", "staff")
    + rule("bob", "publish", "drop")
    + rule("guest", "read", "welcome")
)

READING = (b"/sub %s\r\n", b"/join#l %s last=1\r\n", b"/history %s\r\n", b"/history#l %s last=1\r\n", b"/who %s\r\n")
WRITING = (b"/pub %s x\r\n", b"/say#l %s x\r\n")


class RulesTests(HouseTestCase):
    """
    Access rules, at each command about topics.
    """

    def setUp(self) -> None:
        self.open(ALICE, RULES, guests="yes")
        self.people = {"guest": self.house.connect()}
        for name in ("alice", "bob"):
            self.people[name] = self.house.connect()
            self.people[name].log_in(name)

    def test_every_command(self) -> None:
        """
        For each person, topic and command: allowed, or denied and not done.
        """
        may = {
            ("guest", b"lobby"): "rw",
            ("alice", b"lobby"): "rw",
            ("bob", b"lobby"): "rw",
            ("guest", b"news.today"): "",
            ("alice", b"news.today"): "r",
            ("bob", b"news.today"): "r",
            ("guest", b"staff"): "",
            ("alice", b"staff"): "rw",
            ("bob", b"staff"): "",
            ("guest", b"drop"): "",
            ("alice", b"drop"): "",
            ("bob", b"drop"): "w",
            ("guest", b"welcome"): "r",
            ("alice", b"welcome"): "",
            ("guest", b"unmentioned"): "",
            ("alice", b"unmentioned"): "",
            ("alice", b"news"): "",
            ("alice", b"Lobby"): "",
            ("guest", b"@alice"): "",
            ("alice", b"@alice"): "rw",
            ("alice", b"@ALICE"): "rw",
            ("alice", b"@bob"): "w",
            ("bob", b"@alice"): "w",
        }
        for (who, topic), allowed in may.items():
            for mode, lines in (("r", READING), ("w", WRITING)):
                for line in lines:
                    with self.subTest(who=who, topic=topic, line=line):
                        published = self.house.exchange.counters.publishes
                        answer = self.people[who].say(line % topic)
                        if mode in allowed:
                            self.assertNotIn(b"/err", answer)
                        else:
                            self.refused(answer, b"denied", b"l" if b"#l" in line else b"")
                            self.assertEqual(self.house.exchange.counters.publishes, published)
                    self.people[who].say(b"/unsub %s\r\n" % topic)

    def test_msg(self) -> None:
        """
        To write to an inbox is to publish to it.
        """
        self.refused(self.people["guest"].say(b"/msg alice x\r\n"), b"denied")
        self.assertEqual(self.people["bob"].say(b"/msg alice x\r\n"), b"/ok msg alice 1\r\n")

    def test_whole_chunks_of_publishes(self) -> None:
        """
        Publishes that come together are allowed or denied one by one.
        """
        answer = self.people["guest"].say(b"hello\r\n", (b"/pub lobby x\r\n/pub staff x\r\n") * 50)
        lines = answer.splitlines()[1:]
        self.assertEqual([line.split()[0:3:1][1] for line in lines], [b"pub", b"denied"] * 50)
        self.assertEqual(self.house.exchange.counters.publishes, 50)

    def test_topics(self) -> None:
        """
        ``/topics`` shows what one may read, and nothing of what else there is: neither what was published nor what is
        followed.
        """
        for line in (b"/pub lobby x\r\n", b"/pub staff x\r\n", b"/msg bob x\r\n", b"/sub staff\r\n"):
            self.people["alice"].say(line)
        self.people["guest"].say(b"/sub welcome\r\n")
        self.assertEqual(
            self.people["guest"].say(b"/topics\r\n"), b"/topic lobby 1 0\r\n/topic welcome 0 1\r\n/ok topics 2\r\n"
        )
        self.assertEqual(
            self.people["bob"].say(b"/topics\r\n"), b"/topic @bob 3 0\r\n/topic lobby 1 0\r\n/ok topics 2\r\n"
        )
        self.assertEqual(
            self.people["alice"].say(b"/topics\r\n"), b"/topic lobby 1 0\r\n/topic staff 2 1\r\n/ok topics 2\r\n"
        )

    def test_denied_says_nothing_of_the_topic(self) -> None:
        """
        Whether there is a topic is not told to those who may not read it.
        """
        self.people["alice"].say(b"/pub staff x\r\n")
        there, not_there = (self.people["guest"].say(b"/sub %s\r\n" % topic) for topic in (b"staff", b"nosuch"))
        self.assertEqual(there, not_there)

    def test_login_gives_up_what_only_guests_may_read(self) -> None:
        """
        A guest who logs in follows on what the account may read, and nothing else.
        """
        visitor = self.house.connect()
        visitor.say(b"/sub welcome\r\n/sub lobby\r\n")
        visitor.log_in()
        self.assertEqual(sorted(self.house.exchange.hub.followed), ["lobby"])
        self.refused(visitor.say(b"/unsub welcome\r\n"), b"no-such-topic")

    def test_no_rules_in_the_file(self) -> None:
        """
        A file without rules denies everything about topics but one's own inbox.
        """
        self.house.clean_up()
        visitor = self.open(ALICE, "").connect()
        visitor.log_in()
        for line in READING + WRITING:
            self.refused(visitor.say(line % b"t"), b"denied", b"l" if b"#l" in line else b"")
        self.assertEqual(visitor.say(b"/topics\r\n"), b"/ok topics 0\r\n")
        self.assertIn(b"/ok sub @alice", visitor.say(b"/sub @alice\r\n"))
        self.assertEqual(visitor.say(b"hello\r\n"), b"HELLO\r\n")


class GrantsTests(HouseTestCase):
    """
    What a token grants narrows what rules allow.
    """

    NARROW = Grants(TopicSet.parse(["news.*"]), TopicSet.parse(["lobby"]))

    def carol(self, seconds: float = 3600) -> Visitor:
        """
        Somebody with a narrow token.
        """
        visitor = self.house.connect()
        answer = visitor.say(f"/token {token_for('carol', seconds, self.NARROW)}\r\n".encode())
        self.assertEqual(answer, b"/ok token carol\r\n")
        return visitor

    def is_narrow(self, visitor: Visitor) -> None:
        """
        They may read ``news.today`` and publish to ``lobby``, and nothing else.
        """
        for line in (b"/sub lobby\r\n", b"/history lobby\r\n", b"/pub news.today x\r\n", b"/sub @carol\r\n"):
            self.refused(visitor.say(line), b"denied")
        self.assertRegex(visitor.say(b"/pub lobby x\r\n" * 3), rb"\A(/ok pub lobby \d+\r\n){3}\Z")
        self.assertIn(b"/ok sub news.today ", visitor.say(b"/sub news.today\r\n"))

    def test_without_rules(self) -> None:
        """
        Where there are no rules, too.
        """
        self.open(tokens=True)
        self.is_narrow(self.carol())

    def test_with_rules(self) -> None:
        """
        What is granted and not allowed is denied.
        """
        self.open(tokens=True, rules=rule("*", "read publish", "*"))
        self.is_narrow(self.carol())
        self.house.clean_up()
        self.open(tokens=True, rules=rule("*", "read publish", "lobby"))
        self.refused(self.carol().say(b"/sub news.today\r\n"), b"denied")

    def test_reload_of_rules(self) -> None:
        """
        A token stays as narrow as it was when the rules are read again.
        """
        house = self.open(tokens=True, rules=rule("*", "read publish", "*"))
        visitor = self.carol()
        self.is_narrow(visitor)
        house.rewrite_rules(rule("*", "read publish administer", "*"))
        self.is_narrow(visitor)

    def test_reload_without_rules(self) -> None:
        """
        And where there are none.
        """
        house = self.open(ALICE, tokens=True)
        visitor = self.carol()
        house.rewrite_accounts(ALICE)
        self.is_narrow(visitor)

    def test_guest_who_uses_a_token(self) -> None:
        """
        What was followed as a guest and is not granted is followed no more.
        """
        house = self.open(tokens=True, guests="yes")
        visitor = house.connect()
        visitor.say(b"/sub lobby\r\n/sub news.today\r\n")
        visitor.say(f"/token {token_for('carol', 3600, self.NARROW)}\r\n".encode())
        self.assertEqual(house.exchange.hub.followed, ["news.today"])


class ReloadTests(HouseTestCase):
    """
    What a reload means for those who are here.
    """

    def test_who_follows_what_is_denied_now(self) -> None:
        """
        They are asked to come again, and get nothing more of it; all others stay.
        """
        house = self.open(ALICE, rule("*", "read publish", "*"))
        follower, other = house.connect(), house.connect()
        follower.log_in("alice")
        other.log_in("bob")
        follower.say(b"/sub secret\r\n/sub lobby\r\n")
        other.say(b"/sub lobby\r\n")
        house.rewrite_rules(rule("*", "read publish", "lobby") + rule("bob", "publish", "secret"))
        self.assertRegex(follower.received, rb"\r\n/bye restarted [^\r\n]+\r\n\Z")
        self.assertTrue(follower.lost)
        self.assertFalse(other.lost)
        self.assertEqual(house.exchange.counters.ended, {"access has changed": 1})
        other.say(b"/pub secret x\r\n")
        self.assertNotIn(b"/event", follower.received)

    def test_replies_are_not_lost(self) -> None:
        """
        A publish that was on its way is acknowledged, or not, before the end: never half a line.
        """
        house = self.open(ALICE, rule("*", "read publish", "*"))
        visitor = house.connect()
        visitor.log_in("alice")
        visitor.say(b"/sub secret\r\n")
        visitor.send(b"/pub secret x\r\n")
        house.rewrite_rules(rule("*", "publish", "*"))
        for line in visitor.received.split(b"\r\n")[:-1]:
            self.assertRegex(line, rb"\A/(ok|event|bye) ")

    def test_a_subscription_that_begins(self) -> None:
        """
        A subscription that the history is being asked about begins by the rules of the moment when it answers.
        """
        house = self.open(ALICE, rule("*", "read publish", "*"))
        visitor = house.connect()
        visitor.log_in("alice")
        answer: Deferred[None] = Deferred()
        self.patch(house.exchange.history, "follow", lambda topic: answer)
        visitor.send(b"/sub#s secret\r\n")
        house.rewrite_rules(rule("*", "publish", "*"))
        before = len(visitor.received)
        answer.callback(None)
        self.refused(visitor.received[before:], b"denied", b"s")
        self.assertEqual(house.exchange.hub.followed, [])

    def test_publishing_is_denied_at_once(self) -> None:
        """
        What may not be published to any more, is not, though the connection stays.
        """
        house = self.open(ALICE, rule("*", "read publish", "*"))
        visitor = house.connect()
        visitor.log_in("alice")
        self.assertEqual(visitor.say(b"/pub t x\r\n"), b"/ok pub t 1\r\n")
        house.rewrite_rules(rule("*", "read", "*"))
        self.refused(visitor.say(b"/pub t x\r\n"), b"denied")
        house.rewrite_rules(rule("*", "read publish", "*"))
        self.assertEqual(visitor.say(b"/pub t x\r\n"), b"/ok pub t 2\r\n")

    def test_guests_too(self) -> None:
        """
        For guests the rules of the moment hold likewise.
        """
        house = self.open(rules=rule("guest", "read publish", "*"))
        visitor = house.connect()
        self.assertEqual(visitor.say(b"/pub t x\r\n"), b"/ok pub t 1\r\n")
        house.rewrite_rules(rule("user", "read publish", "*"))
        self.refused(visitor.say(b"/pub t x\r\n"), b"denied")

    def test_certificates_and_tokens_too(self) -> None:
        """
        And for those who came by a certificate or a token.
        """
        house = self.open(tokens=True, rules=rule("user", "read publish", "*"))
        people = [house.connect(certified="dave"), house.connect()]
        people[1].say(f"/token {token_for('carol')}\r\n".encode())
        for each in people:
            self.assertIn(b"/ok pub t ", each.say(b"/pub t x\r\n"))
        house.rewrite_rules(rule("user", "read", "*"))
        for each in people:
            self.refused(each.say(b"/pub t x\r\n"), b"denied")

    def test_groups(self) -> None:
        """
        Whoever leaves a group loses what it may, whoever joins has it, without logging in again.
        """
        house = self.open(ALICE, rule("@staff", "publish", "staff"))
        alice, bob = house.connect(), house.connect()
        alice.log_in("alice")
        bob.log_in("bob")
        house.rewrite_accounts({"alice": "right", "bob staff": "right"})
        self.refused(alice.say(b"/pub staff x\r\n"), b"denied")
        self.assertEqual(bob.say(b"/pub staff x\r\n"), b"/ok pub staff 1\r\n")

    def test_removed_accounts(self) -> None:
        """
        Whoever logged in with an account that is gone is disconnected, with a reason; tokens, certificates and guests
        are not concerned.
        """
        house = self.open(ALICE, tokens=True, guests="yes")
        alice, bob, guest, carol = (house.connect() for _ in range(4))
        dave = house.connect(certified="alice")
        alice.log_in("alice")
        bob.log_in("bob")
        guest.say(b"/whoami\r\n")
        carol.say(f"/token {token_for('alice')}\r\n".encode())
        house.rewrite_accounts({"bob": "right"})
        self.assertRegex(alice.received, rb"\r\n/bye login-failures [^\r\n]+\r\n\Z")
        self.assertEqual([each.lost for each in (alice, bob, guest, carol, dave)], [True, False, False, False, False])
        self.refused(house.connect("127.0.0.9").say(b"/login alice right\r\n"), b"login-failed")

    def test_accounts_of_other_checkers(self) -> None:
        """
        Whether another checker still knows somebody cannot be asked: nobody is disconnected for that.
        """
        others = InMemoryUsernamePasswordDatabaseDontUse(dave=b"right")
        house = self.open(ALICE, checkers=(others,))
        visitor = house.connect()
        visitor.log_in("dave")
        house.rewrite_accounts(ALICE)
        self.assertFalse(visitor.lost)

    def test_a_login_that_is_being_checked(self) -> None:
        """
        A login is decided by what the accounts are when its hash is done.
        """
        house = self.open(ALICE)
        visitor = house.connect()
        house.hashing = False
        visitor.say(b"/login alice right\r\n")
        house.rewrite_accounts({"bob": "right"})
        house.hashing = True
        house.settle()
        self.refused(visitor.received, b"login-failed")

    def test_another_key(self) -> None:
        """
        Tokens of a key that was exchanged are withdrawn: who came by one is disconnected, others stay.
        """
        house = self.open(ALICE, tokens=True)
        carol, alice = house.connect(), house.connect()
        carol.say(f"/token {token_for('carol')}\r\n".encode())
        alice.log_in("alice")
        assert house.tokens is not None
        house.tokens.reload()
        house.factory.look_again()
        self.assertFalse(carol.lost)
        with open(house.key_path, "w") as file:
            file.write(SHARED[::-1])
        house.tokens.reload()
        house.factory.look_again()
        house.settle()
        self.assertRegex(carol.received, rb"\r\n/bye login-failures [^\r\n]+\r\n\Z")
        self.assertEqual([carol.lost, alice.lost], [True, False])


class OrderTests(HouseTestCase):
    """
    Replies keep the order of their lines, whoever is denied what.
    """

    def test_denials_between_publishes(self) -> None:
        """
        Denials stand where their lines stood.
        """
        house = self.open(ALICE, rule("user", "read publish", "lobby"))
        visitor = house.connect()
        visitor.log_in("alice")
        answer = visitor.say(b"".join(b"/pub#%d %s x\r\n" % (n, (b"lobby", b"staff")[n % 3 == 0]) for n in range(200)))
        labels = [int(line.split(b" ")[0].partition(b"#")[2]) for line in answer.splitlines()]
        self.assertTrue(all(earlier + 1 == later for earlier, later in pairwise(labels)), labels)
        self.assertEqual(answer.count(b"/err#"), 67)


class OptionsTests(SynchronousTestCase):
    """
    What the server's options make of who may do what.
    """

    def options(self, *written: str) -> Options:
        """
        Read these.
        """
        options = Options()
        options.parseOptions(list(written))
        return options

    def test_guests(self) -> None:
        """
        Guests may do everything unless there is a way to log in; what is written wins.
        """
        accounts = ("--auth", f"argon2:{write_file(self, '')}")
        for written, guests in (
            ((), "yes"),
            (accounts, "no"),
            (("--tokens", "key"), "no"),
            ((*accounts, "--guests", "echo"), "echo"),
            ((*accounts, "--guests", "yes"), "yes"),
            (("--guests", "no"), "no"),
        ):
            self.assertEqual(self.options(*written).settings.guests, guests, written)

    def test_first_line(self) -> None:
        """
        Where one can only log in one has ten seconds to begin; what is written wins, on the command line and in the
        file.
        """
        tokens = ("--tokens", "key")
        config = write_file(self, "first-line = 20\n")
        for written, seconds in (
            ((), 60),
            (tokens, 10),
            ((*tokens, "--guests", "echo"), 60),
            ((*tokens, "--first-line", "60"), 60),
            ((*tokens, "--config", config), 20),
        ):
            self.assertEqual(self.options(*written).settings.first_line, seconds, written)

    def test_a_file_that_has_lost_the_key(self) -> None:
        """
        A configuration that names no key any more lets nobody in when it is read again: the key is used until the
        server is restarted.
        """
        config = write_file(self, 'tokens = "key"\n')
        options = self.options("--config", config)
        with open(config, "w") as file:
            file.write("idle = 60\n")
        settings = options.read_settings()
        self.assertEqual((settings.guests, settings.idle), ("no", 60))
