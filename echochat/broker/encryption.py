"""
The files with which TLS is spoken to a broker.
"""

import ssl

from echochat.broker.credentials import read_secret
from echochat.broker.errors import CredentialsRefused


def client_context(ca: str | None, cert: str | None, key: str | None) -> ssl.SSLContext:
    """
    :param ca: a file with the authorities to be trusted; None: those of the machine.
    :param cert: our certificate, where the broker wants one.
    :param key: its key; None: it is in the same file.
    :raises CredentialsRefused: a file cannot be used, or others than its owner can read the key.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise _refusal(ca, error) from None
    if cert is None:
        return context
    key = cert if key is None else key
    read_secret(key)

    def passphrase() -> str:
        # OpenSSL would ask on the terminal, in the thread of the connection.
        raise CredentialsRefused(f"{key} is protected by a passphrase, which nobody can type: keep it without one")

    try:
        context.load_cert_chain(cert, key, passphrase)
    except OSError as error:
        raise _refusal(cert if cert == key else f"{cert} with {key}", error) from None
    return context


def _refusal(files: str | None, error: OSError) -> CredentialsRefused:
    if isinstance(error, ssl.SSLError):
        return CredentialsRefused(f"{files} cannot be used for TLS: {(error.reason or 'damaged').lower()}")
    return CredentialsRefused(f"{files} cannot be read: {error.strerror}")
