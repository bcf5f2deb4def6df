"""
Events as lines of the standard output: for a person, for ``read`` and ``cut``, or as JSON.
"""

import json
import os
import sys
from dataclasses import asdict
from typing import Any, Final

from echochat.client.cursor import Delivery, Replaced
from echochat.client.harmless import harmless
from echochat.client.rendering import render, to_ansi
from echochat.wire.answers import Event, Gap, Joined, Parted, Past

_TYPES: Final = {Event: "event", Past: "event", Gap: "gap", Replaced: "replaced", Joined: "join", Parted: "part"}


class Writer:
    """
    :param as_json: an object for each line, instead of words.
    :param shown: whether the output is a terminal, on which what others wrote must not act.
    :param with_topic: whether a person has to be told which topic it is.
    """

    def __init__(self, *, as_json: bool, shown: bool, with_topic: bool) -> None:
        self._as_json = as_json
        self._shown = shown
        self._with_topic = with_topic
        self._coloured = not os.environ.get("NO_COLOR")

    def line(self, item: Delivery | Past, epoch: str | None = None) -> bytes:
        """
        The line that stands for this, with its end. What is no event has no place in a pipe of plain lines: it is told
        on standard error, and the line is empty.
        """
        if self._as_json:
            return self._json(item, epoch)
        if self._shown:
            fragments = render(item)
            if self._with_topic and isinstance(item, Event | Past):
                fragments = [("class:quiet", f"{item.topic} "), *fragments]
            return f"{to_ansi(fragments, coloured=self._coloured)}\n".encode()
        if isinstance(item, Event | Past):
            return f"{item.topic} {item.position} {item.time} {item.name} {item.text}\n".encode()
        print("echochat:", to_ansi(render(item), coloured=False), file=sys.stderr, flush=True)
        return b""

    def _json(self, item: Delivery | Past, epoch: str | None) -> bytes:
        fields: dict[str, Any] = {"type": _TYPES[type(item)], **asdict(item)}
        fields.pop("label", None)
        if isinstance(item, Event) and epoch is not None:
            fields["epoch"] = epoch
        text = json.dumps(fields, ensure_ascii=False)
        return f"{harmless(text) if self._shown else text}\n".encode()
