"""
From what an operator writes (``--history sqlite:PATH``) to a history: the one place where the kinds are
listed.
"""

from twisted.internet.interfaces import IReactorTime

from echochat.history.interface import IHistory
from echochat.history.memory import MemoryHistory


class UnknownHistory(ValueError):
    """
    There is no such history; the first argument says what there is.
    """


def from_string(description: str, reactor: IReactorTime) -> IHistory:
    """
    Make the history that is described; it is not open yet.

    :param description: ``memory:``.
    :raises UnknownHistory: for anything else, in a sentence for the operator.
    """
    kind, colon, rest = description.partition(":")
    if colon and kind == "memory":
        if rest:
            raise UnknownHistory(f"a history in memory has no path: write 'memory:', not {description!r}")
        return MemoryHistory(reactor)
    raise UnknownHistory(f"{description!r} is not a history: write 'memory:'")
