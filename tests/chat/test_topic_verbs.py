"""
Tests for :mod:`echochat.chat.topic_verbs`.
"""

from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.effects import (
    Effect,
    ListFollowers,
    ListTopics,
    Publish,
    ReadPast,
    Subscribe,
    Unsubscribe,
)
from echochat.chat.people import People
from echochat.chat.person import Commons
from echochat.chat.policy import Allowance
from echochat.wire.answers import Err, parse_answer
from tests.chat.conversation import Conversation, make_commons

HIGHEST = (1 << 63) - 1


def asked(line: str) -> Effect | None:
    """
    What is asked for because of a line that ``Bob`` types; None: it was refused.
    """
    conversation = Conversation()
    conversation.say(b"/nick Bob\n")
    before = len(conversation.effects)
    conversation.say(line.encode() + b"\n")
    effects = conversation.effects[before:]
    assert len(effects) < 2
    return effects[0] if effects else None


def refusal(line: str, conversation: Conversation | None = None) -> tuple[str, str | None]:
    """
    The code and the label with which a line is refused.
    """
    conversation = conversation or Conversation()
    before = len(conversation.effects)
    answer = parse_answer(conversation.say(line.encode() + b"\n").decode().removesuffix("\r\n"))
    assert isinstance(answer, Err), answer
    assert len(conversation.effects) == before
    return answer.code, answer.label


