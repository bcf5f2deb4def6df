"""
Tests for :mod:`echochat.identity.checker`.
"""

import os

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import InvalidAuthArgumentString, findCheckerFactory, makeChecker
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from echochat.identity.checker import AccountsChecker
from echochat.identity.files import FileRefused
from echochat.identity.hashing import HASHERS, WAITING, HashingBusy
from echochat.identity.passwords import hash_password, is_hash
from tests.identity.doubles import HashersByHand, cheap_hash, write_file

ALICE = cheap_hash(b"secret")
BOB = cheap_hash(b"hidden")


class CheckerTestCase(SynchronousTestCase):
    """
    A checker with two accounts, with processes that work when told.
    """

    def setUp(self) -> None:
        self.path = write_file(self, f"Alice {ALICE} Staff,ops\nbob {BOB}\n")
        self.hashers = HashersByHand()
        self.checker = AccountsChecker(self.path, self.hashers.hashing)

    def rewrite(self, content: str) -> None:
        """
        Write something else to the file.
        """
        with open(self.path, "w") as file:
            file.write(content)

    def ask(self, name: bytes, password: bytes) -> Deferred[bytes | tuple[()]]:
        """
        Try to log in.
        """
        return self.checker.requestAvatarId(UsernamePassword(name, password))

    def answer(self, name: bytes, password: bytes) -> bytes | tuple[()]:
        """
        Log in, which has to succeed.
        """
        asked = self.ask(name, password)
        self.hashers.run()
        return self.successResultOf(asked)

    def refusal(self, name: bytes, password: bytes) -> UnauthorizedLogin:
        """
        Try to log in, which has to fail.
        """
        asked = self.ask(name, password)
        self.hashers.run()
        refused = self.failureResultOf(asked, UnauthorizedLogin).value
        assert isinstance(refused, UnauthorizedLogin)
        return refused


class CheckerTests(CheckerTestCase):
    """
    Who knows the password of an account is its owner, and nobody learns anything else.
    """

    def test_interface(self) -> None:
        """
        It is a checker of Twisted's cred, for names and passwords.
        """
        verifyObject(ICredentialsChecker, self.checker)
        self.assertEqual(self.checker.credentialInterfaces, (IUsernamePassword,))

    def test_right_password(self) -> None:
        """
        The answer is the name as the account has it, however it was typed.
        """
        self.assertEqual(self.answer(b"aLICE", b"secret"), b"Alice")
        self.assertEqual(self.answer(b"bob", b"hidden"), b"bob")

    def test_wrong_password_and_unknown_name(self) -> None:
        """
        The answer is the same for a wrong password, another's password, and a name that has no account.
        """
        refusals = [
            self.refusal(name, password)
            for name, password in ((b"alice", b"wrong"), (b"alice", b"hidden"), (b"carol", b"secret"), (b"\xff", b"x"))
        ]
        self.assertEqual({repr(refusal) for refusal in refusals}, {"UnauthorizedLogin('wrong name or password')"})

    def test_unknown_name_costs_the_same(self) -> None:
        """
        For a name that has no account one hash is verified, as for one that has: one of the file's own, so that it
        takes as long, and always the same for a name.
        """
        for name in (b"alice", b"carol", b"dave", b"\xff", b""):
            for _ in range(2):
                self.hashers.checked.clear()
                self.refusal(name, b"wrong")
                self.assertEqual(len(self.hashers.checked), 1)
                self.assertIn(self.hashers.checked[0], (ALICE, BOB))
        self.hashers.checked.clear()
        for name in (b"carol", b"Carol", b"cArol", b"caRol", b"carOl", b"caroL", b"CAROL", b"carol"):
            self.refusal(name, b"wrong")
        self.assertEqual(len(set(self.hashers.checked)), 1)

    def test_stand_ins_differ(self) -> None:
        """
        Names without accounts are spread over all accounts' hashes, differently in each server: whoever can tell the
        hashes by their time learns nothing from that.
        """
        chosen = set()
        for checker in (self.checker, AccountsChecker(self.path, self.hashers.hashing)):
            self.hashers.checked.clear()
            for number in range(64):
                checker.requestAvatarId(UsernamePassword(b"x%d" % number, b"wrong")).addErrback(lambda failure: None)
                self.hashers.run()
            self.assertEqual(set(self.hashers.checked), {ALICE, BOB})
            chosen.add(tuple(self.hashers.checked))
        self.assertEqual(len(chosen), 2)

    def test_stand_in_s_password(self) -> None:
        """
        Nobody gets in under a name without an account, with whatever password, also not that of the account whose
        hash is verified for it.
        """
        for number in range(32):
            for password in (b"secret", b"hidden"):
                self.refusal(b"x%d" % number, password)

    def test_file_without_accounts(self) -> None:
        """
        Where there are no accounts a hash is verified all the same, with the parameters of new ones.
        """
        self.rewrite("# none\n")
        self.checker.reload()
        self.refusal(b"alice", b"secret")
        (checked,) = self.hashers.checked
        self.assertTrue(is_hash(checked))
        self.assertIn("m=19456,t=2,p=1", checked)

    def test_impossible_passwords(self) -> None:
        """
        A password that nobody can have is refused at once, with any name: nothing is hashed for it.
        """
        for password in (b"", b"x" * 1025):
            refusals = {repr(self.failureResultOf(self.ask(name, password)).value) for name in (b"alice", b"carol")}
            self.assertEqual(refusals, {"UnauthorizedLogin('wrong name or password')"})
        self.assertEqual(self.hashers.waiting, [])

    def test_text(self) -> None:
        """
        Names and passwords may be texts, as some protocols of Twisted's have them.
        """
        asked = self.checker.requestAvatarId(UsernamePassword("alice", "secret"))  # type: ignore[arg-type]  # so it is
        self.hashers.run()
        self.assertEqual(self.successResultOf(asked), b"Alice")

    def test_busy(self) -> None:
        """
        When too many log in at once the next one is told so, whatever the name.
        """
        for _ in range(HASHERS + WAITING):
            self.ask(b"alice", b"wrong").addErrback(lambda failure: None)
        self.failureResultOf(self.ask(b"alice", b"secret"), HashingBusy)
        self.failureResultOf(self.ask(b"carol", b"secret"), HashingBusy)
        self.hashers.run()

    def test_gone(self) -> None:
        """
        Who leaves while waiting for an answer costs no hashing.
        """
        others = [self.ask(b"bob", b"hidden") for _ in range(HASHERS)]
        asked = self.ask(b"alice", b"secret")
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.hashers.run()
        self.assertEqual(self.hashers.checked, [BOB] * len(others))


