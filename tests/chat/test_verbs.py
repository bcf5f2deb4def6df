"""
Tests for :mod:`echochat.chat.verbs`.
"""

from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.effects import Close, LogIn, Renamed, UseToken
from echochat.chat.verbs import VERBS
from echochat.wire.answers import Err, Info, Ok, parse_answer
from echochat.wire.commands import ALIASES
from tests.chat.conversation import Conversation, make_commons


def answers(said: bytes) -> list[object]:
    """
    What was said, read as a client does.
    """
    return [parse_answer(line) for line in said.decode().split("\r\n")[:-1]]


class CommandTests(SynchronousTestCase):
    """
    Each command is answered by exactly one closing line.
    """

    def test_unknown(self) -> None:
        """
        What is no command is refused, with the label that it had, and says where to find those there are.
        """
        conversation = Conversation()
        for line, label in ((b"/nosuch\n", None), (b"/#x\n", "x"), (b"/\n", None), (b"/ ping\n", None)):
            (answer,) = answers(conversation.say(line))
            self.assertEqual(answer, Err("unknown-command", "there is no such command: /help lists them", label))

    def test_any_letter_case(self) -> None:
        """
        A verb may be typed in any letter case.
        """
        self.assertEqual(Conversation().say(b"/PING x\n/Ping X\n"), b"/ok ping x\r\n/ok ping X\r\n")

    def test_labels(self) -> None:
        """
        Every reply to a labelled command has the label.
        """
        conversation = Conversation()
        for line in (b"/help", b"/ping", b"/whoami", b"/nick bob", b"/nick !", b"/whoami x", b"/quit"):
            verb, _, rest = line.partition(b" ")
            replies = answers(conversation.say(verb + b"#Some.label-1_ " + rest + b"\n"))
            self.assertTrue(replies)
            for reply in replies:
                self.assertEqual(reply.label, "Some.label-1_")  # type: ignore[attr-defined]  # an Echo has none

    def test_bad_label(self) -> None:
        """
        A label that is none cannot be repeated, and the command is not done.
        """
        conversation = Conversation()
        for line in (b"/quit#\n", b"/quit#a/b\n", "/quit#ä\n".encode(), b"/nosuch#!\n", b"/quit#" + b"x" * 65 + b"\n"):
            (answer,) = answers(conversation.say(line))
            self.assertEqual(answer, Err("bad-arguments", "a label is 1 to 64 of A-Z a-z 0-9 . _ -"))
        self.assertIsNone(conversation.closed)

    def test_arguments_where_none_belong(self) -> None:
        """
        A command that takes no arguments is not done when it is given some: they meant something else.
        """
        conversation = Conversation()
        for verb in ("whoami", "quit"):
            (answer,) = answers(conversation.say(f"/{verb} now\n".encode()))
            self.assertEqual(answer, Err("bad-arguments", f"/{verb} takes no arguments"))
        self.assertEqual(conversation.say(b"/whoami   \n"), b"/ok whoami guest-1 guest\r\n")
        self.assertIsNone(conversation.closed)

    def test_no_reflection(self) -> None:
        """
        No explanation repeats what was sent: it may be a secret typed into the wrong line.
        """
        conversation = Conversation()
        for line in (
            "/s3cret",
            "/nick s3cret!",
            "/help s3cret",
            "/whoami s3cret",
            "/ping#s3cret! x",
            "/ping s3cret\x1b",
        ):
            self.assertNotIn(b"s3cret", conversation.say(line.encode() + b"\n"))


class HelpTests(SynchronousTestCase):
    """
    Whoever types ``/help`` knows what to type.
    """

    def test_all(self) -> None:
        """
        Every command has one line, as it is typed, and there is one on messages.
        """
        *items, closing = answers(Conversation().say(b"/help#x\n"))
        self.assertEqual(closing, Ok("help", label="x"))
        self.assertEqual(len(items), len(VERBS) + 1)
        for item, verb in zip(items, VERBS, strict=False):
            assert isinstance(item, Info)
            self.assertTrue(item.text.startswith(f"/{verb}"))
            self.assertTrue(item.text.endswith(VERBS[verb].summary))

    def test_readable_in_a_terminal(self) -> None:
        """
        No line is wider than a terminal that is not narrow, and the summaries stand below each other.
        """
        *items, _, _ = answers(Conversation().say(b"/help\n"))
        columns = set()
        for item, verb in zip(items, VERBS.values(), strict=True):
            assert isinstance(item, Info)
            self.assertLessEqual(len(item.text), 112)
            columns.add(item.text.index(verb.summary))
        self.assertEqual(len(columns), 1)

    def test_one(self) -> None:
        """
        One command can be asked for by its name or an alias, with or without ``/``, in any letter case.
        """
        for asked in ("ping", "/ping", "  PING  "):
            self.assertEqual(
                answers(Conversation().say(f"/help {asked}\n".encode())),
                [Info("/ping [TEXT]  is the server there?"), Ok("help")],
            )
        for alias, verb in ALIASES.items():
            item, _ = answers(Conversation().say(f"/help {alias}\n".encode()))
            assert isinstance(item, Info)
            self.assertTrue(item.text.startswith(f"/{verb} "))

    def test_none(self) -> None:
        """
        Help on what is no command says so.
        """
        for asked in ("nosuch", "//ping", "ping nick"):
            (answer,) = answers(Conversation().say(f"/help#x {asked}\n".encode()))
            self.assertEqual(answer, Err("bad-arguments", "there is no such command: /help lists them", "x"))


