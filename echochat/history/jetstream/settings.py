"""
What a history in JetStream is told from outside.
"""

from dataclasses import dataclass, field
from typing import Final

from echochat.history.records import Deduplication, Retention

DEFAULT_NAME: Final = "echochat"


@dataclass(frozen=True, slots=True)
class Settings:
    """
    Which stream, and how it is kept.

    :param name: the stream's, and the first part of its subjects.
    :param replicas: how many brokers keep it: 1, 3 or 5.
    """

    name: str = DEFAULT_NAME
    replicas: int = 1
    retention: Retention = field(default_factory=Retention)
    deduplication: Deduplication = field(default_factory=Deduplication)
