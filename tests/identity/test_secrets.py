"""
No secret shows anywhere: a password, a hash, a key and a token are sent through everything of the identity room, and
looked for in all that it says.
"""

import gc
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from twisted.cred.credentials import UsernamePassword
from twisted.logger import ILogObserver, LogEvent, eventAsText, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from echochat.client.commands import passwd, rules, token
from echochat.identity.account_edits import set_account
from echochat.identity.accounts import Account, parse_accounts
from echochat.identity.checker import AccountsChecker, make_checker
from echochat.identity.files import create_secret, read_secret, replace_secret
from echochat.identity.hashing import HASHERS, WAITING, HashingPool
from echochat.identity.keys import Key, create_key, read_checking_key, read_signing_key
from echochat.identity.passwords import check_new_password
from echochat.identity.rule_file import parse_rules
from echochat.identity.throttle import LoginThrottle
from echochat.identity.tokens import Token, Tokens, check_token, make_token
from tests.identity.doubles import HashersByHand, cheap_hash, write_file
from tests.identity.test_keys import ED25519, private_pem

PASSWORD = "canaryPasswordQ7x"
SHARED = "canaryKey0123456789abcdefghijklmnopqrstuv"
HASH = cheap_hash(PASSWORD.encode())
PEM = private_pem(ED25519).decode()
TOKEN = make_token(Key("HS256", SHARED.encode()), Token("alice", 2e9), 1e9)

CANARIES = (
    "anary",
    HASH.rpartition("$")[2],
    PEM.split("\n")[1],
    TOKEN.split(".")[1],
    TOKEN.split(".")[2],
    HASH.rpartition("$")[2][:20],
)


@implementer(ILogObserver)
class Log:
    """
    All that is logged: each event's text, and all its fields.
    """

    def __init__(self, said: list[str]) -> None:
        self._said = said

    def __call__(self, event: LogEvent) -> None:
        self._said += [eventAsText(event), repr(event)]


