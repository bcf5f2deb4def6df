"""
Tests for :mod:`echochat.identity.rule_file`.
"""

import json
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.identity import rule_file
from echochat.identity.files import FileRefused
from echochat.identity.rule_file import AccessRules, parse_rules, read_rules
from echochat.identity.rules import ACTIONS, Person, Rule, decide
from echochat.identity.topic_sets import TopicSet
from tests.identity.doubles import write_file
from tests.identity.test_topic_sets import patterns
from tests.wire.examples import reproducible

GOOD = """\
[[rule]]
who = "*"
may = "read"
topics = "lobby"
"""


def example_in_documentation() -> str:
    """
    The example that the module shows.
    """
    assert rule_file.__doc__ is not None
    return "\n".join(line[4:] for line in rule_file.__doc__.split("\n") if line.startswith("    "))


class RuleFileTests(SynchronousTestCase):
    """
    A file of rules is TOML, and what is wrong in it is told with its line.
    """

    def refusal(self, text: str | bytes) -> str:
        """
        What is said about a file that is wrong.
        """
        content = text if isinstance(text, bytes) else text.encode()
        return str(self.assertRaises(FileRefused, parse_rules, content, "rules"))

    def test_documentation(self) -> None:
        """
        The example of the documentation means what it says.
        """
        rules = parse_rules(example_in_documentation().encode(), "rules")
        self.assertEqual(len(rules), 2)
        guest, alice, carol = Person("x", is_guest=True), Person("Alice"), Person("carol", frozenset({"staff"}))
        self.assertTrue(decide(rules, guest, "publish", "news.today").allowed)
        self.assertFalse(decide(rules, guest, "administer", "lobby").allowed)
        for person in (guest, alice, carol):
            self.assertTrue(decide(rules, person, "read", "help").allowed)
            self.assertFalse(decide(rules, person, "publish", "help").allowed)

    def test_lines(self) -> None:
        """
        A rule knows its line, however the file is laid out.
        """
        text = (
            f"# ours\n\n{GOOD}\r\n  [[ rule ]] # the second\nwho=[\n'alice',\n]\nmay='read'\ntopics='x'\n[['rule']]\n"
        )
        rules = parse_rules((text + "who='Bob'\nmay=['read','publish']\ntopics=['@Bob']").encode(), "rules")
        self.assertEqual(
            rules,
            (
                Rule(frozenset({"*"}), frozenset({"read"}), TopicSet.parse(["lobby"]), 3),
                Rule(frozenset({"alice"}), frozenset({"read"}), TopicSet.parse(["x"]), 8),
                Rule(frozenset({"bob"}), frozenset({"read", "publish"}), TopicSet.parse(["@bob"]), 14),
            ),
        )

    def test_no_rules(self) -> None:
        """
        A file without rules is in order: it allows nothing.
        """
        for text in (b"", b"# none yet\n", b"rule = []"):
            self.assertEqual(parse_rules(text, "rules"), ())

    def test_wrong_rules(self) -> None:
        """
        A wrong rule is named by its line, and what is wrong in it by its words.
        """
        for wrong, reason in (
            ("who = 'x'\nmay = 'read'", "topics is missing"),
            ("who = 'x'\ntopics = 'x'", "may is missing"),
            ("may = 'read'\ntopics = 'x'", "who is missing"),
            ("who = 'x'\nmay = 'read'\ntopic = 'x'", "'topic' is not understood"),
            ("who = 1\nmay = 'read'\ntopics = 'x'", "who is a text or a list of texts"),
            ("who = []\nmay = 'read'\ntopics = 'x'", "who is a text or a list of texts, and not empty"),
            ("who = ['x', 1]\nmay = 'read'\ntopics = 'x'", "who is a text or a list of texts"),
            ("who = {}\nmay = 'read'\ntopics = 'x'", "who is a text or a list of texts"),
            ("who = 'a b'\nmay = 'read'\ntopics = 'x'", "'a b' is none of *, guest, user, a name, and @"),
            ("who = '@'\nmay = 'read'\ntopics = 'x'", "'@' is none of"),
            ("who = '@*'\nmay = 'read'\ntopics = 'x'", "'@*' is none of"),
            ("who = 'a*'\nmay = 'read'\ntopics = 'x'", "'a*' is none of"),
            ("who = ''\nmay = 'read'\ntopics = 'x'", "'' is none of"),
            ("who = 'x'\nmay = 'write'\ntopics = 'x'", "'write' is none of read, publish, administer"),
            ("who = 'x'\nmay = '*'\ntopics = 'x'", "'*' is none of read"),
            ("who = 'x'\nmay = []\ntopics = 'x'", "may is a text or a list of texts, and not empty"),
            ("who = 'x'\nmay = 'read'\ntopics = 'a*b'", "'a*b' is neither a topic nor the beginning of one"),
            ("who = 'x'\nmay = 'read'\ntopics = false", "topics is a text or a list of texts"),
        ):
            for around in ("{0}[[rule]]\n{1}\n", "{0}[[rule]]\n{1}\n{0}"):
                refused = self.refusal(around.format(GOOD, wrong))
                self.assertTrue(refused.startswith("rules:5: in the rule that begins here, "), refused)
                self.assertIn(reason, refused)

    def test_wrong_files(self) -> None:
        """
        What is not TOML is told with the place that the parser tells; what is no list of rules is, too.
        """
        self.assertRegex(self.refusal(GOOD + "who = x\n"), r"\Arules is not TOML: .*line 5")
        self.assertRegex(self.refusal("[[rule]]\nwho = 'a'\nwho = 'b'\n"), "line 3")
        self.assertEqual(self.refusal(b"\xff"), "rules is not UTF-8 text")
        self.assertEqual(self.refusal("rules = 1"), "rules: 'rules' is not understood: each rule begins with [[rule]]")
        self.assertIn("'default' is not understood", self.refusal(f"default = 'allow'\n{GOOD}"))
        for text in ("rule = 1", "[rule]", "rule = ['x']", "rule = [{who='x', may='read', topics='x'}]"):
            self.assertEqual(self.refusal(text), "rules: each rule begins with a line [[rule]]")

    def test_header_in_a_text(self) -> None:
        """
        What looks like a rule's first line inside a text does not shift the others' lines: the file is refused.
        """
        text = f"[[rule]]\nwho = '''\n[[rule]]\n'''\nmay = 'read'\ntopics = 'x'\n{GOOD}"
        self.assertEqual(self.refusal(text), "rules: each rule begins with a line [[rule]]")

    def test_deep(self) -> None:
        """
        A file of nothing but brackets does not exhaust the stack.
        """
        self.refusal("rule = " + "[" * 100_000)

    def test_permissions_of_the_file(self) -> None:
        """
        Rules may be known, but whoever can change them can do anything: a file that everybody can change is refused.
        """
        self.assertEqual(len(read_rules(write_file(self, GOOD, 0o644))), 1)
        refused = self.assertRaises(FileRefused, read_rules, write_file(self, GOOD, 0o666))
        self.assertIn("can be changed by everybody", str(refused))

    @settings(reproducible, max_examples=100)
    @given(
        st.lists(
            st.tuples(
                st.lists(st.sampled_from(["*", "guest", "user", "Alice", "@Staff"]), min_size=1),
                st.lists(st.sampled_from(ACTIONS), min_size=1),
                st.lists(patterns, min_size=1, max_size=3),
                st.sampled_from(["", "\n", "# [[rule]]\n", "\r\n\t\n"]),
            ),
            max_size=4,
        )
    )
    def test_what_was_written_is_read(self, written: list[tuple[list[str], list[str], list[str], str]]) -> None:
        """
        Any rules, with anything between them, are read as they were meant, each with its own line.
        """
        text = ""
        lines = []
        for who, may, topics, between in written:
            text += between
            lines.append(text.count("\n") + 1)
            text += f"[[rule]]\nwho = {json.dumps(who)}\nmay = {json.dumps(may)}\ntopics = {json.dumps(topics)}\n"
        rules = parse_rules(text.encode(), "rules")
        self.assertEqual([rule.line for rule in rules], lines)
        for rule, (who, may, topics, _) in zip(rules, written, strict=True):
            self.assertEqual(rule.who, {word.lower() for word in who})
            self.assertEqual(rule.may, set(may))
            self.assertEqual(rule.topics, TopicSet.parse(topics))

    @settings(reproducible, max_examples=100)
    @given(st.binary() | st.lists(st.sampled_from([*GOOD.splitlines(True), "[", "'''", "=", "x\n", "\n"])).map("".join))
    @example("[[rule]]\n[[rule]]\n")
    @example("[[rule]]\n[[rule.who]]\n")
    def test_anything(self, content: bytes | str) -> None:
        """
        Anything that a file can have is read or refused in one line.
        """
        try:
            parse_rules(content if isinstance(content, bytes) else content.encode(), "rules")
        except FileRefused as refused:
            self.assertNotIn("\n", str(refused))


