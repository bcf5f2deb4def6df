"""
``echochat passwd``: the accounts of a server.
"""

import sys

import click

from echochat.identity.account_edits import NoSuchAccount, remove_account, set_account
from echochat.identity.accounts import is_account_name, parse_groups, read_accounts
from echochat.identity.files import FileRefused
from echochat.identity.passwords import MAX_PASSWORD, PasswordRefused, check_new_password, hash_password


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.argument("name", required=False)
@click.option("--group", "groups", multiple=True, metavar="GROUP", help="All groups of the account. Repeatable.")
@click.option("--keep-password", is_flag=True, help="Change the groups only: to those of --group, or to none.")
@click.option("--remove", is_flag=True, help="Remove the account.")
@click.option("--list", "listing", is_flag=True, help="List all accounts and their groups.")
def command(
    file: str, name: str | None, groups: tuple[str, ...], keep_password: bool, remove: bool, listing: bool
) -> None:
    """
    Add an account to FILE, or change its password: the server is started with --auth argon2:FILE.

    The password is asked for twice, or is the line on standard input when that is no terminal. Without --group an
    account keeps its groups. A server that runs reads the file again when it is told to reload.
    """
    if [listing, remove, keep_password or bool(groups)].count(True) > 1 or listing == (name is not None):
        raise click.UsageError("give a NAME with --group, --keep-password or --remove, or --list alone")
    try:
        if name is None:
            _list(file)
        elif remove:
            remove_account(file, name)
            click.echo(f"{name} has no account any more", err=True)
        else:
            _set(file, name, groups, keep_password)
    except NoSuchAccount as error:
        raise click.ClickException(f"{error} has no account in {file}") from None
    except (FileRefused, PasswordRefused, ValueError) as error:
        raise click.ClickException(str(error)) from None


def _list(file: str) -> None:
    for account in read_accounts(file).everybody:
        click.echo(f"{account.name}  {','.join(sorted(account.groups))}".rstrip())


def _set(file: str, name: str, groups: tuple[str, ...], keep_password: bool) -> None:
    if not is_account_name(name):
        raise ValueError(
            "a name is 1 to 32 of A-Z a-z 0-9 . _ - and begins with a letter or digit; guest and user are taken"
        )
    wanted = parse_groups(groups) if groups or keep_password else None
    phc = None if keep_password else hash_password(_new_password())
    added = set_account(file, name, phc, wanted)
    click.echo(f"{name} has {'an account' if added else 'a changed account'} in {file}", err=True)


def _new_password() -> bytes:
    """
    :raises PasswordRefused: it cannot be one.
    """
    if sys.stdin.isatty():
        typed = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        password = typed.encode("utf-8", "surrogateescape")
    else:
        # Two more for the line's end, one more to know that it is too long.
        password = sys.stdin.buffer.read(MAX_PASSWORD + 3).removesuffix(b"\n").removesuffix(b"\r")
    check_new_password(password)
    return password
