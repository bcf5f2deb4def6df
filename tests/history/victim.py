"""
A process that appends to a history until it is stopped: for tests that kill it.

Run as ``python -m tests.history.victim DESCRIPTION FIRST KEPT``. One publisher appends the labelled texts FIRST, FIRST
+ 1 and so on, several appends at a time; the history keeps the last KEPT of them, and copies its log into the database
all the time. It says one line for each thing that happens: ``open HEAD``, ``acked N POSITION``, ``unavailable``,
``available``, ``refused WHY``. Ends when its standard input does.
"""

import sys
from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

from echochat.history import Draft, HistoryRefused, HistoryUnavailable, Retention, from_string
from echochat.history.sqlite import writer

IN_FLIGHT = 4
DRAFTS = 3


def say(*words: object) -> None:
    print(*words, flush=True)


class Publisher:
    """
    Appends for as long as there is standard input.
    """

    def __init__(self, description: str, first: int, kept: int) -> None:
        self.history = from_string(description, reactor, Retention(events=kept))
        self.next = first
        self.unacknowledged: list[int] = []
        self.closing = False

    # Called by the history.

    def arrived(self, drafts: Sequence[Draft], positions: Sequence[int]) -> None:
        pass

    def became_unavailable(self, why: str) -> None:
        say("unavailable", why)

    def interrupted(self, why: str) -> None:
        raise AssertionError(why)

    def became_available(self) -> None:
        say("available")
        self.start()

    # Ours.

    async def run(self) -> None:
        try:
            await self.history.open(self)
        except HistoryRefused as error:
            say("refused", error)
            return
        say("open", self.history.head)
        self.start()
        # Twisted's StandardIO would make standard output non-blocking as well. When nobody reads for a while and the
        # pipe is full, print() then gives up in the middle of a line, and the next one begins there.
        await deferToThread(sys.stdin.read)
        self.closing = True
        await self.history.close()

    def start(self) -> None:
        """
        Begin, or begin again with what was not acknowledged.
        """
        self.next = min([self.next, *self.unacknowledged])
        self.unacknowledged.clear()
        for _ in range(IN_FLIGHT):
            self.append()

    def append(self) -> None:
        numbers = range(self.next, self.next + DRAFTS)
        self.next += DRAFTS
        drafts = [Draft("lobby", "victim", str(number), str(number), 1 << 42) for number in numbers]
        self.unacknowledged.extend(numbers)
        self.history.append(drafts).addCallback(self.acknowledged, numbers).addErrback(self.failed)

    def acknowledged(self, stored: Any, numbers: range) -> None:
        for number, position in zip(numbers, stored.positions, strict=True):
            self.unacknowledged.remove(number)
            say("acked", number, position)
        if not self.closing:
            self.append()

    def failed(self, why: Any) -> None:
        why.trap(HistoryUnavailable)


async def _publish(reactor: Any, description: str, first: str, kept: str) -> None:
    await Publisher(description, int(first), int(kept)).run()


def main() -> None:
    """
    Run with the arguments of the command line.
    """
    vars(writer)["CHECKPOINT_BYTES"] = 64 << 10  # often, so that it is killed in the middle of it
    react(lambda reactor, *arguments: Deferred.fromCoroutine(_publish(reactor, *arguments)), sys.argv[1:])


if __name__ == "__main__":
    main()