class AccessRulesTests(SynchronousTestCase):
    """
    The rules that a server has.
    """

    def permitted(self, rules: AccessRules, **person: Any) -> bool:
        """
        Whether somebody may read the lobby.
        """
        return rules.permissions(Person("alice", **person)).may_read("lobby")

    def test_without_a_file(self) -> None:
        """
        Without a file everything is allowed, and there is nothing to read again.
        """
        rules = AccessRules()
        rules.reload()
        self.assertIsNone(rules.rules)
        self.assertTrue(self.permitted(rules, is_guest=True))

    def test_reload(self) -> None:
        """
        New rules are kept to, by permissions that are asked for then; a broken file is told, and changes nothing.
        """
        path = write_file(self, GOOD)
        rules = AccessRules(path)
        self.assertTrue(self.permitted(rules))
        Path(path).write_text(GOOD.replace("*", "guest"))
        self.assertTrue(self.permitted(rules))
        rules.reload()
        self.assertFalse(self.permitted(rules))
        Path(path).write_text(f"{GOOD}[[rule]]\n")
        self.assertIn(f"{path}:5: ", str(self.assertRaises(FileRefused, rules.reload)))
        self.assertFalse(self.permitted(rules))
        self.assertTrue(self.permitted(rules, is_guest=True))
