"""
The lines of standard input, one after the other, for a coroutine.
"""

from collections import deque
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

from echochat.client.standard import InputStream
from echochat.wire.lines import Line, LineReader, Overlong

MANY: Final = 1_000
"""
Lines that wait at which nothing more is read.
"""


class LineInput:
    """
    Iterate with ``async for``: the bytes of each line without its end, or ``Overlong.LINE`` in place of one that is
    longer than a server takes. A last line that has no end is one, too.

    :ivar bytes_read: how much of the input was read.
    """

    def __init__(self, reactor: IReactorFromThreads, descriptor: int = 0) -> None:
        self._reader = LineReader()
        self._lines: deque[Line | Overlong] = deque()
        self._stream = InputStream(reactor, descriptor, self._read, self._end)
        self._ended = False
        self._consumer: Deferred[None] | None = None
        self.bytes_read = 0
        self._stream.start()

    def __aiter__(self) -> "LineInput":
        return self

    async def __anext__(self) -> bytes | Overlong:
        while not self._lines:
            if self._ended:
                raise StopAsyncIteration
            self._stream.resumeProducing()
            self._consumer = Deferred()
            await self._consumer
        line = self._lines.popleft()
        return line if isinstance(line, Overlong) else line[0]

    def _read(self, data: bytes) -> None:
        self.bytes_read += len(data)
        self._lines.extend(self._reader.feed(data))
        if len(self._lines) >= MANY:
            self._stream.pauseProducing()
        self._wake()

    def _end(self) -> None:
        if not self._reader.between_lines:
            self._lines.extend(self._reader.feed(b"\n"))
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.callback(None)
