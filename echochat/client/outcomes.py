"""
How a request can end: with a reply, with a refusal, or with the connection.
"""

from dataclasses import dataclass

from echochat.client.core import Item
from echochat.wire.answers import Bye


class Refused(Exception):
    """
    The server answered ``/err``: one of the protocol's codes, and an explanation for a person.
    """

    def __init__(self, code: str, explanation: str) -> None:
        super().__init__(f"{code}: {explanation}")
        self.code = code
        self.explanation = explanation


class Disconnected(Exception):
    """
    The connection ended before the answer came: it may have been carried out or not.

    :ivar bye: the server's last words, where it had any.
    """

    def __init__(self, why: str, bye: Bye | None = None) -> None:
        super().__init__(why)
        self.bye = bye


class Silent(Disconnected):
    """
    The server closed without having said a word: it may be no echochat server, or want TLS.
    """


class Moved(Disconnected):
    """
    The connection was left because the server had asked for it (``/drain``).
    """


@dataclass(frozen=True, slots=True)
class Reply:
    """
    How a command was answered: the closing line's verb and what follows it, and the item lines before it.
    """

    verb: str
    rest: str
    items: tuple[Item, ...]
