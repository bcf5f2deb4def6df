"""
The lines of standard input.
"""

import os

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import TestCase

from echochat.client.line_input import LineInput
from echochat.wire.lines import MAX_LINE, Overlong


class LineInputTests(TestCase):
    """
    Every line, once, in order, and no more in memory than is being taken.
    """

    async def lines_of(self, text: bytes) -> list[bytes | Overlong]:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(text)
        descriptor = os.open(path, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        self.lines = LineInput(IReactorFromThreads(reactor), descriptor)
        return [line async for line in self.lines]

    async def test_lines(self) -> None:
        """
        Lines of all ends, empty ones, bytes that are no text, and a last one without an end.
        """
        text = b"one\n\ntwo\r\n\xff\nlast"
        self.assertEqual(await self.lines_of(text), [b"one", b"", b"two", b"\xff", b"last"])
        self.assertEqual(self.lines.bytes_read, len(text))

    async def test_no_lines(self) -> None:
        """
        Nothing has no lines.
        """
        self.assertEqual(await self.lines_of(b""), [])

    async def test_many_lines(self) -> None:
        """
        More than are kept at once arrive all the same.
        """
        lines = [b"%d" % number for number in range(100_000)]
        self.assertEqual(await self.lines_of(b"\n".join(lines) + b"\n"), lines)

    async def test_overlong_line(self) -> None:
        """
        A line too long for a server is one thing, and the next line is itself again.
        """
        self.assertEqual(await self.lines_of(b"x" * (MAX_LINE + 1) + b"\ny\n"), [Overlong.LINE, b"y"])
