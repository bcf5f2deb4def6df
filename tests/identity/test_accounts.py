"""
Tests for :mod:`echochat.identity.accounts`.
"""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.identity.accounts import (
    Account,
    Accounts,
    format_line,
    is_account_name,
    parse_accounts,
    read_accounts,
)
from echochat.identity.files import FileRefused
from tests.identity.doubles import cheap_hash, write_file
from tests.wire.examples import reproducible

HASH = cheap_hash(b"secret")

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", fullmatch=True).filter(is_account_name)
groups = st.frozensets(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,9}", fullmatch=True), max_size=3)
accounts = st.lists(st.builds(Account, names, st.just(HASH), groups), unique_by=lambda account: account.name.lower())
between = st.sampled_from(["", "\n", "# a note\n", "   \t\n", "\t# alice\n"])


class AccountsFileTests(SynchronousTestCase):
    """
    A file of accounts is text that says what it looks like.
    """

    def refusal(self, content: str | bytes) -> str:
        """
        What is said about a file that is wrong.
        """
        encoded = content.encode() if isinstance(content, str) else content
        return str(self.assertRaises(FileRefused, parse_accounts, encoded, "accounts"))

    def test_read(self) -> None:
        """
        Names, hashes and groups, with notes and empty lines between them, and any letter case to ask for a name.
        """
        path = write_file(self, f"# ours\n\nAlice  {HASH}  Staff,ops\n\tbob {HASH}\r\n")
        found = read_accounts(path)
        self.assertEqual(found.everybody, (Account("Alice", HASH, frozenset({"staff", "ops"})), Account("bob", HASH)))
        self.assertEqual(found.find("aLICE"), found.everybody[0])
        self.assertIsNone(found.find("carol"))

    def test_nobody(self) -> None:
        """
        A file without accounts is in order: nobody can log in.
        """
        for content in (b"", b"\n", b"# none yet"):
            self.assertEqual(parse_accounts(content, "accounts").everybody, ())

    def test_readable_by_others(self) -> None:
        """
        A file that others can read is refused.
        """
        self.assertRaises(FileRefused, read_accounts, write_file(self, f"alice {HASH}\n", 0o640 | 0o004))

    def test_wrong_lines(self) -> None:
        """
        What is wrong is told with the number of its line.
        """
        good = f"alice {HASH} staff\n"
        for wrong, reason in (
            (f"-bob {HASH}", "does not begin with a name"),
            (f"{'b' * 33} {HASH}", "does not begin with a name"),
            (f"Guest {HASH}", "nobody can be named Guest"),
            (f"user {HASH}", "nobody can be named user"),
            ("bob", "a line is NAME HASH"),
            (f"bob {HASH} staff ops", "no spaces between them"),
            ("bob secret", "not an Argon2id hash"),
            ("bob $2b$12$abcdefghijklmnopqrstuv", "not an Argon2id hash"),
            (f"bob {HASH} staff,", "a group is named as a person"),
            (f"bob {HASH} @staff", "a group is named as a person"),
            (f"ALICE {HASH}", "ALICE has an account already, in line 2"),
        ):
            refused = self.refusal(f"# one\n{good}\n{wrong}\n")
            self.assertTrue(refused.startswith("accounts:4: "), refused)
            self.assertIn(reason, refused)

    def test_not_text(self) -> None:
        """
        What is not UTF-8 is told with the number of its line, too.
        """
        self.assertEqual(self.refusal(b"#\n#\n#\xff\n"), "accounts:3: not UTF-8 text")

    def test_lines_are_an_editor_s(self) -> None:
        """
        Lines are counted as editors do: what else Unicode calls a line's end is none.
        """
        self.assertTrue(self.refusal("# \u2028 \x0b \x85\nbob\n").startswith("accounts:2: "))

    def test_nothing_is_repeated(self) -> None:
        """
        What cannot be read may be a password in the wrong place, and is not repeated.
        """
        for line in ("canary", "bob canary", f"bob {HASH} canary!", "can:ary", f"bob {HASH} x canary"):
            self.assertNotIn("can", self.refusal(line))
        self.assertNotIn(HASH[-20:], self.refusal(f"bob {HASH}x y z\n"))

    @settings(reproducible, max_examples=100)
    @given(accounts, st.lists(between))
    @example([], [])
    def test_what_was_written_is_read(self, written: list[Account], notes: list[str]) -> None:
        """
        What is written as lines, with any notes between them, is read as it was.
        """
        text = ""
        for number, account in enumerate(written):
            text += (notes[number] if number < len(notes) else "") + format_line(account) + "\n"
        self.assertEqual(parse_accounts(text.encode(), "accounts").everybody, tuple(written))

    @settings(reproducible, max_examples=100)
    @given(
        st.one_of(st.binary(), st.text().map(str.encode), st.lists(st.sampled_from([*"ab# \n,$", HASH])).map("".join))
    )
    def test_anything(self, content: bytes | str) -> None:
        """
        Anything that a file can have is read or refused with the number of a line.
        """
        encoded = content.encode() if isinstance(content, str) else content
        try:
            parse_accounts(encoded, "accounts")
        except FileRefused as refused:
            self.assertRegex(str(refused), r"\Aaccounts:[1-9][0-9]*: [^\n]+\Z")


class AccountTests(SynchronousTestCase):
    """
    An account keeps what is kept of its password to itself.
    """

    def test_repr(self) -> None:
        """
        Neither an account nor all of them show a hash.
        """
        account = Account("alice", HASH)
        self.assertNotIn("argon2", repr(account) + str(account) + repr(Accounts([account])))
