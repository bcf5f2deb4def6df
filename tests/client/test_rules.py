"""
``echochat rules`` as an operator meets it.
"""

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from echochat.client.commands.rules import command
from tests.identity.doubles import cheap_hash, write_file

RULES = """\
[[rule]]
who = "*"
may = "read"
topics = "lobby"

[[rule]]
who = ["@staff", "bob"]
may = ["read", "publish"]
topics = "*"
"""


class CheckTests(SynchronousTestCase):
    """
    What is allowed is told with the reason.
    """

    def setUp(self) -> None:
        self.path = write_file(self, RULES, 0o644)

    def check(self, *arguments: str, path: str | None = None) -> Result:
        """
        Run it with the file.
        """
        return CliRunner().invoke(command, ["check", path or self.path, *arguments])

    def told(self, *arguments: str) -> list[str]:
        """
        What is told, line by line.
        """
        result = self.check(*arguments)
        self.assertEqual(result.exit_code, 0, result.output)
        return result.output.splitlines()

    def test_reasons(self) -> None:
        """
        For each action: whether it is allowed, and by which line, or that none allows it.
        """
        self.assertEqual(
            self.told("bob", "lobby"),
            [
                "read        yes  the rule in line 1 allows it",
                "publish     yes  the rule in line 6 allows it",
                "administer  no   no rule allows bob to administer lobby",
            ],
        )

    def test_inbox(self) -> None:
        """
        That an inbox is its owner's is said.
        """
        self.assertIn("only alice may read this inbox, whatever the rules say", self.told("bob", "@Alice")[0])
        self.assertIn("everybody may read their own inbox", self.told("bob", "@Bob")[0])

    def test_groups(self) -> None:
        """
        Groups are given, or those of the account.
        """
        accounts = write_file(self, f"Alice {cheap_hash(b'secret')} Staff\n")
        yes = "publish     yes  the rule in line 6 allows it"
        no = "publish     no   no rule allows alice to publish news"
        self.assertEqual(self.told("alice", "news")[1], no)
        self.assertEqual(self.told("alice", "news", "--group", "ops", "--group", "Staff")[1], yes)
        self.assertEqual(self.told("alice", "news", "--accounts", accounts)[1], yes)
        self.assertIn(" no ", self.told("carol", "news", "--accounts", accounts)[1])

    def test_guest(self) -> None:
        """
        A guest who calls himself as somebody else is a guest.
        """
        self.assertIn(" no ", self.told("bob", "news", "--guest")[0])
        self.assertIn(" no ", self.told("bob", "news", "--guest", "--group", "staff")[0])
        self.assertIn(" yes ", self.told("bob", "lobby", "--guest")[0])

    def test_file_alone(self) -> None:
        """
        Whether a file is in order can be known before the server reads it.
        """
        self.assertEqual(self.told(), [f"{self.path} is in order: 2 rules"])
        broken = write_file(self, RULES.replace('"*"', '"* *"'), 0o644)
        result = self.check(path=broken)
        self.assertEqual(result.exit_code, 1)
        self.assertIn(f"{broken}:1: in the rule that begins here, who: '* *'", result.output)

    def test_slips(self) -> None:
        """
        What cannot be is told.
        """
        for arguments, code, reason in (
            (("bob",), 2, "give a TOPIC"),
            (("a b", "lobby"), 1, "a b is not a name"),
            (("bob", "a b"), 1, "a b is not a topic"),
            (("bob", "lobby", "--group", "@x"), 1, "a group is named as a person"),
            (("bob", "lobby", "--accounts", "/nowhere"), 1, "/nowhere cannot be read"),
        ):
            result = self.check(*arguments)
            self.assertEqual(result.exit_code, code)
            self.assertIn(reason, result.output)
