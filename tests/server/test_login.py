"""
Logging in, on a connection: who gets in under which name, and what becomes of who does not.
"""

from collections.abc import Callable
from typing import Any

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet.defer import Deferred, fail

from echochat.identity.hashing import HASHERS, WAITING
from echochat.server.admission import Admission
from echochat.server.settings import ServerSettings
from tests.server.house import ELSEWHERE, HouseTestCase, Visitor, token_for

ALICE = {"alice": "right", "bob": "right"}


class PasswordTests(HouseTestCase):
    """
    ``/login NAME SECRET``.
    """

    def test_success(self) -> None:
        """
        Whoever knows the password has the account's name, in the letter case of the file, whatever was typed.
        """
        visitor = self.open(ALICE).connect()
        self.assertEqual(
            visitor.say(b"/login#l ALICE right\r\n/whoami\r\n"), b"/ok#l login alice\r\n/ok whoami alice password\r\n"
        )

    def test_password_with_spaces(self) -> None:
        """
        A password is all that stands behind the name and one space.
        """
        visitor = self.open({"alice": "two words  = three"}).connect()
        self.refused(visitor.say(b"/login alice two words = three\r\n"), b"login-failed")
        self.house.wait(2)
        self.assertEqual(visitor.say(b"/login  alice two words  = three\r\n"), b"/ok login alice\r\n")

    def test_who_is_refused_learns_nothing(self) -> None:
        """
        An unknown name and a wrong password are answered alike, each after one hash.
        """
        house = self.open(ALICE)
        answers = []
        for line, host in ((b"/login alice wrong\r\n", "127.0.0.1"), (b"/login nobody wrong\r\n", "127.0.0.2")):
            answers.append(house.connect(host).say(line))
        self.refused(answers[0], b"login-failed")
        self.assertEqual(answers[0], answers[1])
        self.assertEqual(len(house.hashers.checked), 2)

    def test_three_failures(self) -> None:
        """
        The third failure ends the connection, with a reason.
        """
        visitor = self.open(ALICE).connect()
        for wait in (2, 4):
            self.refused(visitor.say(b"/login alice wrong\r\n"), b"login-failed")
            self.assertFalse(visitor.lost)
            self.house.wait(wait)
        answer = visitor.say(b"/login alice wrong\r\n")
        self.assertRegex(answer, rb"\A/err login-failed [^\r\n]+\r\n/bye login-failures [^\r\n]+\r\n\Z")
        self.assertTrue(visitor.lost)
        self.assertEqual(self.house.exchange.counters.ended, {"logins failed": 1})

    def test_nothing_behind_the_third_failure(self) -> None:
        """
        What was sent together with three failing logins is not done any more: neither other attempts nor anything
        else.
        """
        house = self.open(ALICE, tokens=True, guests="yes")
        visitor = house.connect()
        good = token_for("carol").encode()
        answer = visitor.say(b"/token bad\r\n" * 3 + b"/token " + good + b"\r\n/token bad\r\nhello\r\n/pub t x\r\n")
        self.assertRegex(answer, rb"\A(/err login-failed [^\r\n]+\r\n){3}/bye login-failures [^\r\n]+\r\n\Z")
        self.assertTrue(visitor.lost)
        self.assertEqual(house.exchange.counters.publishes, 0)

    def test_earlier_replies_come_before_the_end(self) -> None:
        """
        What was asked before the third failure is answered, publishes too.
        """
        visitor = self.open(ALICE, guests="yes", tokens=True).connect()
        answer = visitor.say(b"/pub t x\r\n/token a\r\n/pub t y\r\n/token b\r\nhello\r\n/token c\r\n")
        self.assertRegex(
            answer,
            rb"\A/ok pub t 1\r\n/err login-failed .*\r\n/ok pub t 2\r\n/err login-failed .*\r\nHELLO\r\n"
            rb"/err login-failed .*\r\n/bye login-failures .*\r\n\Z",
        )

    def test_too_early(self) -> None:
        """
        After a failure the next attempt has to wait. One that comes too early is told how long, is not checked, and
        does not count.
        """
        house = self.open(ALICE)
        visitor = house.connect()
        visitor.say(b"/login alice wrong\r\n")
        for _ in range(10):
            self.refused(visitor.say(b"/login alice right\r\n"), b"slow-down")
        self.assertEqual(len(house.hashers.checked), 1)
        self.assertRegex(visitor.say(b"/login alice right\r\n"), rb"\A/err slow-down .*2 seconds\r\n\Z")
        house.wait(2)
        visitor.log_in()

    def test_others_are_not_slowed_down(self) -> None:
        """
        Failures are counted by address and by name: who has another of both does not wait; who has the same address
        does, on another connection, too.
        """
        house = self.open(ALICE)
        house.connect(ELSEWHERE, encrypted=True).say(b"/login alice wrong\r\n")
        house.connect("192.0.2.8", encrypted=True).log_in("bob")
        self.refused(house.connect(ELSEWHERE, encrypted=True).say(b"/login bob right\r\n"), b"slow-down")
        self.refused(house.connect("192.0.2.9", encrypted=True).say(b"/login alice right\r\n"), b"slow-down")

    def test_addresses_of_one_network(self) -> None:
        """
        Of IPv6 a /64 is one source: whoever has one cannot guess from each of its addresses.
        """
        house = self.open(ALICE)
        house.connect("2001:db8::1", encrypted=True).say(b"/login alice wrong\r\n")
        self.refused(house.connect("2001:db8::2", encrypted=True).say(b"/login bob right\r\n"), b"slow-down")
        house.connect("2001:db8:0:1::1", encrypted=True).log_in("bob")

    def test_without_the_limit_of_addresses(self) -> None:
        """
        With ``--per-address 0``, too, a /64 is one source.
        """
        house = self.open(ALICE, settings=ServerSettings(per_address=0))
        house.connect("2001:db8::1", encrypted=True).say(b"/login alice wrong\r\n")
        self.refused(house.connect("2001:db8::2", encrypted=True).say(b"/login bob right\r\n"), b"slow-down")

    def test_busy(self) -> None:
        """
        When too many log in at once, the next is told to try again, and it counts neither as an attempt nor as a
        failure.
        """
        house = self.open(ALICE)
        house.hashing = False
        crowd = [house.connect() for _ in range(HASHERS + WAITING)]
        for each in crowd:
            each.say(b"/login alice right\r\n")
        self.assertTrue(house.admission.is_full)
        others: Any = InMemoryUsernamePasswordDatabaseDontUse(bob=b"right")
        # Of another checker nobody knows how much it can do.
        self.assertFalse(Admission(house.clock.seconds, (house.accounts, others)).is_full)  # type: ignore[arg-type]  # it is there
        late = house.connect()
        for _ in range(5):
            self.refused(late.say(b"/login alice right\r\n"), b"slow-down")
        house.hashing = True
        house.settle()
        late.log_in()
        self.assertEqual({each.received for each in crowd}, {b"/ok login alice\r\n"})

    def test_no_process_for_it(self) -> None:
        """
        When the process that checks passwords has ended, whoever waits for it is told that it cannot be done now. It
        is no attempt of theirs, and the next may succeed.
        """
        house = self.open(ALICE)
        visitor = house.connect()
        house.hashing = False
        for _ in range(5):
            visitor.send(b"/login alice right\r\n")
            ((_, _, answer),) = house.hashers.waiting
            house.hashers.waiting.clear()
            answer(None)
        self.assertEqual(visitor.received.count(b"/err unavailable "), 5)
        house.hashing = True
        visitor.log_in()

    def test_lines_behind_a_login_wait_for_it(self) -> None:
        """
        What is sent behind a login is done by whoever it makes of the sender, in whatever segments it comes.
        """
        lines = b"/login alice right\r\nhello\r\n/pub t hi\r\n/whoami\r\n"
        answer = b"/ok login alice\r\nHELLO\r\n/ok pub t %d\r\n/ok whoami alice password\r\n"
        house = self.open(ALICE)
        for number, size in enumerate((1, 7, 20, 27, len(lines)), 1):
            visitor = house.connect()
            house.hashing = False
            for start in range(0, len(lines), size):
                if visitor.reading:
                    visitor.say(lines[start : start + size])
                else:
                    # It is read no more while it waits, as from a socket.
                    house.hashing = True
                    house.settle()
                    visitor.say(lines[start : start + size])
            self.assertIn(visitor.received, (b"", answer % number))
            house.hashing = True
            house.settle()
            self.assertEqual(visitor.received, answer % number)

    def test_cancelled_when_the_connection_goes(self) -> None:
        """
        A login whose connection has gone costs no hash unless it was begun, and nothing is said of it.
        """
        house = self.open(ALICE)
        house.hashing = False
        for _ in range(10):
            visitor = house.connect()
            visitor.say(b"/login alice right\r\n")
            visitor.vanish()
        house.hashing = True
        house.settle()
        self.assertLessEqual(len(house.hashers.checked), HASHERS)
        self.assertEqual(house.hashers.hashing.active, 0)

    def test_once_a_connection(self) -> None:
        """
        Whoever has logged in cannot become somebody else.
        """
        visitor = self.open(ALICE).connect()
        visitor.log_in()
        self.refused(visitor.say(b"/login bob right\r\n"), b"bad-arguments")
        self.refused(visitor.say(b"/nick carol\r\n"), b"denied")
        self.assertEqual(visitor.say(b"/whoami\r\n"), b"/ok whoami alice password\r\n")

    def test_bad_arguments(self) -> None:
        """
        What cannot be a name and a password is refused before anything is checked, and repeats nothing of it.
        """
        house = self.open(ALICE)
        visitor = house.connect()
        for line, code in (
            (b"/login\r\n", b"bad-arguments"),
            (b"/login alice\r\n", b"bad-arguments"),
            (b"/login alice \r\n", b"bad-arguments"),
            (b"/login a/b canary\r\n", b"bad-name"),
            (b"/login alice can\xe9ry\r\n", b"bad-encoding"),
            (b"/token\r\n", b"bad-arguments"),
        ):
            answer = visitor.say(line)
            self.refused(answer, code)
            self.assertNotIn(b"can", answer.replace(b"cannot", b""))
        self.assertEqual(house.hashers.checked, [])

    def test_too_long_a_password(self) -> None:
        """
        A password longer than any can be is refused as any other, and is not hashed.
        """
        house = self.open(ALICE)
        self.refused(house.connect().say(b"/login alice " + b"x" * 1025 + b"\r\n"), b"login-failed")
        self.assertEqual(house.hashers.checked, [])

    def test_a_checker_that_breaks(self) -> None:
        """
        A checker's own bug is the server's: the client is told that it cannot log in now, the log why; the connection
        goes on.
        """
        visitor = self.open(ALICE, checkers=(Breaking(lambda: fail(RuntimeError("the disk is gone"))),)).connect()
        self.refused(visitor.say(b"/login carol right\r\n"), b"unavailable")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(visitor.say(b"/ping\r\n"), b"/ok ping\r\n")

    def test_other_checkers(self) -> None:
        """
        Any checker of Twisted's for names and passwords serves beside ours.
        """
        others: Any = InMemoryUsernamePasswordDatabaseDontUse(dave=b"secret")
        house = self.open(ALICE, checkers=(others,))
        house.connect().log_in("dave", "secret")
        house.connect().log_in("alice", "right")
        self.refused(house.connect().say(b"/login dave right\r\n"), b"login-failed")

    def test_a_slow_checker_is_cancelled(self) -> None:
        """
        A checker that has not answered when the connection goes is told so.
        """
        told: list[object] = []
        house = self.open(checkers=(Breaking(lambda: Deferred(told.append)),))
        visitor = house.connect()
        visitor.say(b"/login carol right\r\n")
        visitor.vanish()
        self.assertEqual(len(told), 1)