class PublishTests(SynchronousTestCase):
    """
    What is typed is what is stored.
    """

    def published(self, line: str) -> tuple[str, str, str, str | None, list[str]]:
        effect = asked(line)
        assert isinstance(effect, Publish)
        (draft,) = effect.drafts
        return draft.topic, draft.name, draft.text, draft.label, effect.acknowledgements

    def test_text(self) -> None:
        """
        The text begins after exactly one space and runs to the end of the line; it may be empty, and have anything in
        it that is no control character.
        """
        for line, text in (
            ("/pub lobby hi", "hi"),
            ("/pub lobby  two ", " two "),
            ("/pub lobby ", ""),
            ("/pub  lobby a\tb", "a\tb"),
            ("/pub lobby CLOSE SOCKET", "CLOSE SOCKET"),
            ("/pub lobby ß\u00a0日本 😀 a=b /quit", "ß\u00a0日本 😀 a=b /quit"),
        ):
            self.assertEqual(self.published(line), ("lobby", "Bob", text, None, ["/ok pub lobby"]))

    def test_label_and_aliases(self) -> None:
        """
        A label goes with the event and the reply; an alias is answered under the command's own name.
        """
        self.assertEqual(self.published("/say#a.1 lobby hi"), ("lobby", "Bob", "hi", "a.1", ["/ok#a.1 pub lobby"]))
        self.assertEqual(self.published("/PUB#x lobby hi"), ("lobby", "Bob", "hi", "x", ["/ok#x pub lobby"]))

    def test_inbox(self) -> None:
        """
        Writing to somebody is publishing to their inbox, which is one in any letter case.
        """
        self.assertEqual(self.published("/msg Carol hi"), ("@carol", "Bob", "hi", None, ["/ok msg Carol"]))
        self.assertEqual(self.published("/msg#x CAROL  hi"), ("@carol", "Bob", " hi", "x", ["/ok#x msg CAROL"]))
        self.assertEqual(self.published("/pub @Carol hi"), ("@carol", "Bob", "hi", None, ["/ok pub @carol"]))

    def test_several_at_once(self) -> None:
        """
        Publishes that come together are stored as they would have been one by one, with what was typed plainly and
        what was not.
        """
        lines = ["/pub lobby a", "/pub#1 Lobby  b", "/pub x c\t", "/say lobby d", "/pub @Bob e", "/pub  lobby f"]
        conversation = Conversation()
        conversation.say(b"/nick Bob\n")
        conversation.say("".join(f"{line}\r\n" for line in lines).encode())
        conversation.say("".join(f"{line}\n" for line in lines[:3]).encode())
        runs = [effect for effect in conversation.effects if isinstance(effect, Publish)]
        self.assertEqual([len(run.drafts) for run in runs], [6, 3])
        drafts = [draft for run in runs for draft in run.drafts]
        done = [line for run in runs for line in run.acknowledgements]
        alone = [self.published(line) for line in [*lines, *lines[:3]]]
        self.assertEqual(
            [(each.topic, each.name, each.text, each.label, [its]) for each, its in zip(drafts, done, strict=True)],
            alone,
        )

    def test_time(self) -> None:
        """
        An event has the time at which it was asked for.
        """
        commons = Commons(People(), lambda: 1_700_000_000_123, lambda: 0.0)
        conversation = Conversation(commons)
        conversation.say(b"/say lobby a\n/pub lobby b\n")
        conversation.say(b"/pub lobby a\n/pub lobby b\n")
        for effect in conversation.effects:
            assert isinstance(effect, Publish)
            self.assertEqual([draft.time for draft in effect.drafts], [1_700_000_000_123] * 2)

    def test_refused(self) -> None:
        """
        What is incomplete, or no topic, or no name, or has a control character in it, is refused with the label.
        """
        for line, code in (
            ("/pub#x", "bad-arguments"),
            ("/pub#x ", "bad-arguments"),
            ("/pub#x lobby", "bad-arguments"),
            ("/msg#x", "bad-arguments"),
            ("/msg#x bob", "bad-arguments"),
            ("/pub#x -lobby hi", "bad-name"),
            ("/pub#x lob/by hi", "bad-name"),
            ("/pub#x @ hi", "bad-name"),
            ("/pub#x ä hi", "bad-name"),
            (f"/pub#x {'a' * 129} hi", "bad-name"),
            (f"/pub#x @{'a' * 33} hi", "bad-name"),
            ("/msg#x @bob hi", "bad-name"),
            (f"/msg#x {'a' * 33} hi", "bad-name"),
        ):
            self.assertEqual(refusal(line), (code, "x"), line)

    def test_control_characters(self) -> None:
        """
        What would act on another's terminal is refused, wherever in the text it is: C0 but tab, DEL, C1, and the two
        separators.
        """
        for character in [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029"]:
            if character in "\t\n":
                continue
            for line in (f"/pub#x lobby a{character}b", f"/say#x lobby {character}b", f"/msg#x bob a{character}."):
                self.assertEqual(refusal(line), ("bad-text", "x"), repr(line))

    def test_slow_down(self) -> None:
        """
        A publish beyond what a guest may is refused and not stored; what is refused for another reason costs nothing.
        """
        conversation = Conversation(make_commons(), allowance=Allowance(1, 1, 0))
        self.assertEqual(refusal("/pub#x lobby a\x07", conversation), ("bad-text", "x"))
        conversation.say(b"/pub lobby a\n")
        for line in ("/pub#x lobby b", "/msg#x bob b"):
            self.assertEqual(refusal(line, conversation), ("slow-down", "x"))


class UsageTests(SynchronousTestCase):
    """
    What is incomplete is answered with how it is typed.
    """

    def test_as_it_was_typed(self) -> None:
        """
        A command is named as it was typed: whoever knows it by its alias may not know its own name.
        """
        options = "[after=POS] [epoch=E] [last=N] [presence=on]"
        for line, told in (
            ("/pub lobby", "/pub TOPIC TEXT"),
            ("/say", "/say TOPIC TEXT"),
            ("/SAY lobby", "/say TOPIC TEXT"),
            ("/msg bob", "/msg NAME TEXT"),
            ("/sub", f"/sub TOPIC {options}"),
            ("/join", f"/join TOPIC {options}"),
            ("/unsub", "/unsub TOPIC"),
            ("/part", "/part TOPIC"),
            ("/history", "/history TOPIC [last=N] [before=POS]"),
            ("/who", "/who TOPIC"),
        ):
            self.assertEqual(Conversation().say(f"{line}\n".encode()), f"/err bad-arguments type {told}\r\n".encode())


class SubscribeTests(SynchronousTestCase):
    """
    Where a subscription begins is what was typed.
    """

    def test_options(self) -> None:
        """
        Options may stand in any order, in any letter case, before the topic and behind it.
        """
        for line, expected in (
            ("/sub lobby", ("lobby", None, None, None, False)),
            ("/join  Lobby ", ("Lobby", None, None, None, False)),
            ("/sub lobby after=7", ("lobby", 7, None, None, False)),
            ("/sub after=7 lobby epoch=E1", ("lobby", 7, "E1", None, False)),
            ("/sub EPOCH=E1 lobby After=0", ("lobby", 0, "E1", None, False)),
            ("/sub lobby last=0", ("lobby", None, None, 0, False)),
            ("/sub lobby last=100000 presence=on", ("lobby", None, None, 100_000, True)),
            ("/sub lobby presence=ON", ("lobby", None, None, None, True)),
            ("/sub lobby presence=off", ("lobby", None, None, None, False)),
            (f"/sub lobby after={HIGHEST}", ("lobby", HIGHEST, None, None, False)),
            ("/sub @BOB", ("@bob", None, None, None, False)),
        ):
            effect = asked(line)
            assert isinstance(effect, Subscribe), line
            self.assertEqual((effect.topic, effect.after, effect.epoch, effect.last, effect.watches), expected, line)
        effect = asked("/sub#x lobby")
        assert isinstance(effect, Subscribe)
        self.assertEqual(effect.label, "x")

    def test_refused(self) -> None:
        """
        What cannot be meant is refused with the label, and nothing is followed.
        """
        for rest in (
            "",
            "lobby other",
            "after=7",
            "lobby since=7",
            "lobby after=",
            "lobby after=-1",
            "lobby after=+1",
            "lobby after=1_0",
            "lobby after=٣",
            "lobby after=x",
            f"lobby after={HIGHEST + 1}",
            "lobby after=00000000000000000007",
            "lobby last=100001",
            "lobby last=-1",
            "lobby after=1 after=2",
            "lobby after=1 AFTER=1",
            "lobby after=1 last=1",
            "lobby epoch=E1",
            "lobby last=1 epoch=E1",
            "lobby presence=yes",
            "lobby presence=",
        ):
            self.assertEqual(refusal(f"/sub#x {rest}"), ("bad-arguments", "x"), rest)
        for rest in ("-a", "@", "a/b", "#a", "a" * 129):
            self.assertEqual(refusal(f"/sub#x {rest}"), ("bad-name", "x"), rest)

    def test_unsubscribe(self) -> None:
        """
        ``/unsub`` takes a topic and nothing else.
        """
        effect = asked("/part#x @BOB")
        assert isinstance(effect, Unsubscribe)
        self.assertEqual((effect.topic, effect.label), ("@bob", "x"))
        for rest in ("", "a b", "lobby last=1"):
            self.assertEqual(refusal(f"/unsub#x {rest}"), ("bad-arguments", "x"))


class QuestionTests(SynchronousTestCase):
    """
    What was published, and who is there.
    """

    def test_history(self) -> None:
        """
        Fifty events unless told, a thousand at most, before any position.
        """
        for line, expected in (
            ("/history lobby", ("lobby", 50, None)),
            ("/history lobby last=1", ("lobby", 1, None)),
            ("/history before=7 lobby last=1000", ("lobby", 1_000, 7)),
            (f"/history @BOB before={HIGHEST}", ("@bob", 50, HIGHEST)),
        ):
            effect = asked(line)
            assert isinstance(effect, ReadPast), line
            self.assertEqual((effect.topic, effect.last, effect.before), expected)
        for rest in ("", "a b", "lobby last=0", "lobby last=1001", "lobby before=0", "lobby after=1"):
            self.assertEqual(refusal(f"/history#x {rest}"), ("bad-arguments", "x"), rest)

    def test_who(self) -> None:
        """
        ``/who`` takes a topic and nothing else.
        """
        effect = asked("/who#x lobby")
        assert isinstance(effect, ListFollowers)
        self.assertEqual((effect.topic, effect.label), ("lobby", "x"))
        for rest in ("", "a b", "lobby last=1"):
            self.assertEqual(refusal(f"/who#x {rest}"), ("bad-arguments", "x"), rest)

    def test_topics(self) -> None:
        """
        ``/topics`` takes nothing.
        """
        effect = asked("/topics#x  ")
        assert isinstance(effect, ListTopics)
        self.assertEqual(effect.label, "x")
        self.assertEqual(refusal("/topics#x lobby"), ("bad-arguments", "x"))

    def test_inbox_of_another(self) -> None:
        """
        Another's inbox is neither followed nor read, nor is it told who follows it.
        """
        for line in ("/sub#x @bobby", "/history#x @Carol", "/who#x @bo"):
            conversation = Conversation()
            conversation.say(b"/nick Bob\n")
            self.assertEqual(refusal(line, conversation), ("denied", "x"), line)
