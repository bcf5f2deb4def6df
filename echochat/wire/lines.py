"""
Bytes into lines (protocol, section 1).

A line ends with LF, CRLF or, as telnet may send it, CR NUL. A CR anywhere else is text. However the bytes were cut
into segments, the same lines come out: an unfinished line waits here, and so does a CR at the end of a segment,
because the byte that follows decides what it was.
"""

import re
from enum import Enum
from typing import Final

MAX_LINE: Final = 65_536

_END: Final = re.compile(rb"\r?\n|\r\0")


class Overlong(Enum):
    """
    What stands in the place of a line that was longer than the limit.
    """

    LINE = "line"


Line = tuple[bytes, bytes]
"""
A line's text, and the end with which it came.
"""


class LineReader:
    """
    Cut a stream of bytes into lines, holding at most one unfinished line of ``max_line`` bytes.

    :param max_line: the most bytes of a line without its end. Of a longer one the excess is dropped, up to and with
        its end; :attr:`Overlong.LINE` takes its place, as soon as the length is known.
    """

    __slots__ = ("_dropping", "_partial", "max_line")

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self.max_line = max_line
        self._partial = b""
        self._dropping = False

    @property
    def between_lines(self) -> bool:
        """
        Whether everything so far was whole lines.
        """
        return not self._partial and not self._dropping

    def feed(self, data: bytes) -> list[Line | Overlong]:
        """
        Take the next bytes, and give the lines that end in them, in order.
        """
        if self._partial:
            data = self._partial + data
            self._partial = b""
        texts: list[Line | Overlong]
        if b"\0" in data:
            texts, rest = _cut_any(data)
        else:
            texts, rest = _cut_at_lf(data)
        if texts and self._dropping:
            # The end of the line that was dropped; it has been reported already.
            del texts[0]
            self._dropping = False
        if len(data) > self.max_line:
            texts = [
                line if isinstance(line, Overlong) or len(line[0]) <= self.max_line else Overlong.LINE for line in texts
            ]
        self._keep(rest, texts)
        return texts

    def take_whole(self, data: bytes) -> bytes | None:
        """
        Take the next bytes if all the lines that end in them fit, and give these lines as they came, uncut.

        This is for a caller that can answer many lines at once; :func:`cut_whole` cuts them where it can not. Lines
        are taken to end in LF here: a chunk with a NUL, which may hold a CR NUL, is not taken.

        :return: the whole lines, perhaps none; or None, when nothing was taken: then call :meth:`feed`.
        """
        if self._dropping:
            return None
        cut = data.rfind(b"\n") + 1
        whole = self._partial + data[:cut] if cut else b""
        rest = data[cut:] if cut else self._partial + data
        if b"\0" in rest or b"\0" in whole or len(rest) > self.max_line or not _all_fit(whole, self.max_line):
            return None
        self._partial = rest
        return whole

    def _keep(self, rest: bytes, texts: list[Line | Overlong]) -> None:
        if self._dropping:
            self._partial = b"\r" if rest[-1:] == b"\r" else b""
        elif len(rest) - (rest[-1:] == b"\r") > self.max_line:
            texts.append(Overlong.LINE)
            self._dropping = True
            self._partial = b"\r" if rest[-1:] == b"\r" else b""
        else:
            self._partial = rest


def cut_whole(whole: bytes) -> list[Line | Overlong]:
    """
    Cut what :meth:`LineReader.take_whole` gave into its lines.
    """
    return _cut_at_lf(whole)[0]


def _cut_at_lf(data: bytes) -> tuple[list[Line | Overlong], bytes]:
    *whole, rest = data.split(b"\n")
    return [(text[:-1], b"\r\n") if text[-1:] == b"\r" else (text, b"\n") for text in whole], rest


def _cut_any(data: bytes) -> tuple[list[Line | Overlong], bytes]:
    texts: list[Line | Overlong] = []
    start = 0
    for end in _END.finditer(data):
        texts.append((data[start : end.start()], end.group()))
        start = end.end()
    return texts, data[start:]


def _all_fit(whole: bytes, max_line: int) -> bool:
    """
    Tell whether no line of these is longer than the limit, without cutting them: a few searches for a chunk.
    """
    start = 0
    while len(whole) - start > max_line:
        end = whole.rfind(b"\n", start, start + max_line + 1)
        if end < 0:
            return False
        start = end + 1
    return True