class Breaking:
    """
    A checker that answers as it is told.
    """

    def __init__(self, answer: Callable[[], "Deferred[bytes]"]) -> None:
        self._answer = answer

    def requestAvatarId(self, credentials: object) -> "Deferred[bytes]":
        return self._answer()


class TokenTests(HouseTestCase):
    """
    ``/token TOKEN``.
    """

    def test_success(self) -> None:
        """
        A token is as good as a password, and needs no account.
        """
        visitor = self.open(tokens=True).connect()
        answer = visitor.say(f"/token#t {token_for('carol')}\r\n/whoami\r\n".encode())
        self.assertEqual(answer, b"/ok#t token carol\r\n/ok whoami carol token\r\n")

    def test_refused(self) -> None:
        """
        A token of another key, an expired one, and none at all where there are no tokens.
        """
        house = self.open(tokens=True)
        self.refused(house.connect().say(f"/token {token_for('carol', key='x' * 32)}\r\n".encode()), b"login-failed")
        self.refused(house.connect().say(f"/token {token_for('carol', -1)}\r\n".encode()), b"login-failed")
        self.refused(self.open(ALICE).connect().say(f"/token {token_for('carol')}\r\n".encode()), b"login-failed")

    def test_expiry(self) -> None:
        """
        When the token's time has come the connection is closed with a reason; not before.
        """
        house = self.open(tokens=True)
        visitor = house.connect()
        visitor.say(f"/token {token_for('carol', 100)}\r\n".encode())
        house.wait(98)
        self.assertEqual(visitor.say(b"hello\r\n"), b"HELLO\r\n")
        house.wait(2)
        self.assertRegex(visitor.received, rb"HELLO\r\n/bye login-failures [^\r\n]+\r\n\Z")
        self.assertTrue(visitor.lost)
        self.assertEqual(house.exchange.counters.ended, {"the token expired": 1})

    def test_expiry_answers_first(self) -> None:
        """
        A publish that was on its way when the token expired is acknowledged before the end.
        """
        house = self.open(tokens=True)
        visitor = house.connect()
        visitor.say(f"/token {token_for('carol', 100)}\r\n".encode())
        visitor.send(b"/pub t x\r\n")
        house.clock.advance(100)
        house.settle()
        self.assertRegex(visitor.received, rb"\r\n/ok pub t 1\r\n/bye login-failures [^\r\n]+\r\n\Z")

    def test_long_life(self) -> None:
        """
        A token may be good for a hundred years.
        """
        house = self.open(tokens=True)
        visitor = house.connect()
        visitor.say(f"/token {token_for('carol', 3.2e9)}\r\n".encode())
        house.wait(1e6)
        self.assertEqual(visitor.say(b"/ping\r\n"), b"/ok ping\r\n")


