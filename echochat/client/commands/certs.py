"""
``echochat certs``: certificates for development, for tests, and for people who know each other.
"""

import os
import shlex
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import CertificateRevocationList, load_pem_x509_crl

from echochat.client.authority import LEAF_DAYS, Authority, Issued, can_sign, to_general_name
from echochat.net.tls.files import TlsFileError, read_certificates, read_credentials
from echochat.wire.names import is_name

_TAKEN: Final = frozenset(("ca", "server", "crl"))
"""
Names of files that are not clients'.
"""

_PORT: Final = 7443


def _to_names(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        try:
            to_general_name(name)
        except ValueError:
            raise click.BadParameter(f"{name!r} is neither a host name nor an address") from None
    return value


def _to_clients(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if not is_name(name):
            raise click.BadParameter(
                f"{name!r} is not a name: 1 to 32 of A-Z a-z 0-9 . _ - and a letter or digit first"
            )
        if name.lower() in _TAKEN:
            raise click.BadParameter(f"{name} is the name of another file: choose another")
    return value


@click.command()
@click.option("--directory", default="certs", show_default=True, metavar="DIR", help="Where the files are.")
@click.option(
    "--name",
    "names",
    multiple=True,
    callback=_to_names,
    metavar="HOST",
    help="A host name or address of the server. Repeatable. [default: localhost, 127.0.0.1, ::1, this machine's name]",
)
@click.option(
    "--client",
    "clients",
    multiple=True,
    callback=_to_clients,
    metavar="NAME",
    help="A client to make one for. Repeatable.",
)
@click.option("--revoke", "revoked", multiple=True, callback=_to_clients, metavar="NAME", help="A client to keep out.")
@click.option(
    "--days", type=click.IntRange(1, 3650), default=LEAF_DAYS, show_default=True, help="How long they are valid."
)
def command(
    directory: str, names: tuple[str, ...], clients: tuple[str, ...], revoked: tuple[str, ...], days: int
) -> None:
    """
    Make certificates: for an authority of your own, for a server, and for each --client.

    What is there already is used, and never overwritten: call it again with another --client when somebody joins you.
    The private keys are for you alone; whoever has ca.key can make certificates for anybody.
    """
    if revoked and (names or clients):
        raise click.UsageError("--revoke goes alone")
    folder = Path(directory)
    try:
        if revoked:
            _revoke(folder, revoked)
        else:
            _make(folder, names, clients, days)
    except TlsFileError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"cannot write {error.filename}: {error.strerror}") from None


def _make(folder: Path, names: tuple[str, ...], clients: tuple[str, ...], days: int) -> None:
    has_authority = _has(folder, "ca")
    stems = [*clients] if clients and not names and _has(folder, "server") else ["server", *clients]
    _check_free(folder, stems)
    made: list[str] = []
    if has_authority:
        authority = _read_authority(folder)
    else:
        authority = Authority.new(f"echochat authority of {socket.gethostname()}"[:64])
        made.append(_write_both(folder, "ca", authority.own, "an authority of your own"))
    for stem in stems:
        if stem == "server":
            server_names = names or _guess_names()
            issued = authority.issue_server(server_names, days)
            made.append(_write_both(folder, stem, issued, f"the server {', '.join(server_names)}"))
        else:
            made.append(_write_both(folder, stem, authority.issue_client(stem, days), f"the client {stem}"))
    click.echo("\n".join(made))
    click.echo(_next_steps(folder, clients))


def _has(folder: Path, stem: str) -> bool:
    """
    :raises TlsFileError: there is one file of two.
    """
    certificate, key = (os.path.lexists(folder / f"{stem}{suffix}") for suffix in (".pem", ".key"))
    if certificate != key:
        there, missing = (".pem", ".key") if certificate else (".key", ".pem")
        raise TlsFileError(f"{folder / stem}{there} is there without {folder / stem}{missing}: restore or remove it")
    return certificate


def _check_free(folder: Path, stems: Iterable[str]) -> None:
    """
    :raises TlsFileError: something would be overwritten.
    """
    for stem in stems:
        if _has(folder, stem):
            raise TlsFileError(
                f"{folder / stem}.pem is there already, and nothing is overwritten: remove it and its .key first, "
                "or choose another --directory"
            )


def _read_authority(folder: Path) -> Authority:
    read = read_credentials(str(folder / "ca.pem"), str(folder / "ca.key"), None)
    if not isinstance(read.key, EllipticCurvePrivateKey):
        raise TlsFileError(f"{folder / 'ca.key'} was not made by echochat certs: use the tools of that authority")
    if not can_sign(read.certificate):
        raise TlsFileError(f"{folder / 'ca.pem'} is not the certificate of an authority")
    return Authority(Issued(read.certificate, read.key))


def _guess_names() -> tuple[str, ...]:
    guessed = ["localhost", "127.0.0.1", "::1"]
    own = socket.gethostname()
    try:
        to_general_name(own)
    except ValueError:
        return tuple(guessed)
    return tuple(dict.fromkeys((*guessed, own)))


def _write_both(folder: Path, stem: str, issued: Issued, whose: str) -> str:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(folder / f"{stem}.key", issued.key_pem())
    _write(folder / f"{stem}.pem", issued.certificate_pem())
    until = f"{issued.certificate.not_valid_after_utc:%Y-%m-%d}"
    return f"{folder / stem}.pem and .key: {whose}, until {until}"


def _write(path: Path, data: bytes) -> None:
    # Readable for nobody else at any time, and never through a link that somebody put there.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)


def _next_steps(folder: Path, clients: tuple[str, ...]) -> str:
    in_endpoint = str(folder).replace("\\", "\\\\").replace(":", "\\:")
    listen = f"tls:{_PORT}:cert={in_endpoint}/server.pem:key={in_endpoint}/server.key"
    chat = ["echochat", "chat", "--tls", "--ca", str(folder / "ca.pem")]
    if clients:
        listen += f":clientCA={in_endpoint}/ca.pem"
        chat += ["--cert", f"{folder / clients[0]}.pem", "--key", f"{folder / clients[0]}.key"]
    server = ["twistd", "-n", "echochat", "--listen", listen]
    return f"\nRun next:\n\n  {shlex.join(server)}\n  {shlex.join([*chat, 'localhost'])}"


def _revoke(folder: Path, names: tuple[str, ...]) -> None:
    authority = _read_authority(folder)
    path = folder / "crl.pem"
    revoked = _read_revoked(path)
    for name in names:
        revoked = authority.revoke(read_certificates(f"{folder / name}.pem")[0], revoked)
    assert revoked is not None
    # The one file that changes: a server that reads it meanwhile sees the one or the other.
    new = folder / f"crl.pem.{os.getpid()}"
    _write(new, revoked.public_bytes(Encoding.PEM))
    new.replace(path)
    click.echo(
        f"{path}: {len(list(revoked))} revoked. A server with crl={path} in its endpoint keeps them out "
        "when it has read the file again (echochat reload, or SIGHUP)."
    )


def _read_revoked(path: Path) -> CertificateRevocationList | None:
    try:
        return load_pem_x509_crl(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        raise TlsFileError(f"there is not a revocation list in {path}, or it is damaged") from None
