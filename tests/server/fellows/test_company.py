"""
Several servers in memory, as their clients and operators meet them.
"""

from twisted.internet.defer import Deferred

from echochat.chat.ban_book import BanRecord
from echochat.chat.fellows.encoding import encode
from echochat.chat.fellows.facts import Facts
from echochat.chat.fellows.messages import Alive, Ask, Done, Everything, Order
from echochat.server.fellows import inbox
from echochat.server.fellows.company import KEEPING, NOT_KEPT, UNREACHED
from echochat.server.fellows.orders import PATIENCE, Expelled
from tests.server.fellows.town import LEASE, Server, TownTestCase
from tests.server.house import ELSEWHERE, token_for


class PeopleTests(TownTestCase):
    """
    What a client of one server is told of those on others.
    """

    def test_who_and_topics(self) -> None:
        """
        ``/who`` names everybody once, ``/topics`` counts all subscriptions, on whichever server they are.
        """
        one, other = self.start(2)
        here, there = one.connect(), other.connect()
        self.say(here, b"/nick alice\r\n/sub lobby\r\n")
        self.say(there, b"/nick bob\r\n/sub lobby\r\n/sub games\r\n")
        answer = here.say(b"/who lobby\r\n/who games\r\n/topics\r\n")
        self.assertEqual(
            answer,
            b"/here lobby alice\r\n/here lobby bob\r\n/ok who lobby 2\r\n/here games bob\r\n/ok who games 1\r\n"
            b"/topic games 0 1\r\n/topic lobby 0 2\r\n/ok topics 2\r\n",
        )

    def test_presence(self) -> None:
        """
        Whoever asked for presence is told of those on other servers, too: when they come, when they take another name,
        and when they leave, be it that they say so or not.
        """
        one, other = self.start(2)
        here, there = one.connect(), other.connect()
        self.say(here, b"/nick alice\r\n/sub lobby presence=on\r\n")
        self.take(here)
        self.say(there, b"/nick bob\r\n/sub lobby\r\n")
        self.assertEqual(self.take(here), b"/join lobby bob\r\n")
        self.say(there, b"/nick carol\r\n")
        self.assertEqual(sorted(self.take(here).splitlines()), [b"/join lobby carol", b"/part lobby bob"])
        there.vanish()
        self.settle()
        self.assertEqual(self.take(here), b"/part lobby carol\r\n")

    def test_a_name_in_use(self) -> None:
        """
        A name that a guest has on any server is refused, in any letter case, and free when it is given up.
        """
        one, other = self.start(2)
        here, there = one.connect(), other.connect()
        self.say(there, b"/nick Bob\r\n")
        self.assertRegex(here.say(b"/nick bOB\r\n"), rb"\A/err name-taken [^\r\n]+\r\n\Z")
        self.say(there, b"/nick carol\r\n")
        self.assertEqual(here.say(b"/nick bOB\r\n"), b"/ok nick bOB\r\n")

    def test_a_name_taken_twice(self) -> None:
        """
        Of two guests who take a name at the same moment one is told to choose another, and is not there any more.
        """
        one, other = self.start(2)
        here, there = one.connect(), other.connect()
        for visitor in (here, there):
            self.assertEqual(visitor.say(b"/nick bob\r\n"), b"/ok nick bob\r\n")
        self.settle()
        self.assertEqual((here.lost, there.lost), (False, True))
        self.assertRegex(there.received, rb"/bye restarted [^\r\n]+\r\n\Z")

    def test_whose_name_it_is(self) -> None:
        """
        Somebody who shows on one server that a name is theirs has it on all: a guest who has it elsewhere has to go.
        """
        one, other = self.start(2, tokens=True, guests="yes")
        guest, owner = one.connect(), other.connect()
        self.say(guest, b"/nick bob\r\n")
        self.say(owner, b"/token %s\r\n" % token_for("bob").encode())
        self.assertTrue(guest.lost)
        self.assertRegex(one.connect().say(b"/nick bob\r\n"), rb"\A/err name-taken ")

    def test_one_more_server(self) -> None:
        """
        A server that is started later knows at once who is there.
        """
        [one] = self.start(1)
        self.say(one.connect(), b"/nick alice\r\n/sub lobby\r\n")
        [other] = self.start(1)
        self.assertEqual(other.connect().say(b"/who lobby\r\n"), b"/here lobby alice\r\n/ok who lobby 1\r\n")


