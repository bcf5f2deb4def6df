"""
Tests for :mod:`echochat.identity.account_edits`.
"""

import os
import stat
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.identity.account_edits import NoSuchAccount, remove_account, set_account
from echochat.identity.accounts import read_accounts
from echochat.identity.files import FileRefused
from tests.identity.doubles import cheap_hash, write_file
from tests.wire.examples import reproducible

ONE = cheap_hash(b"one")
TWO = cheap_hash(b"two")

edits = st.lists(
    st.one_of(
        st.tuples(
            st.just("set"),
            st.sampled_from(["alice", "Alice", "bob", "carol"]),
            st.sampled_from([ONE, TWO, None]),
            st.sampled_from([None, frozenset(), frozenset({"staff"}), frozenset({"ops", "staff"})]),
        ),
        st.tuples(st.just("remove"), st.sampled_from(["ALICE", "bob", "carol"]), st.none(), st.none()),
    )
)


class EditTests(SynchronousTestCase):
    """
    To change one account changes one line.
    """

    def lines(self, path: str) -> list[str]:
        """
        The lines of a file without the heading.
        """
        return Path(path).read_text().splitlines()[1:]

    def test_first_account(self) -> None:
        """
        The file is made with the first account, for its owner only, and says how it is changed.
        """
        path = self.mktemp()
        self.assertTrue(set_account(path, "Alice", ONE, frozenset({"staff", "ops"})))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertIn("echochat passwd", Path(path).read_text().splitlines()[0])
        self.assertEqual(self.lines(path), [f"Alice  {ONE}  ops,staff"])

    def test_other_lines_stay(self) -> None:
        """
        Notes, spaces and other accounts stay as somebody wrote them, and the account keeps its place and letter case.
        """
        path = write_file(self, f"# heading\n\n  bob {TWO}\nAlice\t{ONE}   staff\n# the end")
        self.assertFalse(set_account(path, "aLICE", TWO, None))
        self.assertEqual(self.lines(path), ["", f"  bob {TWO}", f"Alice  {TWO}  staff", "# the end"])
        remove_account(path, "BOB")
        self.assertEqual(self.lines(path), ["", f"Alice  {TWO}  staff", "# the end"])

    def test_groups_only(self) -> None:
        """
        Groups are replaced by others or by none while the password stays.
        """
        path = write_file(self, f"#\nalice {ONE} staff\n")
        set_account(path, "alice", None, frozenset({"ops"}))
        self.assertEqual(self.lines(path), [f"alice  {ONE}  ops"])
        set_account(path, "alice", None, frozenset())
        self.assertEqual(self.lines(path), [f"alice  {ONE}"])

    def test_no_such_account(self) -> None:
        """
        Who has no account has no password to keep, and cannot be removed; the file is as it was.
        """
        path = write_file(self, f"#\nalice {ONE} staff\n")
        before = os.stat(path)
        self.assertRaises(NoSuchAccount, set_account, path, "bob", None, frozenset())
        self.assertRaises(NoSuchAccount, remove_account, path, "bob")
        self.assertEqual(os.stat(path), before)

    def test_broken_file(self) -> None:
        """
        A file that the server would refuse is not touched.
        """
        for content, mode in ((f"alice {ONE}\nbob\n", 0o600), (f"alice {ONE}\n", 0o644)):
            path = write_file(self, content, mode)
            self.assertRaises(FileRefused, set_account, path, "carol", ONE, None)
            self.assertRaises(FileRefused, remove_account, path, "alice")
            self.assertEqual(Path(path).read_text(), content)

    @settings(reproducible, max_examples=60)
    @given(edits)
    def test_any_edits(self, edits: list[tuple[str, str, str | None, frozenset[str] | None]]) -> None:
        """
        After any edits the file has what a dictionary would have.
        """
        path = self.mktemp()
        self.patch(os, "fsync", lambda descriptor: None)  # a disk would make this slow
        model: dict[str, tuple[str, str, frozenset[str]]] = {}
        for verb, name, phc, groups in edits:
            old = model.get(name.lower())
            try:
                if verb == "remove":
                    remove_account(path, name)
                    self.assertIsNotNone(model.pop(name.lower(), None))
                else:
                    self.assertEqual(set_account(path, name, phc, groups), old is None)
                    was_name, was_phc, was_groups = old or (name, "", frozenset())
                    model[name.lower()] = (was_name, phc or was_phc, was_groups if groups is None else groups)
            except NoSuchAccount:
                self.assertIsNone(old)
                self.assertIsNone(phc)
        if os.path.exists(path):
            found = [(account.name, account.phc, account.groups) for account in read_accounts(path).everybody]
            self.assertEqual(found, list(model.values()))
        else:
            self.assertEqual(model, {})
