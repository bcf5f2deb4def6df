"""
How every subcommand is told which server is meant.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from echochat.client.address import ServerAddress, parse_server
from echochat.client.commands.tls_options import tls_options
from echochat.wire.names import is_topic

Function = TypeVar("Function", bound=Callable[..., Any])


def to_server(context: click.Context, parameter: click.Parameter, value: str) -> ServerAddress:
    """
    Read a server on the command line, as the callback of an argument or an option.
    """
    try:
        return parse_server(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def to_topics(
    context: click.Context, parameter: click.Parameter, value: str | tuple[str, ...]
) -> str | tuple[str, ...]:
    """
    Check a topic or several.
    """
    for topic in (value,) if isinstance(value, str) else value:
        if not is_topic(topic):
            raise click.BadParameter(
                f"{topic!r} is not a topic: 1 to 128 of A-Z a-z 0-9 . _ - and a letter or digit first, or @NAME"
            )
    return value


def server_option(function: Function) -> Function:
    """
    ``--server`` and the options for TLS: the function is given the ``server`` that they mean together.
    """
    return click.option(
        "--server",
        default="",
        callback=to_server,
        envvar="ECHOCHAT_SERVER",
        metavar="HOST[:PORT]|ENDPOINT",
        help="The server, 127.0.0.1:7007 unless told. [env: ECHOCHAT_SERVER]",
    )(tls_options(function))