class GoneTests(TownTestCase):
    """
    Servers that go, and brokers that cannot be reached.
    """

    def meet(self) -> tuple[Server, Server]:
        """
        Two servers: a watcher on the one, bob on the other.
        """
        one, other = self.start(2)
        self.watcher = one.connect()
        self.say(self.watcher, b"/nick alice\r\n/sub lobby presence=on\r\n")
        self.say(other.connect(), b"/nick bob\r\n/sub lobby\r\n")
        self.take(self.watcher)
        return one, other

    def test_killed(self) -> None:
        """
        The people of a server that is killed are gone within its lease and a little, and their names are free long
        before that.
        """
        one, other = self.meet()
        self.kill(other)
        self.wait(LEASE / 2)
        self.assertEqual(self.take(self.watcher), b"")
        self.assertEqual(one.connect().say(b"/nick bob\r\n"), b"/ok nick bob\r\n")
        self.wait(LEASE / 2 + 1)
        self.assertEqual(self.take(self.watcher), b"/part lobby bob\r\n")

    def test_stopped(self) -> None:
        """
        Those of one that stops are gone at once.
        """
        one, other = self.meet()
        self.leave(other)
        self.settle()
        self.assertEqual(self.take(self.watcher), b"/part lobby bob\r\n")
        self.assertEqual(one.operations.status()["other servers"], 0)

    def test_clients_that_leave_after_it(self) -> None:
        """
        Connections that end when the farewell has been said do not have the server taken for one that has come.
        """
        one, other = self.meet()
        self.servers.remove(other)
        other.company.stop()
        other.house.clean_up()
        self.settle()
        self.assertEqual(self.take(self.watcher), b"/part lobby bob\r\n")
        self.assertEqual(one.operations.status()["other servers"], 0)

    def test_broker_away(self) -> None:
        """
        While the broker is away the others' people stay until their lease ends; when it is back they are there, with
        what changed meanwhile.
        """
        one, other = self.meet()
        for server in (one, other):
            server.bus.lose()
        self.wait(LEASE / 2)
        self.assertEqual(self.take(self.watcher), b"")
        self.wait(LEASE / 2 + 1)
        self.assertEqual(self.take(self.watcher), b"/part lobby bob\r\n")
        self.say(other.connect(), b"/nick carol\r\n/sub lobby\r\n")
        for server in (one, other):
            server.bus.find()
        self.settle()
        self.assertEqual(sorted(self.take(self.watcher).splitlines()), [b"/join lobby bob", b"/join lobby carol"])

    def test_broker_away_for_a_moment(self) -> None:
        """
        When it is back before that, nobody notices but of what has changed.
        """
        one, other = self.meet()
        for server in (one, other):
            server.bus.lose()
        self.say(other.connect(), b"/nick carol\r\n/sub lobby\r\n")
        for server in (one, other):
            server.bus.find()
        self.settle()
        self.assertEqual(self.take(self.watcher), b"/join lobby carol\r\n")


