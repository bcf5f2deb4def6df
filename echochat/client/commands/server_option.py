"""
How every subcommand is told which server is meant.
"""

import click

from echochat.client.address import ServerAddress, parse_server


def to_server(context: click.Context, parameter: click.Parameter, value: str) -> ServerAddress:
    """
    Read a server on the command line, as the callback of an argument or an option.
    """
    try:
        return parse_server(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
