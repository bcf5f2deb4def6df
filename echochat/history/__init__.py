"""
Where events are kept: one interface, and the logs behind it.
"""

from echochat.history.errors import HistoryBusy, HistoryCorrupt, HistoryRefused, HistoryUnavailable
from echochat.history.interface import IHistory, Receiver
from echochat.history.parse import UnknownHistory, from_string
from echochat.history.records import (
    Deduplication,
    Draft,
    Event,
    Page,
    Retention,
    Status,
    Stored,
    TopicState,
)

__all__ = [
    "Deduplication",
    "Draft",
    "Event",
    "HistoryBusy",
    "HistoryCorrupt",
    "HistoryRefused",
    "HistoryUnavailable",
    "IHistory",
    "Page",
    "Receiver",
    "Retention",
    "Status",
    "Stored",
    "TopicState",
    "UnknownHistory",
    "from_string",
]