class PingTests(SynchronousTestCase):
    """
    A program can ask whether the server is there, and match the answer.
    """

    def test_text(self) -> None:
        """
        The text comes back character by character.
        """
        for rest in ("", " x", "  two  spaces ", " tab\there", " straße 🙂", " key=value #x /y"):
            self.assertEqual(Conversation().say(f"/ping{rest}\n".encode()), f"/ok ping{rest}\r\n".encode())

    def test_control_characters(self) -> None:
        """
        What acts on a terminal is not sent to one.
        """
        for text in ("\x1b[2J", "\x07", "\x7f", "\x9b", "a\rb", "\u2028"):
            (answer,) = answers(Conversation().say(f"/ping#1 {text}\n".encode()))
            self.assertEqual(answer, Err("bad-text", "a text has no control characters but tab", "1"))


class NameTests(SynchronousTestCase):
    """
    Everybody has one name, and nobody two people's.
    """

    def test_guests(self) -> None:
        """
        A guest has a name from the start, and keeps it.
        """
        commons = make_commons()
        for name in (b"guest-1", b"guest-2"):
            conversation = Conversation(commons)
            for _ in range(2):
                self.assertEqual(conversation.say(b"/whoami\n"), b"/ok whoami " + name + b" guest\r\n")

    def test_nick(self) -> None:
        """
        A guest takes another name; the connection is told of both, and others may take the old one.
        """
        commons = make_commons()
        one, other = Conversation(commons), Conversation(commons)
        self.assertEqual(one.say(b"/nick Bob\n/whoami\n"), b"/ok nick Bob\r\n/ok whoami Bob guest\r\n")
        self.assertEqual(one.effects, [Renamed("guest-1", "Bob")])
        one.say(b"/nick alice\n")
        self.assertEqual(other.say(b"/nick bob\n"), b"/ok nick bob\r\n")

    def test_inbox_is_followed(self) -> None:
        """
        Whoever follows an inbox keeps its name, and is told how to give it up; another letter case is the same name.
        """
        conversation = Conversation(make_commons())
        conversation.say(b"/nick Bob\n")
        # Whoever performs the subscription says so.
        conversation.session.person.follows_inbox = True
        refusal = b"/err denied you follow your inbox: /unsub @bob first\r\n"
        self.assertEqual(conversation.say(b"/nick carol\n"), refusal)
        self.assertEqual(conversation.say(b"/nick BOB\n"), b"/ok nick BOB\r\n")
        conversation.session.person.follows_inbox = False
        self.assertEqual(conversation.say(b"/nick carol\n"), b"/ok nick carol\r\n")

    def test_name_in_use(self) -> None:
        """
        A name that somebody has is refused in any letter case, and one's own is kept.
        """
        commons = make_commons()
        Conversation(commons).say(b"/nick Bob\n")
        other = Conversation(commons)
        for name in (b"Bob", b"bob", b"BOB"):
            self.assertEqual(
                other.say(b"/nick " + name + b"\n"), b"/err name-taken somebody has that name: choose another\r\n"
            )
        self.assertEqual(other.say(b"/whoami\n"), b"/ok whoami guest-2 guest\r\n")

    def test_an_accounts_name(self) -> None:
        """
        A guest cannot take a name that an account has, whether its owner is here or not.
        """
        self.assertIn(b"/err name-taken ", Conversation().say(b"/nick ROOT\n"))

    def test_own_name_in_another_case(self) -> None:
        """
        One's own name can be written anew.
        """
        conversation = Conversation()
        conversation.say(b"/nick bob\n")
        self.assertEqual(conversation.say(b"/nick BoB\n/whoami\n"), b"/ok nick BoB\r\n/ok whoami BoB guest\r\n")

    def test_bad_names(self) -> None:
        """
        No name, and what cannot be one, are refused.
        """
        conversation = Conversation()
        for line in ("/nick", "/nick   "):
            (answer,) = answers(conversation.say(line.encode() + b"\n"))
            self.assertEqual(answer, Err("bad-arguments", "type /nick NAME"))
        for name in ("a b", "-a", "ä", "a" * 33, "@bob", "a\x1b"):
            (answer,) = answers(conversation.say(f"/nick {name}\n".encode()))
            assert isinstance(answer, Err)
            self.assertEqual(answer.code, "bad-name")


