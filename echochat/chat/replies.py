"""
Replies in the order of the lines they answer, whichever of them is known first (protocol, section 1).
"""

from collections import deque
from typing import Final

ENOUGH: Final = 65_536
"""
Bytes of replies that are known and have not been taken: then no more should be made.
"""


class Slot:
    """
    The place of a reply that is not known yet, such as that of a publish that waits for the disk.
    """

    __slots__ = ("answer",)

    def __init__(self) -> None:
        self.answer: bytes | None = None


class Replies:
    """
    Collect replies, and give those before the first unknown one.
    """

    __slots__ = ("_ready", "_size", "_slots")

    def __init__(self) -> None:
        # A list only while there is something in it: an empty one is 56 bytes of every idle connection.
        self._ready: list[bytes] | None = None
        self._size = 0
        # Made only for a connection that once had to wait: most never do, and an empty deque is 600 bytes.
        self._slots: deque[Slot] | None = None

    @property
    def waiting(self) -> int:
        """
        How many places stand behind one whose reply is not known, that one included.
        """
        return len(self._slots) if self._slots else 0

    @property
    def are_enough(self) -> bool:
        """
        Whether so many bytes are known that they should be taken before more are added.
        """
        return self._size >= ENOUGH

    def add(self, answer: bytes) -> None:
        """
        The next reply is known at once.
        """
        self._size += len(answer)
        if self._slots:
            self.reserve().answer = answer
        else:
            self._make_ready(answer)

    def reserve(self) -> Slot:
        """
        The next reply will be known later: :meth:`fill` it then.
        """
        if self._slots is None:
            self._slots = deque()
        slot = Slot()
        self._slots.append(slot)
        return slot

    def is_last(self, slot: Slot) -> bool:
        """
        Tell whether nothing has been added behind this place.
        """
        return bool(self._slots) and self._slots is not None and self._slots[-1] is slot

    def fill(self, slot: Slot, answer: bytes) -> None:
        """
        A reply has become known. Each slot is filled once.
        """
        self._size += len(answer)
        slot.answer = answer
        slots = self._slots
        while slots and (known := slots[0].answer) is not None:
            self._make_ready(known)
            slots.popleft()
        if not slots:
            self._slots = None

    def take(self) -> bytes:
        """
        Everything that can be sent now, once.
        """
        ready = self._ready
        if ready is None:
            return b""
        answer = ready[0] if len(ready) == 1 else b"".join(ready)
        self._ready = None
        self._size -= len(answer)
        return answer

    def abandon(self) -> None:
        """
        Nobody waits for replies any more: what is filled from now on is dropped.
        """
        self._ready = None
        self._slots = None

    def _make_ready(self, answer: bytes) -> None:
        if self._ready is None:
            self._ready = [answer]
        else:
            self._ready.append(answer)
