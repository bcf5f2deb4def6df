"""
Publishes that are not acknowledged yet, with no I/O: what to send next, and what to send again.

Each publish has a label. A server does what it has done under a label not again, so whatever is unacknowledged when a
connection ends is sent again on the next one. Labels are remembered for a bounded time: what was sent for the first
time longer ago than that might be done twice, and is given up instead.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from twisted.internet.defer import Deferred

from echochat.wire.names import is_label, is_text, is_topic

WINDOW: Final = 256
"""
How many publishes are on the way at once.
"""

DEDUPE_WINDOW: Final = 110.0
"""
Seconds for which it is safe to send a publish again: the protocol's two minutes, less what it may be on the way.
"""


class Unconfirmed(Exception):
    """
    A publish was sent, and the connection was away for longer than servers remember labels: it may have been done or
    not, and sending it again could do it twice.
    """


@dataclass(eq=False, slots=True)
class Publish:
    """
    One publish, until it is acknowledged.
    """

    number: int
    topic: str
    text: str
    label: str
    first_sent: float | None = None
    acknowledged: Deferred[int] = field(default_factory=Deferred)


class Outbox:
    """
    :param run: what the labels of this run of the program begin with; no other run has it.
    :param window: how many publishes may be on the way at once.
    :param dedupe_window: seconds for which servers remember labels.
    """

    def __init__(self, run: str, window: int = WINDOW, dedupe_window: float = DEDUPE_WINDOW) -> None:
        self._run = run
        self._window = window
        self._dedupe_window = dedupe_window
        self._number = 0
        self._unacknowledged: dict[str, Publish] = {}
        self._waiting: deque[Publish] = deque()
        self._on_the_way: dict[Publish, None] = {}
        self.held = False
        """
        While this is set, nothing is sent for the first time.
        """

    def __len__(self) -> int:
        return len(self._unacknowledged)

    def add(self, topic: str, text: str, label: str | None = None) -> Publish:
        """
        Take a publish.

        :raises ValueError: no server would accept it, or a publish with this label is still unacknowledged.
        """
        if not is_topic(topic):
            raise ValueError(f"not a topic: {topic!r}")
        if not is_text(text):
            raise ValueError(f"a text has no control characters but tab: {text[:80]!r}")
        text.encode()  # a lone surrogate is refused here, where the caller still knows what it is
        self._number += 1
        if label is None:
            label = f"{self._run}.{self._number}"
        if not is_label(label) or label in self._unacknowledged:
            raise ValueError(f"not a label, or one in use: {label!r}")
        publish = Publish(self._number, topic, text, label)
        self._unacknowledged[label] = publish
        self._waiting.append(publish)
        return publish

    @property
    def uncertain(self) -> bool:
        """
        Whether anything was sent that is not acknowledged.
        """
        return any(publish.first_sent is not None for publish in self._unacknowledged.values())

    def take(self, now: float) -> list[Publish]:
        """
        The publishes that are to be sent now, oldest first; they are on the way then.
        """
        taken = []
        while self._waiting and len(self._on_the_way) < self._window:
            if self.held and self._waiting[0].first_sent is None:
                break
            publish = self._waiting.popleft()
            if self._is_wanted(publish):
                if publish.first_sent is None:
                    publish.first_sent = now
                self._on_the_way[publish] = None
                taken.append(publish)
        return taken

    def done(self, publish: Publish) -> None:
        """
        A publish was acknowledged, refused, or given up by its caller: it is sent no more.
        """
        if self._is_wanted(publish):
            del self._unacknowledged[publish.label]
        self._on_the_way.pop(publish, None)

    def again(self, publish: Publish) -> None:
        """
        A publish on the way was refused for the moment: it waits again, in its old place.
        """
        if publish in self._on_the_way:
            del self._on_the_way[publish]
            place = sum(1 for other in self._waiting if other.number < publish.number)
            self._waiting.insert(place, publish)

    def connection_lost(self) -> None:
        """
        Everything on the way waits again.
        """
        self._waiting = deque(sorted((*self._on_the_way, *self._waiting), key=lambda publish: publish.number))
        self._on_the_way.clear()

    def forgotten(self, now: float) -> list[Publish]:
        """
        Give up, and return, what waits and was sent too long ago to be sent again.
        """
        old = [publish for publish in self._waiting if self._is_wanted(publish) and self._is_old(publish, now)]
        for publish in old:
            self._waiting.remove(publish)
            self.done(publish)
        return old

    def clear(self) -> list[Publish]:
        """
        Give up, and return, everything, oldest first.
        """
        self.connection_lost()
        left = [publish for publish in self._waiting if self._is_wanted(publish)]
        self._waiting.clear()
        self._unacknowledged.clear()
        return left

    def _is_wanted(self, publish: Publish) -> bool:
        # One that was given up stays where it waits until its turn; its label may be another's by then.
        return self._unacknowledged.get(publish.label) is publish

    def _is_old(self, publish: Publish, now: float) -> bool:
        return publish.first_sent is not None and now - publish.first_sent > self._dedupe_window
