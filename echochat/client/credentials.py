"""
Who the user of a client is, beyond a guest's name.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credentials:
    """
    What is sent on each connection to be somebody: ``/login NAME SECRET`` or ``/token TOKEN``.
    """

    verb: str
    arguments: tuple[str, ...] = field(repr=False)


def login(name: str, secret: str) -> Credentials:
    """
    An account and its password.
    """
    return Credentials("login", (name, secret))


def token(text: str) -> Credentials:
    """
    A signed token.
    """
    return Credentials("token", (text,))
