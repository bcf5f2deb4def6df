"""
``echochat token``: make tokens, and the keys for them.
"""

import re
import time
from typing import Final

import click

from echochat.identity.accounts import is_account_name
from echochat.identity.files import FileRefused
from echochat.identity.keys import create_key, read_signing_key
from echochat.identity.tokens import MAX_TOKEN, Grants, Token, make_token
from echochat.identity.topic_sets import TopicSet

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST: Final = 3650 * 86_400


def _to_seconds(context: click.Context, parameter: click.Parameter, value: str) -> int:
    """
    Read a length of time such as ``90s``, ``30m``, ``12h`` or ``7d``.
    """
    written = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", value)
    seconds = int(written[1]) * _SECONDS[written[2]] if written else 0
    if not 0 < seconds <= _LONGEST:
        raise click.BadParameter("a length of time is written 90s, 30m, 12h or 7d, and is ten years at most")
    return seconds


def _make_key(context: click.Context, parameter: click.Parameter, path: str | None) -> None:
    if path is None or context.resilient_parsing:
        return
    try:
        create_key(path)
    except FileRefused as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{path} has a new key: start the server with --tokens {path}", err=True)
    context.exit()


@click.command()
@click.option(
    "--new-key",
    type=click.Path(dir_okay=False),
    is_eager=True,
    expose_value=False,
    callback=_make_key,
    metavar="FILE",
    help="Make FILE with a new key to share with the server, and nothing else.",
)
@click.argument("keyfile", type=click.Path(dir_okay=False))
@click.argument("name")
@click.option(
    "--for",
    "duration",
    callback=_to_seconds,
    default="1h",
    show_default=True,
    metavar="TIME",
    help="How long it is valid: 90s, 30m, 12h, 7d.",
)
@click.option("--read", multiple=True, metavar="TOPIC", help="Grant to read TOPIC; news.* are all that begin so.")
@click.option("--publish", multiple=True, metavar="TOPIC", help="Grant to publish to TOPIC.")
@click.option("--administer", multiple=True, metavar="TOPIC", help="Grant to administer TOPIC.")
def command(
    keyfile: str,
    name: str,
    duration: int,
    read: tuple[str, ...],
    publish: tuple[str, ...],
    administer: tuple[str, ...],
) -> None:
    """
    Print a token for NAME, signed with KEYFILE: type it after /token.

    KEYFILE has a shared key, or a private key of Ed25519 or RSA in PEM. With --read, --publish or --administer the
    token is good for nothing else; without them, for all that access rules allow NAME.
    """
    if not is_account_name(name):
        raise click.BadParameter("a name is 1 to 32 of A-Z a-z 0-9 . _ -; guest and user are taken", param_hint="NAME")
    try:
        key = read_signing_key(keyfile)
        granted = {"read": read, "publish": publish, "administer": administer}
        grants = {action: TopicSet.parse(list(topics)) for action, topics in granted.items()}
    except (FileRefused, ValueError) as error:
        raise click.ClickException(str(error)) from None
    now = time.time()
    narrowed = Grants(**grants) if any(granted.values()) else None
    token = make_token(key, Token(name, now + duration, narrowed), now)
    if len(token) > MAX_TOKEN:
        raise click.ClickException("these are more topics than a token can have: grant beginnings, such as news.*")
    click.echo(token)
