"""
What ``docs/accounts.rst`` shows.
"""

import textwrap
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from echochat.client.commands.rules import command
from echochat.identity.rule_file import parse_rules
from echochat.identity.rules import Person, decide
from tests.identity.doubles import write_file

DOCUMENTATION = (Path(__file__).parents[2] / "docs" / "accounts.rst").read_text()


def example_rules() -> str:
    """
    The file of rules in the documentation.
    """
    block = DOCUMENTATION.partition(".. code-block:: toml\n\n")[2]
    return textwrap.dedent(block.partition("\n``who``")[0])


class DocumentationTests(SynchronousTestCase):
    """
    What the documentation shows is so.
    """

    def test_rules(self) -> None:
        """
        The rules mean what is said beside them.
        """
        rules = parse_rules(example_rules().encode(), "rules")
        guest, alice, bob = Person("g", is_guest=True), Person("alice"), Person("bob", frozenset({"editors"}))
        carol = Person("carol")
        for person in (guest, alice, bob, carol):
            self.assertTrue(decide(rules, person, "publish", "lobby").allowed)
            self.assertEqual(decide(rules, person, "read", "news.today").allowed, person is not guest)
            self.assertEqual(decide(rules, person, "publish", "@alice").allowed, person is not guest)
            self.assertEqual(decide(rules, person, "publish", "news.today").allowed, person in (alice, bob))

    def test_explanation(self) -> None:
        """
        The explanation is what is printed.
        """
        shown = DOCUMENTATION.partition("--accounts accounts\n")[2].partition("\n\n")[0]
        printed = (
            CliRunner().invoke(command, ["check", write_file(self, example_rules()), "alice", "news.today"]).output
        )
        self.assertEqual(textwrap.dedent(shown).strip(), printed.strip())
