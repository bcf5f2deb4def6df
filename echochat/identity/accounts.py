"""
Accounts: a name, what is kept of a password, and groups.

The file that has them is text with a line for each, so that it can be read, compared and kept under version control::

    # anything behind a number sign, and empty lines
    alice  $argon2id$v=19$m=19456,t=2,p=1$...$...  staff,ops
    bob    $argon2id$v=19$m=19456,t=2,p=1$...$...
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from echochat.identity.files import FileRefused, read_secret
from echochat.identity.passwords import is_hash
from echochat.wire.names import fold_name, is_name

RESERVED: Final = frozenset({"guest", "user"})
"""
What access rules call all guests, and all others: nobody can have these for a name.
"""


@dataclass(frozen=True, slots=True)
class Account:
    """
    Somebody who has a password.

    :ivar phc: what is kept of the password.
    :ivar groups: folded, as names are.
    """

    name: str
    phc: str = field(repr=False)
    groups: frozenset[str] = frozenset()


class Accounts:
    """
    All accounts of a file. Two names that differ in letter case only are one.

    :ivar everybody: the accounts, in the order of the file.
    """

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        self.everybody = tuple(accounts)
        self._by_name = {fold_name(account.name): account for account in self.everybody}

    def find(self, name: str) -> Account | None:
        """
        The account of this name, in any letter case.
        """
        return self._by_name.get(fold_name(name))


def is_account_name(name: str) -> bool:
    """
    Tell whether an account can have this name: a legal one that access rules do not use for many people at once.
    """
    return is_name(name) and fold_name(name) not in RESERVED


def read_accounts(path: str) -> Accounts:
    """
    Read a file of accounts.

    :raises FileRefused: others may read it, or a line is wrong.
    """
    return parse_accounts(read_secret(path), path)


def parse_accounts(content: bytes, where: str) -> Accounts:
    """
    Read the text of a file of accounts.

    :param where: its name, for what is said about it.
    :raises FileRefused: names the line; the message has nothing of a line that cannot be read, for that may be a
        password in the wrong place.
    """
    accounts: list[Account] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(lines_of(content, where), 1):
        try:
            account = parse_line(line)
        except ValueError as error:
            raise FileRefused(f"{where}:{number}: {error}") from None
        if account is None:
            continue
        first = lines.setdefault(fold_name(account.name), number)
        if first != number:
            raise FileRefused(f"{where}:{number}: {account.name} has an account already, in line {first}")
        accounts.append(account)
    return Accounts(accounts)


def lines_of(content: bytes, where: str) -> list[str]:
    """
    The lines of a file of accounts, without their ends.

    :raises FileRefused: it is not text.
    """
    wrong = None
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        wrong = content.count(b"\n", 0, error.start) + 1
    if wrong is not None:
        # Not where it was caught: that error has the whole file in it, and would go along with ours.
        raise FileRefused(f"{where}:{wrong}: not UTF-8 text")
    # Not splitlines(): it would find more line ends than an editor, and count other lines.
    return text.removesuffix("\n").split("\n")


def parse_line(line: str) -> Account | None:
    """
    Read one line; None: it has no account.

    :raises ValueError: says what is wrong.
    """
    words = line.split()
    if not words or words[0].startswith("#"):
        return None
    if not is_name(words[0]):
        raise ValueError("a line is NAME HASH GROUP,GROUP, and this does not begin with a name")
    if not is_account_name(words[0]):
        raise ValueError(f"nobody can be named {words[0]}: access rules mean many people by that")
    if len(words) not in (2, 3):
        raise ValueError("a line is NAME HASH, and the groups with commas and no spaces between them")
    if not is_hash(words[1]):
        raise ValueError("what follows the name is not an Argon2id hash: `echochat passwd` makes one")
    return Account(words[0], words[1], parse_groups(words[2].split(",")) if len(words) == 3 else frozenset())


def parse_groups(names: Iterable[str]) -> frozenset[str]:
    """
    Read the names of groups.

    :raises ValueError: one is not a name.
    """
    groups = frozenset(map(fold_name, names))
    if not all(map(is_name, groups)):
        raise ValueError("a group is named as a person: 1 to 32 of A-Z a-z 0-9 . _ -, a letter or digit first")
    return groups


def format_line(account: Account) -> str:
    """
    Write an account as a line of the file, without its end.
    """
    return f"{account.name}  {account.phc}  {','.join(sorted(account.groups))}".rstrip()
