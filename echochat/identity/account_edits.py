"""
Changing a file of accounts: one line changes, and all others stay as they were written.
"""

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from echochat.identity.accounts import Account, format_line, lines_of, parse_accounts, parse_line
from echochat.identity.files import changing, read_secret, replace_secret
from echochat.wire.names import fold_name

_HEADING: Final = "# NAME  HASH  GROUP,GROUP: changed with `echochat passwd`. Tell the server to reload afterwards."


class NoSuchAccount(Exception):
    """
    There is no account of this name in the file.
    """


def set_account(path: str, name: str, phc: str | None, groups: frozenset[str] | None) -> bool:
    """
    Add an account, or change one; the file is made when there is none.

    :param name: the letter case of a new account; one that is there keeps its own.
    :param phc: what is kept of the password; None: as it was.
    :param groups: all its groups, folded; None: as they were.
    :return: whether it was added.
    :raises NoSuchAccount: it has no password to keep.
    :raises FileRefused: the file cannot be used or written; it is as it was.
    """
    with changing(path):
        lines = _lines(path)
        place = _place(lines, name)
        if place is None:
            if phc is None:
                raise NoSuchAccount(name)
            lines.append(format_line(Account(name, phc, groups or frozenset())))
        else:
            account = parse_line(lines[place])
            assert account is not None
            changed = replace(
                account,
                phc=account.phc if phc is None else phc,
                groups=account.groups if groups is None else groups,
            )
            lines[place] = format_line(changed)
        _write(path, lines)
    return place is None


def remove_account(path: str, name: str) -> None:
    """
    Remove an account.

    :raises NoSuchAccount: there was none.
    :raises FileRefused: the file cannot be used or written; it is as it was.
    """
    with changing(path):
        lines = _lines(path)
        place = _place(lines, name)
        if place is None:
            raise NoSuchAccount(name)
        del lines[place]
        _write(path, lines)


def _lines(path: str) -> list[str]:
    if not os.path.exists(path):
        return [_HEADING]
    content = read_secret(path)
    # What the server would refuse is not made worse.
    parse_accounts(content, path)
    return lines_of(content, path)


def _place(lines: Iterable[str], name: str) -> int | None:
    for place, line in enumerate(lines):
        account = parse_line(line)
        if account is not None and fold_name(account.name) == fold_name(name):
            return place
    return None


def _write(path: str, lines: list[str]) -> None:
    replace_secret(path, "".join(f"{line}\n" for line in lines).encode())
