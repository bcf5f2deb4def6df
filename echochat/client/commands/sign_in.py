"""
How every subcommand is told who its user is: a guest of some name, an account, or whoever a token says.

A password or a token on the command line could be read by every other user of the machine, and stay in the shell's
history. So they come from a file that only its owner can read, or, a password, from a person.
"""

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import click
from click.core import ParameterSource

from echochat.client.credentials import Credentials, login, token
from echochat.wire.names import is_name

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class SignIn:
    """
    What was told of the user.

    :ivar name: the name to have as a guest.
    :ivar account: the account to log in to.
    :ivar password_file: where its password is.
    :ivar token_file: where a token is.
    """

    name: str | None = None
    account: str | None = None
    password_file: str | None = None
    token_file: str | None = None

    def credentials(self) -> Credentials | None:
        """
        What to show to the server, for a command whose standard input is not its data: where a password is wanted, and
        in no file, a person at a terminal is asked.

        :raises click.ClickException: there is none, or a file cannot be used.
        """
        if self.account is not None and self.password_file is None and sys.stdin.isatty():
            typed = click.prompt(f"Password for {self.account}", hide_input=True, err=True)
            return login(self.account, _password(typed.encode("utf-8", "surrogateescape"), "what was typed"))
        return self.credentials_in_files()

    def credentials_in_files(self) -> Credentials | None:
        """
        The same for a command whose standard input is its data: nobody is asked.

        :raises click.ClickException: there is no password, or a file cannot be used.
        """
        if self.token_file is not None:
            return token(_token(_read(self.token_file), self.token_file))
        if self.account is None:
            return None
        if self.password_file is None:
            raise click.UsageError("there is nobody to be asked for the password: give --password-file FILE")
        return login(self.account, _password(_read(self.password_file), self.password_file))


def sign_in_options(function: Function) -> Function:
    """
    ``--name``, ``--login``, ``--password-file`` and ``--token-file``: the function is given the ``sign_in`` that they
    mean together.
    """

    @click.option("--name", callback=_to_name, metavar="NAME", help="The name to have, as a guest.")
    @click.option("--login", "account", callback=_to_name, metavar="NAME", help="Log in to this account.")
    @click.option(
        "--password-file",
        envvar="ECHOCHAT_PASSWORD_FILE",
        metavar="FILE",
        help="Where the password for --login is, instead of asking for it. [env: ECHOCHAT_PASSWORD_FILE]",
    )
    @click.option("--token-file", metavar="FILE", help="Log in with the token in this file.")
    @functools.wraps(function)
    def with_sign_in(
        *args: Any,
        name: str | None,
        account: str | None,
        password_file: str | None,
        token_file: str | None,
        **others: Any,
    ) -> Any:
        if [name, account, token_file].count(None) < 2:
            raise click.UsageError("--name, --login and --token-file exclude each other")
        source = click.get_current_context().get_parameter_source("password_file")
        # In the environment it may be meant for other commands.
        if account is None and password_file is not None and source is ParameterSource.COMMANDLINE:
            raise click.UsageError("--password-file belongs to --login")
        return function(*args, sign_in=SignIn(name, account, password_file or None, token_file), **others)

    return cast(Function, with_sign_in)


def _to_name(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_name(value):
        raise click.BadParameter(f"{value!r} is not a name: 1 to 32 of A-Z a-z 0-9 . _ - and a letter or digit first")
    return value


def _read(path: str) -> bytes:
    """
    :raises click.ClickException: it cannot be read, or others can.
    """
    from echochat.identity.files import FileRefused, read_secret

    try:
        return read_secret(path)
    except FileRefused as error:
        raise click.ClickException(str(error)) from None


def _password(content: bytes, where: str) -> str:
    """
    :raises click.ClickException: nobody can have such a password. What it is, is not told.
    """
    from echochat.identity.passwords import PasswordRefused, check_new_password

    password = content.removesuffix(b"\n").removesuffix(b"\r")
    try:
        check_new_password(password)
    except PasswordRefused as error:
        raise click.ClickException(f"{where} cannot be a password: {error}") from None
    return password.decode()


def _token(content: bytes, where: str) -> str:
    """
    :raises click.ClickException: it is none.
    """
    text = content.decode("ascii", "replace").strip()
    if not text.isascii() or not text.isprintable() or len(text.split()) != 1:
        raise click.ClickException(f"{where} is not a token: it is one word")
    return text