class OperatorTests(TownTestCase):
    """
    Kicks and bans on all servers.
    """

    def expel(self, doing: "Deferred[Expelled]") -> Expelled:
        """
        What came of it.
        """
        self.settle()
        return self.successResultOf(doing)

    def kick(self, server: Server, who: str) -> "Deferred[Expelled]":
        """
        An operator of this server kicks somebody.
        """
        return Deferred.fromCoroutine(server.operations.kick_everywhere(who))

    def ban(self, server: Server, who: str, seconds: float | None = None) -> "Deferred[Expelled]":
        """
        An operator of this server bans somebody.
        """
        return Deferred.fromCoroutine(server.operations.ban_everywhere(who, seconds))

    def unban(self, server: Server, who: str) -> list[str] | None:
        """
        An operator of this server lifts a ban. What they are told.
        """
        doing = Deferred.fromCoroutine(server.operations.unban_everywhere(who))
        self.settle()
        return self.successResultOf(doing)

    def test_kick(self) -> None:
        """
        A kick by name or by address closes connections on all servers, and counts them.
        """
        one, other, third = self.start(3)
        visitors = [server.connect(ELSEWHERE) for server in (one, other, other)]
        bystander = third.connect()
        self.say(bystander, b"/nick bob\r\n")
        self.assertEqual(self.expel(self.kick(one, f"::ffff:{ELSEWHERE}")), Expelled(3))
        self.assertTrue(all(visitor.lost for visitor in visitors))
        self.assertFalse(bystander.lost)
        self.assertEqual(self.expel(self.kick(one, "BOB")), Expelled(1))
        self.assertRegex(bystander.received, rb"/bye restarted [^\r\n]+\r\n\Z")
        self.assertEqual(self.expel(self.kick(one, "nobody")), Expelled(0))

    def test_ban(self) -> None:
        """
        A ban holds on all servers, on those that come later, too, until it is lifted on any of them.
        """
        one, other = self.start(2)
        visitor = other.connect(ELSEWHERE)
        self.assertEqual(self.expel(self.ban(one, ELSEWHERE)), Expelled(1))
        self.assertRegex(visitor.received, rb"\A/bye banned ")
        [third] = self.start(1)
        for server in self.servers:
            self.assertRegex(server.connect(ELSEWHERE).received, rb"\A/bye banned ")
        self.assertEqual(self.unban(third, ELSEWHERE), [])
        for server in self.servers:
            self.assertEqual(server.connect(ELSEWHERE).say(b"hello\r\n"), b"HELLO\r\n")
        self.assertIsNone(self.unban(one, ELSEWHERE))

    def test_a_ban_with_a_time(self) -> None:
        """
        One with a time ends everywhere when that is over.
        """
        one, other = self.start(2)
        self.expel(self.ban(one, "mallory", 60))
        self.assertIn("mallory", other.house.factory.bans)
        self.wait(60)
        self.assertNotIn("mallory", other.house.factory.bans)

    def test_a_ban_that_is_kept(self) -> None:
        """
        An operator is told of a ban, or of its end, when the broker keeps that: it holds then, even if all servers are
        stopped at that moment.
        """
        [one] = self.start(1)
        self.exchange.is_slow = True
        for decide, told in (
            (lambda: one.operations.ban_everywhere("mallory", None), Expelled(0)),
            (lambda: one.operations.unban_everywhere("mallory"), []),
        ):
            before = {**self.exchange.kept}
            doing = Deferred.fromCoroutine(decide())
            self.settle()
            while self.exchange.kept == before:
                self.assertNoResult(doing)
                self.assertTrue(self.exchange.answer())
            self.assertEqual(self.successResultOf(doing), told)

    def test_a_ban_that_is_not_kept(self) -> None:
        """
        A broker that does not answer is not waited for without end, and the operator is told.
        """
        [one] = self.start(1)
        self.exchange.is_slow = True
        banned = self.ban(one, "mallory")
        self.wait(KEEPING - 1)
        self.assertNoResult(banned)
        self.wait(1)
        self.assertEqual(self.expel(banned), Expelled(0, [NOT_KEPT]))
        one.bus.lose()
        self.assertEqual(self.expel(self.ban(one, "trudy")), Expelled(0, [UNREACHED, NOT_KEPT]))
        self.assertEqual(self.unban(one, "trudy"), [NOT_KEPT])

    def test_a_ban_in_passing(self) -> None:
        """
        A ban that was decided while a server could not be reached holds there when it can be, and closes connections.
        """
        one, other = self.start(2)
        visitor = other.connect(ELSEWHERE)
        other.bus.lose()
        self.ban(one, ELSEWHERE)
        self.wait(PATIENCE)
        self.assertFalse(visitor.lost)
        other.bus.find()
        self.settle()
        self.assertTrue(visitor.lost)

    def test_a_ban_of_a_server_that_is_gone(self) -> None:
        """
        A ban that was told to one server only, before the server of whoever decided it was gone, is told on.
        """
        one, other = self.start(2)
        visitor = other.connect(ELSEWHERE)
        facts = Facts(bans=[BanRecord(ELSEWHERE, 1, None)])
        one.bus.deliver("TEST-fellows.all", encode(Everything(Alive("stranger", 1, 20.0, ""), 1, 1, 1, facts)))
        self.settle()
        self.assertTrue(visitor.lost)

    def test_no_answer(self) -> None:
        """
        A server that does not answer in time is named, and the others count.
        """
        one, other, third = self.start(3)
        other.connect(ELSEWHERE)
        third.connect(ELSEWHERE)
        self.kill(third)
        kicked = self.kick(one, ELSEWHERE)
        self.settle()
        self.assertNoResult(kicked)
        self.wait(PATIENCE)
        self.assertEqual(self.expel(kicked), Expelled(1, ["server server03 has not answered"]))

    def test_broker_away(self) -> None:
        """
        While the broker is away only this server does it, and the operator is told.
        """
        one, _ = self.start(2)
        one.connect(ELSEWHERE)
        one.bus.lose()
        self.assertEqual(self.expel(self.kick(one, ELSEWHERE)), Expelled(1, [UNREACHED]))

    def test_late_answers(self) -> None:
        """
        An answer that comes twice, from somebody who was not asked, or too late, does not count.
        """
        one, other = self.start(2)
        visitor = other.connect(ELSEWHERE)
        other.bus.is_connected = False
        kicked = self.kick(one, ELSEWHERE)
        for server in ("stranger", "server02", "server02"):
            one.bus.deliver("TEST-fellows.to.server01", encode(Done(server, 1, 7)))
        self.assertEqual(self.expel(kicked), Expelled(7))
        self.assertFalse(visitor.lost)

    def test_stopping(self) -> None:
        """
        An operator who waits while the server stops is answered.
        """
        one, other = self.start(2)
        self.kill(other)
        kicked = self.kick(one, ELSEWHERE)
        self.leave(one)
        self.assertEqual(self.expel(kicked), Expelled(0, ["server server02 has not answered"]))

    def test_status(self) -> None:
        """
        The operator sees the other servers: what they have, and when they were heard of.
        """
        one, other = self.start(2)
        self.say(other.connect(), b"/sub lobby\r\n/sub games\r\n")
        status = one.operations.status()
        self.assertEqual((status["server"], status["broker"], status["other servers"]), ("server01", "connected", 1))
        self.assertRegex(
            str(status["server server02"]), r"\A.+, process \d+: 2 subscriptions of 2 topics, heard of \d\.\d s ago\Z"
        )
        one.bus.lose()
        self.assertEqual(one.operations.status()["broker"], "cannot be reached")
        one.bus.find()
        one.bus.deliver("TEST-fellows.all", encode(Order("stranger", 1, "bob", None)))
        one.bus.deliver("TEST-fellows.all", one.company.fellowship.beat().replace(b"server01", b"stranger"))
        self.assertRegex(str(one.operations.status()["server stranger"]), r", its people are not known yet\Z")


