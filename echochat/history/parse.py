"""
From what an operator writes (``--history sqlite:PATH``) to a history: the one place where the kinds are listed.
"""

import os
import re
from collections.abc import Callable
from typing import Any, Final

from echochat.history.interface import IHistory
from echochat.history.memory import MemoryHistory
from echochat.history.records import Deduplication, Retention
from echochat.history.sqlite.history import SQLiteHistory
from echochat.history.sqlite.lockfile import LockFile
from echochat.history.sqlite.schema import look_at
from echochat.history.sqlite.settings import Settings

_LOGIN: Final = re.compile(r"\A([a-z]+://).*@", re.IGNORECASE | re.DOTALL)


class UnknownHistory(ValueError):
    """
    There is no such history; the first argument says what there is.
    """


def from_string(
    description: str,
    reactor: Any,
    retention: Retention = Retention(),  # noqa: B008 frozen
    deduplication: Deduplication = Deduplication(),  # noqa: B008 frozen
    replicas: int = 1,
) -> IHistory:
    """
    Make the history that is described; it is not open yet.

    :param description: ``memory:``, ``sqlite:PATH``, or ``nats://HOST:PORT[,HOST:PORT...][/NAME]``.
        ``sqlite-unsafe:PATH`` does not sync: for tests that must find the loss.
    :param reactor: any real one: with time (``IReactorTime``) and threads (``IReactorFromThreads``).
    :param retention: for those that are durable; ``memory:`` has narrower bounds of its own.
    :param replicas: how many brokers keep it, where brokers do.
    :raises UnknownHistory: for anything else, in a sentence for the operator.
    """
    kind, colon, rest = description.partition(":")
    if replicas != 1 and kind in _KINDS:
        raise UnknownHistory(f"{replicas} replicas are for brokers to keep: write nats://HOST:PORT, not {description}")
    if kind in ("nats", "tls"):
        return _jetstream(description, reactor, retention, deduplication, replicas)
    make = _KINDS.get(kind) if colon else None
    if make is None:
        raise UnknownHistory(
            f"{shown(description)!r} is not a history: write 'sqlite:PATH', 'nats://HOST:PORT' or 'memory:'"
        )
    return make(rest, reactor, retention, deduplication)


def shown(description: str) -> str:
    """
    A description as it may be printed: without what stands before an @, where a password may be.
    """
    return _LOGIN.sub(r"\1", description)


def look(description: str) -> None:
    """
    See whether a history could be had now, as far as that shows without opening it: before a process listens, or leaves
    its terminal.

    :param description: as for :func:`from_string`, which has accepted it.
    :raises HistoryRefused: it could not.
    """
    kind, _, rest = description.partition(":")
    if _KINDS.get(kind) in (_sqlite, _unsafe):
        path = _path(rest)
        look_at(path)
        LockFile(f"{path}.lock").look()


def _memory(rest: str, reactor: Any, retention: Retention, deduplication: Deduplication) -> IHistory:
    if rest:
        raise UnknownHistory(f"a history in memory has no path: write 'memory:', not 'memory:{rest}'")
    return MemoryHistory(reactor, deduplication=deduplication)


def _sqlite(rest: str, reactor: Any, retention: Retention, deduplication: Deduplication) -> IHistory:
    return SQLiteHistory(reactor, Settings(_path(rest), retention, deduplication))


def _unsafe(rest: str, reactor: Any, retention: Retention, deduplication: Deduplication) -> IHistory:
    return SQLiteHistory(reactor, Settings(_path(rest), retention, deduplication, synchronous="OFF"))


def _jetstream(
    description: str, reactor: Any, retention: Retention, deduplication: Deduplication, replicas: int
) -> IHistory:
    from echochat.history.jetstream.parse import from_address

    try:
        return from_address(description, reactor, retention, deduplication, replicas)
    except ValueError as error:
        raise UnknownHistory(str(error)) from None


def _path(path: str) -> str:
    if not path:
        raise UnknownHistory("a history in a file needs its path: write 'sqlite:PATH'")
    return os.path.realpath(path)


_KINDS: Final[dict[str, Callable[[str, Any, Retention, Deduplication], IHistory]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "sqlite-unsafe": _unsafe,
}
