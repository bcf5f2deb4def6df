"""
Tests for :mod:`echochat.wire.commands`.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.wire.commands import (
    ALIASES,
    Command,
    CommandError,
    parse_command,
    parse_publishes,
    split_options,
    split_text,
)
from tests.wire.examples import PIECES, WORDS, reproducible

LABELS = st.text("azAZ09._-", min_size=1, max_size=64)


class ParseCommandTests(SynchronousTestCase):
    """
    What a person types after a ``/`` is understood, or refused with one of the protocol's codes.
    """

    def test_parts(self) -> None:
        """
        A command is a verb in any letter case, perhaps a label, and what follows one space.
        """
        self.assertEqual(parse_command("/help"), Command("help", None, "", "help"))
        self.assertEqual(parse_command("/NICK#a.B-1 Bob"), Command("nick", "a.B-1", "Bob", "nick"))
        self.assertEqual(parse_command("/ping  two spaces "), Command("ping", None, " two spaces ", "ping"))
        self.assertEqual(parse_command("/"), Command("", None, "", ""))
        self.assertEqual(parse_command("/ping a#b"), Command("ping", None, "a#b", "ping"))

    def test_aliases(self) -> None:
        """
        An alias is the command that it stands for, in any letter case; what was typed is known, too.
        """
        for alias, verb in (("join", "sub"), ("PART", "unsub"), ("Say", "pub")):
            self.assertEqual(parse_command(f"/{alias}#1 lobby"), Command(verb, "1", "lobby", alias.lower()))
        self.assertEqual(set(ALIASES), {"join", "part", "say"})

    def test_bad_label(self) -> None:
        """
        A label that is none is refused: it could not be repeated.
        """
        for line in ("/ping#", "/ping# x", "/ping#a#b", "/ping#ä", "/ping#" + "a" * 65, "/ping#a/b x"):
            error = self.assertRaises(CommandError, parse_command, line)
            self.assertEqual(error.code, "bad-arguments")
            self.assertIn("label", error.explanation)

    @reproducible
    @given(st.sampled_from(["ping", "Nick", "WHOAMI", "pub"]), st.none() | LABELS, WORDS)
    def test_what_was_sent(self, verb: str, label: str | None, rest: str) -> None:
        """
        Label and rest are what was typed, character by character.
        """
        line = f"/{verb}#{label} {rest}" if label else f"/{verb} {rest}"
        self.assertEqual(parse_command(line), Command(verb.lower(), label, rest, verb.lower()))


class SplitOptionsTests(SynchronousTestCase):
    """
    Options stand anywhere between the arguments.
    """

    def test_options_and_arguments(self) -> None:
        """
        Words with ``=`` are options with keys in any letter case; one or more spaces separate.
        """
        self.assertEqual(
            split_options("  after=7   lobby Presence=ON e=a=b "),
            (["lobby"], {"after": "7", "presence": "ON", "e": "a=b"}),
        )
        self.assertEqual(split_options(""), ([], {}))

    def test_given_twice(self) -> None:
        """
        Which of two values is meant cannot be known.
        """
        error = self.assertRaises(CommandError, split_options, "lobby last=1 LAST=2")
        self.assertEqual(error.code, "bad-arguments")


class SplitTextTests(SynchronousTestCase):
    """
    A text arrives as it was sent.
    """

    def test_first_word_and_text(self) -> None:
        """
        Exactly one space separates the text, so a text may begin and end with spaces, or be empty.
        """
        self.assertEqual(split_text("lobby hello  you "), ("lobby", "hello  you "))
        self.assertEqual(split_text("  lobby   indented"), ("lobby", "  indented"))
        self.assertEqual(split_text("lobby "), ("lobby", ""))

    def test_no_text(self) -> None:
        """
        No text is something else than an empty one.
        """
        self.assertEqual(split_text("lobby"), ("lobby", None))
        self.assertEqual(split_text(""), ("", None))

    @reproducible
    @given(WORDS)
    def test_any_text(self, text: str) -> None:
        """
        Whatever the text is, it comes back.
        """
        self.assertEqual(split_text(f"lobby {text}"), ("lobby", text))


class ParsePublishesTests(SynchronousTestCase):
    """
    What a program publishes in one go is read in one go, and means what each line means alone.
    """

    def test_as_they_are_mostly_typed(self) -> None:
        """
        Publishes to topics, with and without a label, with either end, are read together.
        """
        self.assertEqual(
            parse_publishes("/pub lobby hi\n/pub#a.1 x  straße \r\n/pub x \n".encode()),
            [("", "lobby", "hi"), ("a.1", "x", " straße "), ("", "x", "")],
        )

    def test_anything_else(self) -> None:
        """
        One line that is something else, or not valid, and all are left to whoever goes line by line.
        """
        for line in (
            b"hello",
            b"",
            b"/ping",
            b"/pub",
            b"/pub lobby",
            b"/pub  lobby two spaces",
            b"/PUB lobby hi",
            b"/say lobby hi",
            b"/pub @bob hi",
            b"/pub !lobby hi",
            b"/pub# lobby hi",
            b"/pub#! lobby hi",
            b"/pub#" + b"a" * 65 + b" lobby hi",
            b"/pub " + b"a" * 129 + b" hi",
            b"/pub lobby a\x1bb",
            b"/pub lobby a\rb",
            b"/pub lobby a\r",
            "/pub lobby a\u2028b".encode(),
            b"/pub lobby caf\xe9",
            b"x /pub lobby hi",
        ):
            for chunk in (line + b"\r\n", b"/pub lobby a\n" + line + b"\n", line + b"\n/pub lobby b\n"):
                if not line.endswith(b"\r") or b"\r\r\n" in chunk:
                    self.assertIsNone(parse_publishes(chunk), chunk)

    @reproducible
    @given(
        st.lists(
            st.tuples(st.sampled_from([b"/pub lobby ", b"/pub#a lobby ", b"/pub @a ", b"/pub"]), PIECES).map(b"".join),
            max_size=4,
        )
    )
    def test_same_as_line_by_line(self, lines: list[bytes]) -> None:
        """
        Whatever is read together is what the lines are, one by one.
        """
        chunk = b"".join([line.rstrip(b"\r\n") + b"\r\n" for line in lines])
        publishes = parse_publishes(chunk)
        if publishes is None:
            return
        for text, (label, topic, words) in zip(chunk.decode().split("\r\n"), publishes, strict=False):
            command = parse_command(text)
            self.assertEqual((command.verb, command.label), ("pub", label or None))
            self.assertEqual(split_text(command.rest), (topic, words))
