"""
From what an operator writes to a history in JetStream. Imported when it is wanted: the others need no NATS.
"""

import re
from typing import Any, Final

from echochat.broker import Broker, CredentialsRefused, parse_address
from echochat.history.interface import IHistory
from echochat.history.jetstream.history import JetStreamHistory
from echochat.history.jetstream.settings import DEFAULT_NAME, Settings
from echochat.history.records import Deduplication, Retention

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


def from_address(
    description: str, reactor: Any, retention: Retention, deduplication: Deduplication, replicas: int
) -> IHistory:
    """
    Make the history that is described; it is not open yet.

    :raises ValueError: the description cannot be understood, or a file that it names cannot be used, in a sentence for
        the operator.
    """
    address = parse_address(description)
    name = address.name or DEFAULT_NAME
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no name for a stream: it is 1 to 32 of A-Z a-z 0-9 _ -")
    try:
        address.check_files()
    except CredentialsRefused as error:
        raise ValueError(str(error)) from None
    return JetStreamHistory(reactor, Broker(reactor, address), Settings(name, replicas, retention, deduplication))
