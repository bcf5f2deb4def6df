"""
Sends the same bytes to many connections at once.

The problem. An event for a thousand subscribers is a thousand system calls, and between two of them nothing should be
done for the connection but the next: each of its objects that is touched in between has left the processor's cache
since the last time, and costs 0.05 to 0.1 µs.

How. A connection *lends* its socket's ``send`` to whoever sends to many, as long as nothing that was written is
waiting and ``write`` would do the same. Before it buffers anything, and before it closes, it calls it back: from then
on only ``write`` may be used, or bytes would overtake one another. Who did not take everything is named, and is to be
given the rest through ``write``, which buffers it, and meets the error if there was one.

Only the TCP connections of this package can be lent. A transport that wraps another one, such as TLS, passes unknown
attributes on to it, and must not be asked for that one's: what is sent past it would go out in the clear.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from echochat.net.lean.interlude import Interlude

AT_ONCE: Final = 8
AT_ONCE_BYTES: Final = 32_768
"""
Sends, and bytes, between two looks at who else is there: 15 to 50 µs, where to look is 0.1 µs.
"""

Send = Callable[[bytes], int]


class Borrower(Protocol):
    """
    Whoever was lent a connection's ``send``.
    """

    def called_back(self) -> None:
        """
        It must not be used any more. Is called once, and may be called while the connection is written to.
        """


def lend(transport: Any, borrower: Borrower) -> Send | None:
    """
    What sends on a connection at once. There is one borrower of a connection at a time; it may ask again.

    :return: None: only ``write`` can be used now.
    """
    # Of the class, since one that wraps another has its attributes, but not its methods.
    lends = getattr(type(transport), "lend", None)
    send: Send | None = lends(transport, borrower) if lends is not None else None
    return send


def send_to_all(sends: Iterable[Send], data: bytes, interlude: Interlude) -> list[tuple[Send, int]]:
    """
    Send to each of them. Calls nothing else but the interlude.

    :return: those that did not take everything, and how much they took.
    """
    size = len(data)
    short = []
    at_once = left = max(1, min(AT_ONCE, AT_ONCE_BYTES // (size + 1)))
    for send in sends:
        try:
            taken = send(data)
        except OSError:
            # It takes nothing now, or never again: write() will see.
            taken = 0
        if taken != size:
            short.append((send, taken))
        left -= 1
        if not left:
            left = at_once
            interlude.look()
    return short
