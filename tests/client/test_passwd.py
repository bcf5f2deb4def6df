"""
``echochat passwd`` as an operator meets it.
"""

import os
import stat
from pathlib import Path

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.client.commands.passwd import command
from echochat.identity.accounts import Account, read_accounts
from echochat.identity.passwords import verify
from tests.client.processes import start_client, stop_program


def account(path: str, name: str) -> Account:
    """
    The account of this name, which has to be there.
    """
    found = read_accounts(path).find(name)
    assert found is not None
    return found


class PipeTests(SynchronousTestCase):
    """
    With the password on standard input, for programs.
    """

    def setUp(self) -> None:
        self.path = self.mktemp()

    def passwd(self, *arguments: str, typed: bytes | str = b"secret\n") -> Result:
        """
        Run it with the file.
        """
        return CliRunner().invoke(command, [self.path, *arguments], input=typed)

    def test_add(self) -> None:
        """
        The first account makes the file, for its owner only; the password is the line, and the answer does not have it.
        """
        result = self.passwd("Alice", "--group", "staff", "--group", "Ops")
        self.assertEqual((result.exit_code, result.output), (0, f"Alice has an account in {self.path}\n"))
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        self.assertEqual(account(self.path, "alice").groups, {"staff", "ops"})
        self.assertTrue(verify(account(self.path, "alice").phc, b"secret"))

    def test_line_ends(self) -> None:
        """
        The end of the line is not of the password, everything else is.
        """
        for typed, password in (
            (b"a b", b"a b"),
            (b"a b\n", b"a b"),
            (b"a b\r\n", b"a b"),
            ("ä\n".encode(), "ä".encode()),
        ):
            self.assertEqual(self.passwd("alice", typed=typed).exit_code, 0)
            self.assertTrue(verify(account(self.path, "alice").phc, password))

    def test_change(self) -> None:
        """
        Another password, and the groups stay; other groups with another password; other groups or none without.
        """
        self.passwd("alice", "--group", "staff")
        result = self.passwd("ALICE", typed="other")
        self.assertEqual(result.output, f"ALICE has a changed account in {self.path}\n")
        changed = account(self.path, "alice")
        self.assertTrue(verify(changed.phc, b"other"))
        self.assertEqual((changed.name, changed.groups), ("alice", {"staff"}))
        self.passwd("alice", "--group", "ops", "--keep-password", typed="")
        self.assertEqual(account(self.path, "alice"), Account("alice", changed.phc, frozenset({"ops"})))
        self.passwd("alice", "--keep-password", typed="")
        self.assertEqual(account(self.path, "alice"), Account("alice", changed.phc))

    def test_remove_and_list(self) -> None:
        """
        Accounts are listed with their groups and without their hashes, and can be removed.
        """
        self.passwd("alice", "--group", "staff", "--group", "ops")
        self.passwd("bob")
        self.assertEqual(self.passwd("--list").output, "alice  ops,staff\nbob\n")
        self.assertEqual(self.passwd("Alice", "--remove").output, "Alice has no account any more\n")
        self.assertEqual(self.passwd("--list").output, "bob\n")

    def test_refused_passwords(self) -> None:
        """
        What cannot be a password is told, and changes nothing.
        """
        self.passwd("alice")
        before = Path(self.path).read_text()
        for typed, reason in (
            (b"", "empty"),
            (b"\n", "empty"),
            (b"x" * 1025, "at most 1024 bytes"),
            (b"x" * 5000, "at most 1024 bytes"),
            (b"one\ntwo\n", "one line"),
            (b"\xff", "UTF-8"),
        ):
            result = self.passwd("alice", typed=typed)
            self.assertEqual(result.exit_code, 1)
            self.assertIn(reason, result.output)
        self.assertEqual(Path(self.path).read_text(), before)
        self.assertEqual(self.passwd("alice", typed=b"x" * 1024).exit_code, 0)

    def test_refused_names(self) -> None:
        """
        Names and groups that cannot be are told.
        """
        for arguments, reason in (
            (("a b",), "a name is 1 to 32"),
            (("guest",), "a name is 1 to 32"),
            (("alice", "--group", "a,b"), "a group is named as a person"),
            (("alice", "--remove"), "alice has no account in"),
            (("alice", "--keep-password"), "alice has no account in"),
        ):
            result = self.passwd(*arguments)
            self.assertEqual(result.exit_code, 1)
            self.assertIn(reason, result.output)
        self.assertFalse(os.path.exists(self.path))

    def test_slips(self) -> None:
        """
        What does not go together is a usage error; there is no way to give a password on the command line.
        """
        for arguments in (
            (),
            ("alice", "--list"),
            ("alice", "--remove", "--group", "x"),
            ("alice", "--remove", "--keep-password"),
            ("alice", "secret"),
            ("alice", "--password", "secret"),
        ):
            self.assertEqual(self.passwd(*arguments).exit_code, 2, arguments)
        self.assertFalse(os.path.exists(self.path))

    def test_unusable_file(self) -> None:
        """
        A file that the server would refuse is refused, in one line with the reason.
        """
        self.passwd("alice")
        os.chmod(self.path, 0o644)
        for arguments in (("bob",), ("--list",), ("alice", "--remove")):
            result = self.passwd(*arguments)
            self.assertEqual(result.exit_code, 1)
            self.assertEqual(result.output.count("\n"), 1)
            self.assertIn(f"chmod 600 {self.path}", result.output)


class TerminalTests(TestCase):
    """
    With real programs.
    """

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())

    async def type_twice(self, first: bytes, second: bytes) -> tuple[int, bytes]:
        """
        Answer both prompts in a terminal.
        """
        program = start_client("passwd", self.path, "alice", in_terminal=True)
        self.addCleanup(stop_program, program)
        await program.says(rb"Password: ")
        program.types(first + b"\n")
        await program.says(rb"Repeat for confirmation: ")
        program.types(second + b"\n")
        if first != second:
            await program.says(rb"do not match")
            program.types(b"\x03")
        return await program.ends(), program.output

    async def test_prompt(self) -> None:
        """
        In a terminal the password is asked for twice and not shown.
        """
        code, output = await self.type_twice(b"sec ret", b"sec ret")
        self.assertEqual(code, 0)
        self.assertNotIn(b"sec", output)
        self.assertTrue(verify(account(self.path, "alice").phc, b"sec ret"))

    async def test_typed_differently(self) -> None:
        """
        Two passwords that differ set none.
        """
        code, output = await self.type_twice(b"secret", b"sacret")
        self.assertNotEqual(code, 0)
        self.assertNotIn(b"cret", output)
        self.assertFalse(os.path.exists(self.path))

    async def test_many_at_once(self) -> None:
        """
        Of many that change a file at the same time each one's change is in it, and nothing is left but its lock.
        """
        folder = self.mktemp()
        os.mkdir(folder)
        path = f"{folder}/accounts"
        programs = [start_client("passwd", path, f"a{number}") for number in range(8)]
        for program in programs:
            self.addCleanup(stop_program, program)
            program.types(b"secret\n")
            program.transport.closeStdin()
        for program in programs:
            self.assertEqual(await program.ends(), 0)
        self.assertEqual({each.name for each in read_accounts(path).everybody}, {f"a{number}" for number in range(8)})
        self.assertEqual(sorted(os.listdir(folder)), ["accounts", "accounts.lock"])
