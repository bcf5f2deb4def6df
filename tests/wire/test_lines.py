"""
Tests for :mod:`echochat.wire.lines`.
"""

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.wire.lines import MAX_LINE, Line, LineReader, Overlong, cut_whole
from tests.wire.examples import ENDS, STREAMS, reproducible, segmented

LIMIT = 12


def cut_by_definition(stream: bytes, limit: int) -> list[Line | Overlong]:
    """
    The lines of a stream as the protocol's page has them: an end is LF, CRLF or CR NUL, whichever comes first, and
    what has more bytes than the limit before it is too long, ended or not.
    """
    lines: list[Line | Overlong] = []
    rest = 0
    for found in re.finditer(rb"(.*?)(\r\n|\r\0|\n)", stream, re.DOTALL):
        text, end = found.groups()
        lines.append((text, end) if len(text) <= limit else Overlong.LINE)
        rest = found.end()
    # A CR at the very end may be the first half of a line's end.
    if len(stream[rest:].removesuffix(b"\r")) > limit:
        lines.append(Overlong.LINE)
    return lines


def read_mixed(reader: LineReader, segments: list[bytes], wholes: list[bool]) -> list[Line | Overlong]:
    """
    Read segments in turn by :meth:`LineReader.take_whole`, where that takes them, and by :meth:`LineReader.feed`.

    :param wholes: for each segment, whether whole lines are asked for first.
    """
    lines: list[Line | Overlong] = []
    for segment, ask in zip(segments, wholes, strict=True):
        whole = reader.take_whole(segment) if ask else None
        lines += reader.feed(segment) if whole is None else cut_whole(whole)
    return lines


class FeedTests(SynchronousTestCase):
    """
    Whatever way a client's bytes arrive, its lines are what it sent.
    """

    def test_three_ends(self) -> None:
        """
        LF, CRLF and CR NUL end a line, and the reader tells which it was.
        """
        lines = LineReader().feed(b"a\nb\r\nc\r\0\n")
        self.assertEqual(lines, [(b"a", b"\n"), (b"b", b"\r\n"), (b"c", b"\r\0"), (b"", b"\n")])

    def test_lone_return_and_nul_are_text(self) -> None:
        """
        A CR that ends nothing is text, and so is a NUL behind anything else.
        """
        self.assertEqual(LineReader().feed(b"a\rb\0c\r\r\n\0\r\0"), [(b"a\rb\0c\r", b"\r\n"), (b"\0", b"\r\0")])

    def test_unfinished_line_is_kept(self) -> None:
        """
        What has no end yet is no line; its rest makes it one.
        """
        reader = LineReader()
        self.assertEqual(reader.feed(b"a\nhel"), [(b"a", b"\n")])
        self.assertFalse(reader.between_lines)
        self.assertEqual(reader.feed(b"lo\n"), [(b"hello", b"\n")])
        self.assertTrue(reader.between_lines)

    def test_end_in_two_segments(self) -> None:
        """
        A CR at the end of a segment waits for what follows it.
        """
        for following, end in ((b"\n", b"\r\n"), (b"\0", b"\r\0")):
            reader = LineReader()
            self.assertEqual(reader.feed(b"a\r"), [])
            self.assertEqual(reader.feed(following), [(b"a", end)])

    def test_longest_line(self) -> None:
        """
        A line of exactly the limit is a line, whatever its end; the limit is 65,536 bytes unless told.
        """
        text = b"x" * MAX_LINE
        self.assertEqual(MAX_LINE, 65_536)
        for end in (b"\n", b"\r\n", b"\r\0"):
            self.assertEqual(LineReader().feed(text + end), [(text, end)])
            self.assertEqual(LineReader().feed(text + b"x" + end), [Overlong.LINE])

    def test_overlong_line_is_told_at_once(self) -> None:
        """
        A line that is too long is told of before its end comes, and once.
        """
        reader = LineReader(4)
        self.assertEqual(reader.feed(b"1234\r"), [])
        self.assertEqual(reader.feed(b"5"), [Overlong.LINE])
        self.assertFalse(reader.between_lines)
        self.assertEqual(reader.feed(b"6" * 10), [])
        self.assertEqual(reader.feed(b"7\rn\r"), [])
        self.assertEqual(reader.feed(b"\nnext\n"), [(b"next", b"\n")])
        self.assertTrue(reader.between_lines)

    def test_end_of_an_overlong_line_in_two_segments(self) -> None:
        """
        The line behind one that was dropped begins behind its end, wherever that was cut.
        """
        for end in (b"\r\n", b"\r\0"):
            for beginning in (b"12345", b"12345 and more"):
                reader = LineReader(4)
                self.assertEqual(reader.feed(beginning), [Overlong.LINE])
                self.assertEqual(reader.feed(b"more" + end[:1]), [])
                self.assertEqual(reader.feed(end[1:] + b"next\n"), [(b"next", b"\n")])
                self.assertEqual(reader.feed(beginning + end[:1]), [Overlong.LINE])
                self.assertEqual(reader.feed(end[1:] + b"next\n"), [(b"next", b"\n")])

    def test_overlong_line_among_others(self) -> None:
        """
        Only the line that is too long is dropped; those before and behind it in one segment are not.
        """
        self.assertEqual(
            LineReader(4).feed(b"one\n12345\ntwo\n12345\r\0six\n"),
            [(b"one", b"\n"), Overlong.LINE, (b"two", b"\n"), Overlong.LINE, (b"six", b"\n")],
        )

    def test_dropped_line_takes_no_memory(self) -> None:
        """
        A line without end is not kept, however long it becomes.
        """
        reader = LineReader(LIMIT)
        for _ in range(100):
            reader.feed(b"x" * 1_000 + b"\r")
        self.assertEqual(reader._partial, b"\r")

    @reproducible
    @given(segmented())
    def test_any_segments(self, segments: list[bytes]) -> None:
        """
        However a stream is cut into segments, its lines are those that the protocol defines.
        """
        reader = LineReader(LIMIT)
        lines = [line for segment in segments for line in reader.feed(segment)]
        self.assertEqual(lines, cut_by_definition(b"".join(segments), LIMIT))

    @reproducible
    @given(st.lists(st.tuples(st.binary(max_size=LIMIT), ENDS)))
    def test_every_line_comes_back(self, lines: list[tuple[bytes, bytes]]) -> None:
        """
        Lines with text that has no line end in it come out as they were put in.
        """
        sent = [(re.sub(rb"[\r\n\0]", b"", text), end) for text, end in lines]
        self.assertEqual(LineReader(LIMIT).feed(b"".join(text + end for text, end in sent)), sent)


