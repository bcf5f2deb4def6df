"""
How every subcommand is told to speak TLS.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import click

from echochat.client.address import ServerAddress

Function = TypeVar("Function", bound=Callable[..., Any])


def tls_options(function: Function) -> Function:
    """
    ``--tls``, ``--ca``, ``--cert`` and ``--key``: the function is given a ``server`` that is reached accordingly.
    """

    @click.option(
        "--tls", is_flag=True, help="Speak TLS: on port 7443 unless told. The other options for TLS imply it."
    )
    @click.option(
        "--ca", metavar="FILE", help="Whose certificates to trust, instead of those that this machine trusts."
    )
    @click.option("--cert", metavar="FILE", help="The certificate to show to a server that asks for one.")
    @click.option("--key", metavar="FILE", help="The private key of --cert, if it is not in the same file.")
    @functools.wraps(function)
    def with_tls(
        *args: Any, server: ServerAddress, tls: bool, ca: str | None, cert: str | None, key: str | None, **others: Any
    ) -> Any:
        if key is not None and cert is None:
            raise click.UsageError("--key belongs to a certificate: give --cert too")
        if tls or ca is not None or cert is not None:
            server = _encrypt(server, ca, cert, key)
        return function(*args, server=server, **others)

    return cast(Function, with_tls)


def _encrypt(server: ServerAddress, ca: str | None, cert: str | None, key: str | None) -> ServerAddress:
    from echochat.net.tls.client_files import ClientFiles

    try:
        return server.encrypted(ClientFiles(ca, cert, key))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
