"""
A commit in as few statements as possible, since each is a call into SQLite (see the essay in bundles.py).
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from echochat.history.records import Draft

# Rows in one statement; the most that fit into the 32,766 variables that SQLite allows by default. Below the last of
# these there is a statement for each number, which SQLite compiles once.
_ROWS_AT_ONCE: Final = (2048, 1024, 512, 256, 128)

Statement = tuple[str, Sequence[Any]]


def by_topic(drafts: Sequence[Draft], positions: Sequence[int]) -> dict[str, tuple[Sequence[int], Sequence[Draft]]]:
    """
    :return: for each topic its drafts and their positions.
    """
    names = [draft.topic for draft in drafts]
    if names.count(names[0]) == len(names):
        return {names[0]: (positions, drafts)}
    groups: dict[str, tuple[list[int], list[Draft]]] = {}
    for name, position, draft in zip(names, positions, drafts, strict=True):
        group = groups.get(name)
        if group is None:
            groups[name] = ([position], [draft])
        else:
            group[0].append(position)
            group[1].append(draft)
    return {**groups}


def inserts(into: str, rows: Sequence[tuple[Any, ...]]) -> Iterator[Statement]:
    """
    :return: as few statements as possible.
    """
    start = 0
    while start < len(rows):
        left = len(rows) - start
        count = next((size for size in _ROWS_AT_ONCE if size <= left), left)
        one = f"({','.join('?' * len(rows[0]))})"
        yield (
            f"{into} VALUES {','.join([one] * count)}",
            [value for row in rows[start : start + count] for value in row],
        )
        start += count