class SecretsTests(SynchronousTestCase):
    """
    Whatever is shown, logged or raised has no secret in it.
    """

    def setUp(self) -> None:
        self.said: list[str] = []
        self.path = write_file(self, f"alice {HASH}\n")
        self.key = write_file(self, SHARED)
        self.hashers = HashersByHand()
        log = Log(self.said)
        globalLogPublisher.addObserver(log)
        self.addCleanup(globalLogPublisher.removeObserver, log)

    def shown(self, *things: object) -> None:
        """
        Something was shown, in each way that a log or a debugger would.
        """
        for thing in things:
            self.said += [repr(thing), str(thing), f"{thing}"]

    def failed(self, failure: Failure) -> None:
        """
        Something failed: with everything that Twisted and Python can say about it.
        """
        assert failure.value is not None
        self.shown(failure, failure.value, failure.value.args)
        self.said += [failure.getTraceback(), failure.getTraceback(detail="verbose"), failure.getBriefTraceback()]
        self.said += traceback.format_exception(failure.value)
        context = failure.value.__context__
        while context is not None:  # `from None` hides these from tracebacks, but not from every tool
            self.shown(context)
            context = context.__context__

    def raised(self, call: Callable[..., Any], *arguments: Any) -> None:
        """
        Call what has to fail.
        """
        try:
            call(*arguments)
        except Exception:
            self.failed(Failure())
        else:
            self.fail(f"{call} did not fail")

    def assert_silent(self) -> None:
        """
        No canary was in anything that was said; and something was said.
        """
        self.assertTrue(self.said)
        for said in self.said:
            for canary in CANARIES:
                self.assertNotIn(canary, said)

    def test_the_test(self) -> None:
        """
        This test would find a secret.
        """
        for secret in (PASSWORD, SHARED, HASH, PEM, TOKEN):
            self.said[:] = [secret]
            self.assertRaises(AssertionError, self.assert_silent)
        self.said.clear()
        self.raised(int, PASSWORD)
        self.assertRaises(AssertionError, self.assert_silent)

    def test_objects(self) -> None:
        """
        Objects that have secrets do not show them.
        """
        checker = AccountsChecker(self.path, self.hashers.hashing)
        key = read_signing_key(self.key)
        pem = read_signing_key(write_file(self, PEM))
        throttle = LoginThrottle()
        throttle.failed("192.0.2.1", "alice", 0.0)
        accounts = parse_accounts(Path(self.path).read_bytes(), "accounts")
        credentials = UsernamePassword(b"alice", PASSWORD.encode())
        pending = checker.requestAvatarId(credentials)
        self.shown(checker, self.hashers.hashing, key, pem, Tokens(self.key), throttle, accounts, pending, credentials)
        self.shown(Account("alice", HASH), accounts.everybody, accounts.find("alice"), vars(accounts), vars(checker))
        self.shown(check_token(TOKEN, key, 1e9), vars(Tokens(self.key)))
        self.hashers.run()
        self.assert_silent()

    def test_files(self) -> None:
        """
        Files that are refused are not repeated, whatever is wrong with them.
        """
        for content in (
            PASSWORD,
            f"alice {PASSWORD}",
            f"alice {HASH} {PASSWORD}!",
            f"alice {HASH}!",
            f"a {HASH}\na {HASH}",
        ):
            self.raised(parse_accounts, content.encode(), "accounts")
            self.raised(make_checker, write_file(self, content))
            self.raised(set_account, write_file(self, content), "bob", HASH, None)
        for content in (
            f"{SHARED} x",
            SHARED[:20],
            f"-----BEGIN \n{SHARED}",
            PEM[:-40],
            PEM.replace("M", "!"),
            f"{{{SHARED}}}",
        ):
            self.raised(read_signing_key, write_file(self, content))
            self.raised(read_checking_key, write_file(self, content))
        self.raised(parse_accounts, f"alice {HASH}\n".encode() + b"\xff", "accounts")
        self.raised(read_checking_key, write_file(self, SHARED.encode() + b"\xff"))
        self.raised(read_checking_key, write_file(self, PEM))
        self.raised(read_secret, write_file(self, PASSWORD, 0o644))
        self.raised(create_secret, self.path, PASSWORD.encode())
        self.raised(replace_secret, f"{self.path}/x", PASSWORD.encode())
        self.raised(create_key, self.key)
        self.assert_silent()

    def test_logins(self) -> None:
        """
        A login that fails, in whatever way, says nothing of the password or the hash.
        """
        checker = AccountsChecker(self.path, self.hashers.hashing)
        for name, password in (("bob", PASSWORD), ("alice", f"{PASSWORD}x"), ("alice", PASSWORD * 100)):
            asked = checker.requestAvatarId(UsernamePassword(name.encode(), password.encode()))
            self.hashers.run()
            self.failed(self.failureResultOf(asked))
        for _ in range(HASHERS + WAITING + 1):
            asked = checker.requestAvatarId(UsernamePassword(b"alice", PASSWORD.encode()))
        self.failed(self.failureResultOf(asked))
        self.failed(self.failureResultOf(self.hashers.hashing.verify(HASH, PASSWORD.encode())))
        self.assert_silent()

    def test_a_bug_of_ours(self) -> None:
        """
        A check that breaks is told with its traceback, and without the password.
        """

        def employ(reactor: object) -> Any:
            raise RuntimeError("something of ours is broken")

        checker = AccountsChecker(self.path, HashingPool(lambda: self.hashers, employ))
        asked = checker.requestAvatarId(UsernamePassword(b"alice", PASSWORD.encode()))
        self.failed(self.failureResultOf(asked, RuntimeError))
        forgotten = checker.requestAvatarId(UsernamePassword(b"alice", PASSWORD.encode()))
        del asked, forgotten  # nobody looks at the error any more, and Twisted logs it
        gc.collect()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertTrue(any("Unhandled error in Deferred" in said for said in self.said))
        self.assert_silent()

    def test_passwords(self) -> None:
        """
        A new password that is refused is not repeated.
        """
        for password in (f"{PASSWORD}\n", f" {PASSWORD}", PASSWORD * 100):
            self.raised(check_new_password, password.encode())
        self.raised(check_new_password, PASSWORD.encode() + b"\xff")
        self.assert_silent()

    def test_tokens(self) -> None:
        """
        A token that is refused, for whatever reason, is not repeated.
        """
        key = Key("HS256", SHARED.encode())
        other = Key("HS256", SHARED[::-1].encode())
        for wrong in (
            TOKEN[:-1],
            f"{TOKEN}x",
            TOKEN * 100,
            TOKEN.replace(".", "!"),
            f"{TOKEN}.",
            PASSWORD,
            f"{TOKEN}é",
        ):
            self.raised(check_token, wrong, key, 1e9)
        self.raised(check_token, TOKEN, other, 1e9)
        self.raised(check_token, TOKEN, key, 3e9)
        self.assert_silent()

    def test_commands(self) -> None:
        """
        No command prints a password, a hash or a key, whether it succeeds or not.
        """

        def run(command: Any, *arguments: str, typed: str = "") -> None:
            result = CliRunner().invoke(command, arguments, input=typed)
            self.said += [result.output, repr(result.exception)]

        for typed in (PASSWORD, f" {PASSWORD}", f"{PASSWORD}\n{PASSWORD}"):
            run(passwd.command, self.path, "alice", typed=typed)
        run(passwd.command, self.path, "--list")
        run(passwd.command, self.path, "alice", "--remove")
        run(passwd.command, write_file(self, f"alice {PASSWORD}"), "--list")
        run(token.command, write_file(self, f"{SHARED} x"), "alice")
        run(token.command, "--new-key", self.key)
        run(rules.command, "check", write_file(self, "[[rule]]\n"), "alice", "lobby", "--accounts", self.path)
        self.assert_silent()

    def test_rules(self) -> None:
        """
        Who gives a file of secrets for one of rules does not find them in the log.
        """
        for secret in (SHARED, HASH, PEM, f"alice {HASH}"):
            self.raised(parse_rules, secret.encode(), "rules")
        self.assert_silent()
