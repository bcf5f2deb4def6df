"""
Tests for :mod:`echochat.identity.rules`.
"""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.policy import canonical_topic
from echochat.identity.rules import ACTIONS, Action, Decision, Permissions, Person, Rule, decide
from echochat.identity.tokens import Grants
from echochat.identity.topic_sets import TopicSet
from tests.identity.test_topic_sets import naively_in, patterns, topics
from tests.wire.examples import reproducible

ALICE = Person("Alice", frozenset({"staff"}))
BOB = Person("bob")
GUEST = Person("guest-1", is_guest=True)
# Guests choose their names, and may choose one that rules have, and that no account has.
FALSE_ALICE = Person("alice", is_guest=True)
# A certificate can have any name.
NAMED_GUEST = Person("guest")
NAMED_USER = Person("user", frozenset({"user"}))

PEOPLE = (ALICE, BOB, GUEST, FALSE_ALICE, NAMED_GUEST, NAMED_USER)


def rule(who: str, may: Action, *topics: str, line: int = 1) -> Rule:
    """
    A rule for one kind of people and one action.
    """
    return Rule(frozenset({who}), frozenset({may}), TopicSet.parse(list(topics)), line)


def permitted(permissions: Permissions, action: Action, topic: str) -> bool:
    """
    What the permissions say.
    """
    ask = {
        "read": permissions.may_read,
        "publish": permissions.may_publish,
        "administer": permissions.may_administer,
    }[action]
    return ask(canonical_topic(topic))


class DecisionTests(SynchronousTestCase):
    """
    Whether something is allowed follows from four things: who, what, where, and the rules.
    """

    def decision(self, rules: Sequence[Rule] | None, person: Person, action: Action, topic: str) -> Decision:
        """
        Decide, in both ways that there are.
        """
        decision = decide(rules, person, action, topic)
        self.assertEqual(permitted(Permissions(rules, person), action, topic), decision.allowed, decision.why)
        return decision

    def test_who(self) -> None:
        """
        Whom each word means: guests are meant by ``*`` and ``guest`` only, whatever they call themselves, and nobody
        becomes a guest or everybody by their name.
        """
        table = {
            "*": PEOPLE,
            "guest": (GUEST, FALSE_ALICE),
            "user": (ALICE, BOB, NAMED_GUEST, NAMED_USER),
            "alice": (ALICE,),
            "bob": (BOB,),
            "@staff": (ALICE,),
            "@user": (NAMED_USER,),
            "@alice": (),
            "carol": (),
        }
        for word, meant in table.items():
            for person in PEOPLE:
                for action in ACTIONS:
                    decision = self.decision([rule(word, action, "lobby")], person, action, "lobby")
                    self.assertEqual(decision.allowed, person in meant, f"{word} {person}")

    def test_action(self) -> None:
        """
        Each action is allowed by rules for it alone: who may administer a topic may not read it for that.
        """
        for allowed in ACTIONS:
            for action in ACTIONS:
                decision = self.decision([rule("*", allowed, "lobby")], ALICE, action, "lobby")
                self.assertEqual(decision.allowed, action == allowed)

    def test_topic(self) -> None:
        """
        Each action is allowed on the topics of its rule, and on no others.
        """
        table = {
            "lobby": ("lobby",),
            "news.*": ("news.", "news.today"),
            "*": ("lobby", "lobby2", "Lobby", "news", "news.", "news.today"),
            "@*": (),
        }
        for pattern, covered in table.items():
            for topic in table["*"]:
                for action in ACTIONS:
                    decision = self.decision([rule("*", action, pattern)], BOB, action, topic)
                    self.assertEqual(decision.allowed, topic in covered, f"{pattern} {topic}")

    def test_every_cell(self) -> None:
        """
        The whole table: an action, whether there are no rules, rules that allow it, or others; whether a token grants
        it, does not, or says nothing; and a topic, one's own inbox, or another's.
        """
        granting = Grants(*(TopicSet.parse(["lobby", "@*"]) for _ in ACTIONS))
        silent = "the token does not grant"
        table: dict[tuple[str, str], tuple[str, str, str]] = {
            # (topic, action): without rules, by rules that allow it, by rules for something else
            ("lobby", "read"): ("no access rules", "rule in line 7", "no rule allows"),
            ("lobby", "publish"): ("no access rules", "rule in line 7", "no rule allows"),
            ("lobby", "administer"): ("no access rules", "rule in line 7", "no rule allows"),
            ("@Alice", "read"): ("their own inbox", "their own inbox", "their own inbox"),
            ("@alice", "publish"): ("no access rules", "rule in line 7", "no rule allows"),
            ("@alice", "administer"): ("no access rules", "rule in line 7", "no rule allows"),
            ("@bob", "read"): ("only bob may read", "only bob may read", "only bob may read"),
            ("@bob", "publish"): ("no access rules", "rule in line 7", "no rule allows"),
            ("@bob", "administer"): ("no access rules", "rule in line 7", "no rule allows"),
        }
        for (topic, written), reasons in table.items():
            (action,) = (each for each in ACTIONS if each == written)
            cases = (None, [rule("alice", action, topic, line=7)], [rule("alice", action, "elsewhere")])
            for rules, reason in zip(cases, reasons, strict=True):
                for grants in (None, granting, Grants()):
                    decision = self.decision(rules, replace(ALICE, grants=grants), action, topic)
                    expected = silent if grants == Grants() and "only" not in reason else reason
                    self.assertIn(expected, decision.why)
                    self.assertEqual(decision.allowed, not expected.startswith(("only", "no rule", "the token")))
                    self.assertEqual(decision.line, 7 if "line 7" in expected else None)

    def test_no_rules_is_not_no_file(self) -> None:
        """
        Once there is a file, what it does not allow is denied: a file without rules denies everything.
        """
        for person in PEOPLE:
            for action in ACTIONS:
                self.assertTrue(self.decision(None, person, action, "lobby").allowed)
                self.assertFalse(self.decision([], person, action, "lobby").allowed)

    def test_any_rule_will_do(self) -> None:
        """
        Rules only allow, so their order does not matter; the reason is the first that allows it.
        """
        rules = [
            rule("guest", "read", "lobby", line=1),
            rule("alice", "read", "news", line=2),
            rule("@staff", "read", "l*", line=3),
            rule("*", "read", "lobby", line=4),
        ]
        self.assertEqual(self.decision(rules, ALICE, "read", "lobby").line, 3)
        self.assertEqual(self.decision(rules[::-1], ALICE, "read", "lobby").line, 4)

    def test_reasons_are_the_operator_s(self) -> None:
        """
        A reason says who, what and where.
        """
        self.assertEqual(decide([], BOB, "publish", "lobby"), Decision(False, "no rule allows bob to publish lobby"))