class CertificateTests(HouseTestCase):
    """
    A certificate that was verified in the handshake is a login.
    """

    def test_identity(self) -> None:
        """
        Whoever has a certificate is somebody before they say anything, and does not log in.
        """
        visitor = self.open(guests="no").connect(ELSEWHERE, certified="alice")
        self.assertEqual(visitor.received, b"")
        self.assertEqual(visitor.say(b"hello\r\n/whoami\r\n"), b"HELLO\r\n/ok whoami alice certificate\r\n")
        self.refused(visitor.say(b"/nick bob\r\n"), b"denied")

    def test_name_is_nobody_elses(self) -> None:
        """
        While that is remembered no guest can take the name, in any letter case.
        """
        house = self.open()
        house.connect(certified="alice").vanish()
        self.refused(house.connect().say(b"/nick Alice\r\n"), b"name-taken")

    def test_banned(self) -> None:
        """
        A banned name is told so, and closed.
        """
        house = self.open()
        house.factory.bans.add("ALICE", None)
        visitor = house.connect(certified="alice")
        self.assertRegex(visitor.received, rb"\A/bye banned [^\r\n]+\r\n\Z")
        self.assertTrue(visitor.lost)


class BannedNameTests(HouseTestCase):
    """
    A banned name is refused, however it is shown.
    """

    def test_password(self) -> None:
        """
        With the right password one is told; with a wrong one nothing: nobody finds out who is banned.
        """
        house = self.open(ALICE)
        house.factory.bans.add("Alice", None)
        self.refused(house.connect("127.0.0.1").say(b"/login alice right\r\n"), b"denied")
        self.refused(house.connect("127.0.0.2").say(b"/login alice wrong\r\n"), b"login-failed")
        house.connect("127.0.0.3").log_in("bob")

    def test_token(self) -> None:
        """
        With a token likewise.
        """
        house = self.open(tokens=True)
        house.factory.bans.add("carol", None)
        self.refused(house.connect().say(f"/token {token_for('Carol')}\r\n".encode()), b"denied")

    def test_nick(self) -> None:
        """
        A guest cannot take a banned name.
        """
        house = self.open()
        house.factory.bans.add("mallory", None)
        self.refused(house.connect().say(b"/nick Mallory\r\n"), b"name-taken")


