"""
What comes from the broker.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

NO_RESPONDERS: Final = "503"

_NO_HEADERS: Final[Mapping[str, str]] = {}


@dataclass(slots=True)
class Message:
    """
    :param subscription: the number of the subscription that it came for.
    :param reply: where an answer is to go; empty: nobody waits for one.
    """

    subscription: int
    subject: str
    payload: bytes
    reply: str = ""
    headers: Mapping[str, str] | None = None

    def header(self, name: str) -> str:
        """
        The value of a header; empty where there is none.
        """
        return (self.headers or _NO_HEADERS).get(name, "")

    @property
    def status(self) -> str:
        """
        Three digits, where the broker itself says something instead of passing on what was published.
        """
        return self.header("Status")


@dataclass(slots=True)
class Up:
    """
    A connection was made: :class:`Message` objects that follow came by it.

    :param connection: its number.
    :param server: what the broker says of itself (``INFO``).
    """

    connection: int
    server: Mapping[str, object]


@dataclass(slots=True)
class Down:
    """
    The connection has ended, or could not be made.

    :param why: a piece of a sentence.
    """

    why: str


@dataclass(slots=True)
class Complaint:
    """
    Something for the log: the connection goes on.
    """

    what: str


@dataclass(slots=True)
class Broken:
    """
    Something failed that should not be able to: a bug, ours or nats-py's, for the log.
    """

    error: BaseException


Report = Message | Up | Down | Complaint | Broken
"""
What the thread of the connection tells that of the reactor.
"""