words = st.sampled_from(["*", "guest", "user", "alice", "bob", "@staff", "@ops"])
people = st.builds(
    Person,
    st.sampled_from(["Alice", "alice", "bob", "guest", "user", "a", "aA"]),
    st.frozensets(st.sampled_from(["staff", "ops", "alice"])),
    st.booleans(),
)
written_rules = st.lists(
    st.tuples(st.frozensets(words), st.frozensets(st.sampled_from(ACTIONS)), st.lists(patterns, max_size=3)), max_size=4
)
written_grants = st.none() | st.dictionaries(st.sampled_from(ACTIONS), st.lists(patterns, max_size=2))


def naively(
    rules: list[tuple[frozenset[str], frozenset[Action], list[str]]],
    grants: dict[Action, list[str]] | None,
    person: Person,
    action: Action,
    topic: str,
) -> bool:
    """
    The documentation, word by word.
    """
    inbox = topic.startswith("@")
    if grants is not None and not naively_in(topic, grants.get(action, [])):
        return False
    if inbox and action == "read":
        return topic == f"@{person.name.lower()}"
    for who, may, where in rules:
        for word in who:
            meant = (
                word == "*"
                or (word == "guest" and person.is_guest)
                or (word == "user" and not person.is_guest)
                or (word == person.name.lower() and not person.is_guest and word not in ("guest", "user"))
                or (word.startswith("@") and word[1:] in person.groups and not person.is_guest)
            )
            if meant and action in may and naively_in(topic, where):
                return True
    return False


class ModelTests(SynchronousTestCase):
    """
    Decisions are what the documentation says.
    """

    @reproducible
    @given(written_rules, written_grants, people, st.sampled_from(ACTIONS), topics)
    def test_decisions(
        self,
        written: list[tuple[frozenset[str], frozenset[Action], list[str]]],
        claim: dict[Action, list[str]] | None,
        person: Person,
        action: Action,
        topic: str,
    ) -> None:
        """
        For any rules, tokens, people and topics the decision, the permissions and a naive model agree.
        """
        rules = [Rule(who, may, TopicSet.parse(where), 1) for who, may, where in written]
        person = replace(person, grants=None if claim is None else Grants.parse(claim))
        expected = naively(written, claim, person, action, canonical_topic(topic))
        self.assertEqual(decide(rules, person, action, topic).allowed, expected)
        self.assertEqual(permitted(Permissions(rules, person), action, topic), expected)
