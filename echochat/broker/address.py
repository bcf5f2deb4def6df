"""
What an operator writes to name brokers, ``nats://HOST:PORT[,HOST:PORT...][/NAME][?OPTION=VALUE&...]``, and what it
means.
"""

import re
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote

from echochat.broker.credentials import UserCredentials, read_secret_line
from echochat.broker.encryption import client_context

DEFAULT_PORT: Final = 4222

_ADDRESS: Final = re.compile(
    r"(?P<scheme>nats|tls)://(?:(?P<login>[^@/?#]*)@)?(?P<servers>[^@/?#]+)(?:/(?P<name>[^/?#]*))?(?:\?(?P<options>[^#]*))?"
)
_SERVER: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>\d{1,5}))?")

OPTIONS: Final = ("user", "password-file", "creds", "ca", "cert", "key", "sync")

_SYNC: Final = "always"


class WrongAddress(ValueError):
    """
    This is no address; the first argument says why, and repeats no password.
    """


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """
    Where the brokers of one cluster are, and how they are to be talked to.

    :param servers: ``HOST:PORT`` each, as one writes them in an address.
    :param encrypted: TLS is required; otherwise it is used where the broker requires it.
    :param name: what follows the servers, for whoever uses the connection; empty: nothing does.
    :param password: written in the address itself, where others can see it; better is ``password_file``, which is read
        anew for each connection.
    :param creds: a file with a user's JWT and seed, as NATS's tools make it.
    :param ca: a file with the authorities to be trusted; otherwise those of the machine.
    :param synced: whoever wrote it says that the brokers sync always, which a client cannot see.
    """

    servers: tuple[str, ...]
    encrypted: bool = False
    name: str = ""
    user: str | None = None
    password: str | None = None
    password_file: str | None = None
    creds: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    synced: bool = False

    def __str__(self) -> str:
        """
        For the log: without any secret.
        """
        return f"{'tls' if self.encrypted else 'nats'}://{','.join(self.servers)}{'/' * bool(self.name)}{self.name}"

    def __repr__(self) -> str:
        return f"<BrokerAddress {self}>"

    def url(self, server: str) -> str:
        """
        One of the servers, as nats-py wants it.
        """
        return f"{'tls' if self.encrypted else 'nats'}://{server}"

    def ssl_context(self) -> ssl.SSLContext | None:
        """
        With what TLS is spoken; None: as the machine does.

        :raises CredentialsRefused: a file cannot be used.
        """
        if self.ca is None and self.cert is None:
            return None
        return client_context(self.ca, self.cert, self.key)

    def read_password(self) -> str | None:
        """
        The password as it is now.

        :raises CredentialsRefused: its file cannot be used.
        """
        return self.password if self.password_file is None else read_secret_line(self.password_file)

    def read_credentials(self) -> UserCredentials | None:
        """
        The user's JWT and key as they are now.

        :raises CredentialsRefused: their file cannot be used.
        """
        return None if self.creds is None else UserCredentials(self.creds)

    def check_files(self) -> None:
        """
        See whether a connection could be tried with the files as they are: for whoever starts, and can still be told.

        :raises CredentialsRefused: one of them cannot be used.
        """
        self.ssl_context()
        self.read_password()
        self.read_credentials()


def parse_address(written: str) -> BrokerAddress:
    """
    :raises WrongAddress: for anything that is not one, in a sentence for the operator.
    """
    matched = _ADDRESS.fullmatch(written)
    if matched is None:
        raise WrongAddress("a broker is nats://HOST:PORT[,HOST:PORT...][/NAME], or tls:// with the same")
    options = _options(matched["options"] or "")
    user, password = _login(matched["login"])
    if "user" in options and user is not None:
        raise WrongAddress("the user stands before the @ or in user=, not in both")
    user = options.get("user", user)
    if "password-file" in options and (password is not None or user is None):
        raise WrongAddress("password-file= goes with user=, and without another password")
    if user is not None and "password-file" not in options and password is None:
        raise WrongAddress("a user has a password: name a file with password-file=")
    if "creds" in options and user is not None:
        raise WrongAddress("creds= stands for user and password: give one of them")
    if "key" in options and "cert" not in options:
        raise WrongAddress("key= goes with cert=")
    return BrokerAddress(
        servers=tuple(_server(each) for each in matched["servers"].split(",")),
        encrypted=matched["scheme"] == "tls",
        name=matched["name"] or "",
        user=user,
        password=password,
        password_file=options.get("password-file"),
        creds=options.get("creds"),
        ca=options.get("ca"),
        cert=options.get("cert"),
        key=options.get("key"),
        synced="sync" in options,
    )


def _server(written: str) -> str:
    matched = _SERVER.fullmatch(written)
    port = int(matched["port"] or DEFAULT_PORT) if matched else 0
    if matched is None or not 0 < port < 65_536:
        raise WrongAddress(f"{written!r} is not HOST:PORT")
    return f"{matched['host']}:{port}"


def _login(written: str | None) -> tuple[str | None, str | None]:
    if written is None:
        return None, None
    user, colon, password = written.partition(":")
    if not user:
        raise WrongAddress("a user stands before the @")
    return unquote(user), unquote(password) if colon else None


def _options(written: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(written, keep_blank_values=True, strict_parsing=True) if written else []
    except ValueError:
        raise WrongAddress("the options of a broker are ?NAME=VALUE&NAME=VALUE") from None
    options = dict(pairs)
    for name, value in options.items():
        if name not in OPTIONS:
            raise WrongAddress(f"{name!r} is not an option of a broker; there are {', '.join(OPTIONS)}")
        if not value or (name == "sync" and value != _SYNC):
            raise WrongAddress(
                f"{name}= has a value" if name != "sync" else f"sync={_SYNC} is all that can be said of it"
            )
    if len(options) < len(pairs):
        raise WrongAddress("an option of a broker is given once")
    return options