class TakeWholeTests(SynchronousTestCase):
    """
    Many lines can be taken at once, and nothing about them is different then.
    """

    def test_whole_lines_as_they_came(self) -> None:
        """
        The lines that end are given uncut, with what an earlier segment began; the rest waits.
        """
        reader = LineReader()
        self.assertEqual(reader.take_whole(b"on"), b"")
        self.assertFalse(reader.between_lines)
        self.assertEqual(reader.take_whole(b"e\ntwo\r\nth"), b"one\ntwo\r\n")
        self.assertEqual(reader.take_whole(b"ree\n"), b"three\n")
        self.assertTrue(reader.between_lines)

    def test_what_it_does_not_take(self) -> None:
        """
        A NUL, which may be half of a line's end, and a line that does not fit are for ``feed``: nothing was taken.
        """
        for stream, lines in (
            (b"a\r\0b\n", [(b"a", b"\r\0"), (b"b", b"\n")]),
            (b"a\nb\r\0", [(b"a", b"\n"), (b"b", b"\r\0")]),
            (b"ab\n12345\ncd\n", [(b"ab", b"\n"), Overlong.LINE, (b"cd", b"\n")]),
            (b"a\n12345", [(b"a", b"\n"), Overlong.LINE]),
            (b"12345\n", [Overlong.LINE]),
            (b"12345\nab\ncd\n", [Overlong.LINE, (b"ab", b"\n"), (b"cd", b"\n")]),
        ):
            reader = LineReader(4)
            self.assertIsNone(reader.take_whole(stream))
            self.assertTrue(reader.between_lines)
            self.assertEqual(reader.feed(stream), lines)

    def test_not_while_a_line_is_dropped(self) -> None:
        """
        The end of a line that was too long is no line.
        """
        reader = LineReader(4)
        self.assertEqual(reader.feed(b"12345"), [Overlong.LINE])
        self.assertIsNone(reader.take_whole(b"6\nseven\n"))

    def test_many_lines_that_fit(self) -> None:
        """
        A chunk may be longer than the limit, as long as no line in it is.
        """
        chunk = b"1234\n" * 3 + b"1\n\n12\n"
        self.assertEqual(LineReader(4).take_whole(chunk), chunk)

    @reproducible
    @given(segmented(), st.data())
    def test_mixed_with_feed(self, segments: list[bytes], data: st.DataObject) -> None:
        """
        The lines are those that the protocol defines, whichever way each segment was read.
        """
        wholes = data.draw(st.lists(st.booleans(), min_size=len(segments), max_size=len(segments)))
        lines = read_mixed(LineReader(LIMIT), segments, wholes)
        self.assertEqual(lines, cut_by_definition(b"".join(segments), LIMIT))

    @reproducible
    @given(STREAMS)
    def test_gives_what_came(self, stream: bytes) -> None:
        """
        What it takes is a beginning of what came, up to and with the last LF.
        """
        whole = LineReader(LIMIT).take_whole(stream)
        self.assertIn(whole, (None, stream[: stream.rfind(b"\n") + 1]))
