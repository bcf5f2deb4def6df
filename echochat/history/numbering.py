"""
Give each draft its position, or that of the event which it repeats.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from echochat.history.errors import HistoryBusy, HistoryUnavailable
from echochat.history.labels import LabelWindow, label_key
from echochat.history.records import Draft, Stored

WINDOW_FULL: Final = "too many labelled events within the dedupe window; try again in a minute, or without a label"


@dataclass(slots=True)
class Numbered:
    """
    What one commit is to store.

    :param drafts: the fresh ones, at ``positions``, which ascend.
    :param labels: label keys of fresh drafts with their positions, for the window, once this is durable.
    :param stored: the answer to each append, once this is durable.
    """

    drafts: Sequence[Draft]
    positions: Sequence[int]
    labels: dict[str, int] = field(default_factory=dict)
    stored: list[Stored] = field(default_factory=list)


def number(appends: Sequence[Sequence[Draft]], head: int, window: LabelWindow) -> Numbered:
    """
    Number the drafts of these appends, in order, from ``head + 1`` on. Changes nothing.
    """
    fresh: list[Draft] = []
    labels: dict[str, int] = {}
    stored: list[Stored] = []
    for drafts in appends:
        first = head + len(fresh) + 1
        # A list: a generator takes three times as long.
        if any([draft.label is not None for draft in drafts]):  # noqa: C419
            stored.append(_number_labelled(drafts, head, fresh, labels, window))
        else:
            fresh.extend(drafts)
            stored.append(Stored(range(first, first + len(drafts))))
    return Numbered(fresh, range(head + 1, head + 1 + len(fresh)), labels, stored)


def _number_labelled(
    drafts: Sequence[Draft], head: int, fresh: list[Draft], labels: dict[str, int], window: LabelWindow
) -> Stored:
    positions: list[int] = []
    repeated: list[int] = []
    refused: dict[int, HistoryUnavailable] = {}
    room = window.room
    position = head + len(fresh)
    for index, draft in enumerate(drafts):
        if draft.label is not None:
            key = label_key(draft)
            known = labels.get(key) or window.position_of(key)
            if known is not None:
                repeated.append(index)
                positions.append(known)
                continue
            if len(labels) >= room:
                refused[index] = HistoryBusy(WINDOW_FULL)
                positions.append(0)
                continue
            labels[key] = position + 1
        position += 1
        fresh.append(draft)
        positions.append(position)
    return Stored(positions, repeated, refused) if refused else Stored(positions, repeated)
