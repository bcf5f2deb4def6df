"""
``echochat chat``: interactive in a terminal, a filter in a pipe.
"""

import os
import sys

import click

from echochat.client.address import ServerAddress
from echochat.client.commands.server_option import to_server
from echochat.client.commands.sign_in import SignIn, sign_in_options
from echochat.client.commands.tls_options import tls_options
from echochat.client.running import run_command


@click.command()
@click.argument("server", callback=to_server, default="", metavar="[HOST[:PORT] | ENDPOINT]", envvar="ECHOCHAT_SERVER")
@tls_options
@sign_in_options
def command(server: ServerAddress, sign_in: SignIn) -> None:
    """
    Talk to a server, 127.0.0.1:7007 unless told: each line that you type is answered in capitals. Type /join lobby, and
    from then on talk to everybody there.

    In a pipe every line of the input is sent as it is and every line of the server is printed; the exit code is 0 when
    all were answered.
    """
    if os.isatty(sys.stdin.fileno()) and os.isatty(sys.stdout.fileno()) and os.environ.get("TERM") != "dumb":
        from echochat.client.terminal import chat_in_terminal, install_reactor

        credentials = sign_in.credentials()
        install_reactor()
        run_command(lambda reactor: chat_in_terminal(reactor, server, sign_in.name, credentials))
    if sign_in.name is not None:
        raise click.UsageError("--name is for a terminal; in a pipe, send: /nick NAME")
    from echochat.client.piped import chat_in_pipe

    credentials = sign_in.credentials_in_files()
    run_command(lambda reactor: chat_in_pipe(reactor, server, credentials))
