"""
What the reactor's thread asks of the thread of the connection.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class Publish:
    """
    :param connection: the number of the connection that it is for: what was meant for one that has ended must not
        turn up later.
    """

    connection: int
    subject: str
    payload: bytes
    reply: str
    headers: Mapping[str, str] | None


@dataclass(slots=True)
class Subscribe:
    """
    :param number: names the subscription; it holds on every connection from now on.
    """

    number: int
    subject: str


@dataclass(slots=True)
class Unsubscribe:
    """
    :param number: of the subscription.
    """

    number: int


@dataclass(slots=True)
class Renew:
    """
    Leave this connection, if it is still the one, and make another.
    """

    connection: int


Order = Publish | Subscribe | Unsubscribe | Renew


def hold(subjects: dict[int, str], order: Order) -> None:
    """
    Note what holds on each connection from now on.

    :param subjects: the subscriptions that do, by their numbers.
    """
    match order:
        case Subscribe(number, subject):
            subjects[number] = subject
        case Unsubscribe(number):
            subjects.pop(number, None)
