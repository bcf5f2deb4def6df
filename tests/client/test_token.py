"""
``echochat token`` as an operator meets it.
"""

import os
import stat
import time

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from echochat.client.commands.token import command
from echochat.identity.keys import read_checking_key
from echochat.identity.tokens import Grants, Token, Tokens, check_token
from echochat.identity.topic_sets import TopicSet
from tests.identity.doubles import write_file
from tests.identity.test_keys import ED25519, SHARED, private_pem, public_key


def token(*arguments: str) -> Result:
    """
    Run it.
    """
    return CliRunner().invoke(command, list(arguments))


class TokenCommandTests(SynchronousTestCase):
    """
    Whoever has a key makes tokens for the server that has its other half.
    """

    def made(self, *arguments: str, key: str | None = None) -> Token:
        """
        Make a token, which has to be good.
        """
        path = key or write_file(self, SHARED)
        result = token(path, *arguments)
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertEqual(result.output.count("\n"), 1)
        return check_token(result.output.strip(), read_checking_key(path), time.time())

    def test_defaults(self) -> None:
        """
        A token is good for an hour, and for all that its owner may do.
        """
        before = time.time()
        made = self.made("alice")
        self.assertEqual((made.name, made.grants), ("alice", None))
        self.assertTrue(before + 3599 <= made.expires <= time.time() + 3600)

    def test_times(self) -> None:
        """
        Times are written with their unit.
        """
        for written, seconds in (("90s", 90), ("30m", 1800), ("12h", 43_200), ("7d", 604_800), ("3650d", 315_360_000)):
            before = time.time()
            made = self.made("alice", "--for", written)
            self.assertTrue(before + seconds - 1 <= made.expires <= time.time() + seconds)
        for wrong in ("", "0s", "1", "1w", "-1h", "1.5h", "1h ", "3651d", "9999999999s"):
            result = token(write_file(self, SHARED), "alice", "--for", wrong)
            self.assertEqual(result.exit_code, 2, wrong)
            self.assertIn("a length of time is written 90s, 30m, 12h or 7d", result.output)

    def test_grants(self) -> None:
        """
        What is granted is all that the token is good for.
        """
        made = self.made("alice", "--read", "news.*", "--read", "@alice", "--publish", "lobby", "--administer", "a*")
        expected = Grants(TopicSet.parse(["news.*", "@alice"]), TopicSet.parse(["lobby"]), TopicSet.parse(["a*"]))
        self.assertEqual(made.grants, expected)
        self.assertEqual(self.made("alice", "--read", "x").grants, Grants(read=TopicSet.parse(["x"])))

    def test_private_key(self) -> None:
        """
        With a private key the server needs the public one only.
        """
        result = token(write_file(self, private_pem(ED25519)), "alice")
        server = Tokens(write_file(self, public_key(ED25519), 0o644))
        self.assertEqual(server.check(result.output.strip(), time.time()).name, "alice")

    def test_slips(self) -> None:
        """
        What cannot be is told in words, and no token is made.
        """
        key = write_file(self, SHARED)
        many = [word for number in range(300) for word in ("--read", f"a-topic-with-a-long-name-{number}")]
        for arguments, code, reason in (
            ((key, "a b"), 2, "a name is 1 to 32"),
            ((key, "guest"), 2, "a name is 1 to 32"),
            ((key,), 2, "Missing argument 'NAME'"),
            ((key, "alice", "--read", "a b"), 1, "'a b' is neither a topic"),
            ((key, "alice", *many), 1, "more topics than a token can have"),
            (("/nowhere", "alice"), 1, "/nowhere cannot be read"),
            ((write_file(self, SHARED, 0o644), "alice"), 1, "chmod 600"),
            ((write_file(self, public_key(ED25519)), "alice"), 1, "the private one is needed"),
        ):
            result = token(*arguments)
            self.assertEqual(result.exit_code, code, result.output)
            self.assertIn(reason, result.output)
            self.assertNotIn(SHARED, result.output)

    def test_new_key(self) -> None:
        """
        A new key needs nothing else, is its owner's only, is not shown, and overwrites nothing.
        """
        path = self.mktemp()
        result = token("--new-key", path)
        self.assertEqual(result.exit_code, 0)
        self.assertEqual(result.output, f"{path} has a new key: start the server with --tokens {path}\n")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        key = read_checking_key(path)
        self.assertEqual(self.made("alice", key=path).name, "alice")
        result = token("--new-key", path)
        self.assertEqual(result.exit_code, 1)
        self.assertIn("exists already", result.output)
        self.assertEqual(read_checking_key(path), key)