class LoginTests(SynchronousTestCase):
    """
    Who shows that they are somebody is known by that name from then on.
    """

    def test_password(self) -> None:
        """
        Name and secret are asked of whoever keeps them; a secret may have spaces.
        """
        conversation = Conversation(prompt=False)
        conversation.say(b"/login#x Root  two  words \n")
        (asked,) = conversation.effects
        assert isinstance(asked, LogIn)
        self.assertEqual((asked.name, asked.secret, asked.label), ("Root", " two  words ", "x"))
        self.assertNotIn("words", repr(asked))

    def test_token(self) -> None:
        """
        A token is asked of whoever can read it.
        """
        conversation = Conversation(prompt=False)
        conversation.say(b"/token#x  abc.def \n")
        (asked,) = conversation.effects
        assert isinstance(asked, UseToken)
        self.assertEqual((asked.token, asked.label), ("abc.def", "x"))
        self.assertNotIn("abc", repr(asked))

    def test_name_and_kind(self) -> None:
        """
        ``/whoami`` tells how the name was given; the name that the guest had is free.
        """
        commons = make_commons()
        for line, told in (
            (b"/login root right\n", b"/ok whoami root password\r\n"),
            (b"/token right\n", b"/ok whoami bot token\r\n"),
        ):
            conversation = Conversation(commons)
            conversation.say(b"/nick bob\n" + line)
            self.assertEqual(conversation.say(b"/whoami\n"), told)
            self.assertEqual(conversation.effects[-1], Renamed("bob", told.split()[2].decode()))

    def test_once(self) -> None:
        """
        Whoever is logged in keeps that name.
        """
        conversation = Conversation()
        conversation.say(b"/login root right\n")
        for line, code in (
            (b"/login root right\n", "bad-arguments"),
            (b"/token right\n", "bad-arguments"),
            (b"/nick bob\n", "denied"),
        ):
            (answer,) = answers(conversation.say(line))
            assert isinstance(answer, Err)
            self.assertEqual(answer.code, code)
        self.assertEqual(conversation.say(b"/whoami\n"), b"/ok whoami root password\r\n")

    def test_missing(self) -> None:
        """
        Nothing is asked of anybody when a part is missing or cannot be a name.
        """
        conversation = Conversation()
        for line, code in (
            (b"/login\n", "bad-arguments"),
            (b"/login root\n", "bad-arguments"),
            (b"/login root \n", "bad-arguments"),
            (b"/login !root s3cret\n", "bad-name"),
            (b"/token\n", "bad-arguments"),
            (b"/token  \n", "bad-arguments"),
        ):
            (answer,) = answers(conversation.say(line))
            assert isinstance(answer, Err)
            self.assertEqual(answer.code, code)
            self.assertNotIn("s3cret", answer.explanation)
        self.assertEqual(conversation.effects, [])

    def test_in_the_clear(self) -> None:
        """
        A secret is not taken where others can listen, and the person is told so before anything else.
        """
        conversation = Conversation()
        conversation.session.person.is_private = False
        for line in (b"/login root right\n", b"/login\n", b"/token right\n"):
            (answer,) = answers(conversation.say(line))
            assert isinstance(answer, Err)
            self.assertEqual(answer.code, "tls-required")
        self.assertEqual(conversation.effects, [])


class QuitTests(SynchronousTestCase):
    """
    Whoever leaves is told goodbye once.
    """

    def test_quit(self) -> None:
        """
        Earlier lines are answered, ``/quit`` is, and what follows is not.
        """
        conversation = Conversation()
        self.assertEqual(conversation.say(b"a\n/quit#x\nb\n"), b"A\n/ok#x quit\r\n")
        self.assertEqual(conversation.closed, Close("quit"))