class AccountsTests(CheckerTestCase):
    """
    What the server asks about names, without waiting.
    """

    def test_has(self) -> None:
        """
        A name that an account has is known in any letter case.
        """
        self.assertEqual([self.checker.has(name) for name in ("alice", "BOB", "carol")], [True, True, False])

    def test_groups(self) -> None:
        """
        Groups are folded; who has no account is in none.
        """
        self.assertEqual(self.checker.groups_of("ALICE"), {"staff", "ops"})
        self.assertEqual(self.checker.groups_of("bob"), frozenset())
        self.assertEqual(self.checker.groups_of("carol"), frozenset())


class ReloadTests(CheckerTestCase):
    """
    The file is read again when somebody says so.
    """

    def test_reload(self) -> None:
        """
        New accounts and passwords are good, old ones are not any more.
        """
        self.rewrite(f"alice {BOB}\ncarol {ALICE}\n")
        self.assertEqual(self.answer(b"alice", b"secret"), b"Alice")
        self.checker.reload()
        self.assertEqual(self.answer(b"alice", b"hidden"), b"alice")
        self.assertEqual(self.answer(b"carol", b"secret"), b"carol")
        self.refusal(b"alice", b"secret")
        self.refusal(b"bob", b"hidden")
        self.assertFalse(self.checker.has("bob"))

    def test_broken(self) -> None:
        """
        A file that cannot be used is told, and changes nothing.
        """
        self.rewrite("alice\n")
        self.assertIn(f"{self.path}:1: ", str(self.assertRaises(FileRefused, self.checker.reload)))
        os.chmod(self.path, 0o644)
        self.assertIn("chmod 600", str(self.assertRaises(FileRefused, self.checker.reload)))
        os.remove(self.path)
        self.assertIn("cannot be read", str(self.assertRaises(FileRefused, self.checker.reload)))
        self.assertEqual(self.answer(b"alice", b"secret"), b"Alice")

    def test_removed_meanwhile(self) -> None:
        """
        An account that is removed, or gets another password, while a login is being checked, is not logged in.
        """
        for content in (f"bob {BOB}\n", f"alice {BOB}\n"):
            self.rewrite(f"alice {ALICE}\n")
            self.checker.reload()
            asked = self.ask(b"alice", b"secret")
            self.rewrite(content)
            self.checker.reload()
            self.hashers.run()
            self.failureResultOf(asked, UnauthorizedLogin)

    def test_added_meanwhile(self) -> None:
        """
        Nobody gets into an account that is added while a login to that name is being checked, with the password of
        the account whose hash was verified instead.
        """
        self.rewrite(f"alice {ALICE}\n")
        self.checker.reload()
        asked = self.ask(b"carol", b"secret")
        self.rewrite(f"alice {ALICE}\ncarol {BOB}\n")
        self.checker.reload()
        self.hashers.run()
        self.failureResultOf(asked, UnauthorizedLogin)

    def test_regrouped_meanwhile(self) -> None:
        """
        An account that changes otherwise is logged in.
        """
        asked = self.ask(b"alice", b"secret")
        self.rewrite(f"ALICE {ALICE} ops\n")
        self.checker.reload()
        self.hashers.run()
        self.assertEqual(self.successResultOf(asked), b"ALICE")


class PluginTests(TestCase):
    """
    ``--auth argon2:FILE``, in any program that takes ``--auth``.
    """

    def test_described(self) -> None:
        """
        It is found by its name and says what it wants.
        """
        factory = findCheckerFactory("argon2")
        self.assertEqual(factory.argStringFormat, "FILE")
        self.assertEqual(tuple(factory.credentialInterfaces), (IUsernamePassword,))
        self.assertIn("echochat passwd", factory.authHelp)

    async def test_login(self) -> None:
        """
        With the real hash, on real threads.
        """
        path = write_file(self, f"alice {hash_password(b'secret')}\n")
        checker = makeChecker(f"argon2:{path}")
        self.addCleanup(checker._hashing.stop)
        self.assertEqual(await checker.requestAvatarId(UsernamePassword(b"alice", b"secret")), b"alice")
        for name in (b"alice", b"bob"):
            with self.assertRaises(UnauthorizedLogin):
                await checker.requestAvatarId(UsernamePassword(name, b"wrong"))

    def test_wrong_argument(self) -> None:
        """
        A file that is missing or wrong is told in one line, as strcred wants it.
        """
        for argument, reason in (
            ("", "argon2 needs a file of accounts: --auth argon2:FILE"),
            ("/nowhere", "/nowhere cannot be read: No such file or directory"),
        ):
            refused = self.assertRaises(InvalidAuthArgumentString, makeChecker, f"argon2:{argument}")
            self.assertEqual(str(refused), reason)