class BecomingTests(HouseTestCase):
    """
    A guest who logs in is the same person under another name.
    """

    def watched(self) -> tuple[Visitor, Visitor]:
        """
        Somebody who follows ``lobby`` as a guest, and somebody who watches who is there.
        """
        house = self.open(ALICE, guests="yes")
        watcher = house.connect()
        watcher.say(b"/nick eve\r\n/sub lobby presence=on\r\n")
        guest = house.connect()
        guest.say(b"/nick carol\r\n/sub lobby\r\n/sub @carol\r\n")
        return watcher, guest

    def test_subscriptions_go_on(self) -> None:
        """
        What a guest follows is followed on, under the account's name; watchers see one go and the other come.
        """
        watcher, guest = self.watched()
        before = len(watcher.received)
        guest.log_in()
        self.assertEqual(watcher.received[before:], b"/part lobby carol\r\n/join lobby alice\r\n")
        self.assertRegex(
            guest.say(b"/who lobby\r\n"), rb"\A/here lobby eve\r\n/here lobby alice\r\n/ok who lobby 2\r\n"
        )
        watcher.say(b"/pub lobby hi\r\n")
        self.assertRegex(guest.received, rb"/event lobby 1 \S+ eve hi\r\n\Z")

    def test_guest_name_is_free(self) -> None:
        """
        The guest's name is free again, and the inbox is not read any more by who had it.
        """
        _, guest = self.watched()
        guest.log_in()
        other = self.house.connect()
        self.assertEqual(other.say(b"/nick carol\r\n"), b"/ok nick carol\r\n")
        before = len(guest.received)
        other.say(b"/msg carol for carol alone\r\n")
        self.assertEqual(guest.received[before:], b"")

    def test_publishes_have_the_new_name(self) -> None:
        """
        What is published behind a login in the same segment is published by the account.
        """
        _, guest = self.watched()
        guest.say(b"/pub t as a guest\r\n/login alice right\r\n/pub t as alice\r\n/pub t again\r\n")
        answer = guest.say(b"/history t\r\n")
        self.assertEqual([line.split(b" ", 5)[4] for line in answer.splitlines()[:-1]], [b"carol", b"alice", b"alice"])

    def test_presence_ends_with_the_connection(self) -> None:
        """
        When a connection goes, its person leaves under the name that others know.
        """
        watcher, guest = self.watched()
        guest.log_in()
        before = len(watcher.received)
        guest.vanish()
        self.assertEqual(watcher.received[before:], b"/part lobby alice\r\n")

    def test_two_connections_of_one(self) -> None:
        """
        An account may be there several times; watchers see one of it.
        """
        watcher, guest = self.watched()
        guest.log_in()
        second = self.house.connect()
        second.log_in()
        before = len(watcher.received)
        second.say(b"/sub lobby\r\n")
        guest.vanish()
        self.assertEqual(watcher.received[before:], b"")
        second.vanish()
        self.assertEqual(watcher.received[before:], b"/part lobby alice\r\n")


class PrivacyTests(HouseTestCase):
    """
    Passwords and tokens are taken only where nobody can listen in.
    """

    def test_plain_from_elsewhere(self) -> None:
        """
        A plain connection from another machine is refused a login, whatever the rest of the line; nothing is checked.
        """
        house = self.open(ALICE, tokens=True)
        visitor = house.connect(ELSEWHERE)
        for line in (b"/login alice right\r\n", b"/LOGIN alice\r\n", b"/login\r\n", b"/token x\r\n", b"/token\r\n"):
            self.refused(visitor.say(line), b"tls-required")
        six = house.connect("2001:db8::1")
        self.refused(six.say(b"/login alice right\r\n"), b"tls-required")
        mapped = house.connect("::ffff:192.0.2.7")
        self.refused(mapped.say(b"/login alice right\r\n"), b"tls-required")
        self.assertEqual(house.hashers.checked, [])

    def test_where_it_is_private(self) -> None:
        """
        TLS from anywhere, loopback in all its forms, and UNIX sockets.
        """
        house = self.open(ALICE)
        for host in ("127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", ""):
            house.connect(host).log_in()
        house.connect(ELSEWHERE, encrypted=True).log_in()