class MessagesTests(TownTestCase):
    """
    What comes from the broker.
    """

    def test_malformed(self) -> None:
        """
        What is no message is counted and left alone; the log tells of it, once a minute at most.
        """
        [one] = self.start(1)
        complained: list[int] = []
        self.patch(one.company._inbox.log, "error", lambda format, count, why: complained.append(count))
        for _ in range(3):
            one.bus.deliver("TEST-fellows.all", b"hello")
        self.assertEqual(one.operations.status()["messages of servers refused"], 3)
        self.assertEqual(complained, [1])
        self.wait(inbox.COMPLAIN + 1)
        one.bus.deliver("TEST-fellows.all", b"\xff")
        self.assertEqual(complained, [1, 4])
        self.assertEqual(one.connect().say(b"hello\r\n"), b"HELLO\r\n")

    def test_many_at_once(self) -> None:
        """
        Very many messages are taken in turns, and in their order, so that clients are served in between.
        """
        [one] = self.start(1)
        self.patch(inbox, "TURN", 0.0)
        before = len(self.exchange.sent)
        asks = [encode(Ask(f"stranger{number}")) for number in (1, 2, 3)]
        one.bus.deliver("TEST-fellows.all", *asks[:2])
        one.bus.deliver("TEST-fellows.all", *asks[2:])
        self.assertEqual(len(self.exchange.sent), before + 1)
        self.settle()
        told = [subject for subject, _ in self.exchange.sent[before:] if ".to." in subject]
        self.assertEqual(told, [f"TEST-fellows.to.stranger{number}" for number in (1, 2, 3)])

    def test_orders_of_strangers(self) -> None:
        """
        Whoever may speak to the broker gives orders, as a server does.
        """
        [one] = self.start(1)
        visitor = one.connect(ELSEWHERE)
        ban = BanRecord(ELSEWHERE, 1, None)
        one.bus.deliver("TEST-fellows.all", encode(Order("stranger", 1, ELSEWHERE, ban)))
        self.settle()
        self.assertTrue(visitor.lost)
        self.assertIn(ELSEWHERE, one.house.factory.bans)
