"""
Tests for :mod:`echochat.wire.echo`.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.wire.echo import echo_chunk, echo_line, is_http_host, is_http_request
from echochat.wire.lines import cut_whole
from tests.wire.examples import MESSAGES, STREAMS, WORDS, reproducible


class EchoLineTests(SynchronousTestCase):
    """
    A message is answered with the same text in upper case.
    """

    def test_full_mapping(self) -> None:
        """
        The full Unicode mapping is used, which may be longer than the text.
        """
        for text, answer in (
            ("hello", "HELLO"),
            ("straße", "STRASSE"),
            ("ﬁn", "FIN"),
            ("\u0390", "\u0399\u0308\u0301"),
            ("\u0149", "\u02bcN"),
            ("\u01c6", "\u01c4"),
            ("ΑΣ ας", "ΑΣ ΑΣ"),
            ("", ""),
            ("日本 🙂 42", "日本 🙂 42"),
        ):
            self.assertEqual(echo_line(text.encode()).decode(), answer)

    def test_escaped(self) -> None:
        """
        A message that was escaped is answered escaped.
        """
        self.assertEqual(echo_line(b"//etc"), b"//ETC")

    def test_not_utf_8(self) -> None:
        """
        What is not UTF-8 is no message; neither are surrogates and overlong forms.
        """
        for text in (b"caf\xe9", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"):
            self.assertRaises(UnicodeDecodeError, echo_line, text)


class EchoChunkTests(SynchronousTestCase):
    """
    What arrives at once can be answered at once, where all of it is plain.
    """

    def test_plain(self) -> None:
        """
        Whole lines of text are answered together, each with the end that it had.
        """
        self.assertEqual(echo_chunk(b"a\nb\r\n\nc/d\n"), b"A\nB\r\n\nC/D\n")
        self.assertEqual(echo_chunk("straße\ngroß\r\n".encode()), b"STRASSE\nGROSS\r\n")

    def test_not_plain(self) -> None:
        """
        Anything that may need another answer than its capitals is left to whoever goes line by line.
        """
        for chunk in (
            b"/ping\n",
            b"//etc\n",
            b"a\n/ping\n",
            b"a\r\n//etc\n",
            b"CLOSE SOCKET\n",
            b"a\nplease CLOSE SOCKET now\n",
            b"a\r\0b\n",
            b"\xff\xfb\x01a\n",
            b"caf\xe9\n",
        ):
            self.assertIsNone(echo_chunk(chunk))

    @reproducible
    @given(st.lists(st.tuples(MESSAGES, st.sampled_from(["\n", "\r\n"])), min_size=1))
    def test_same_as_line_by_line(self, lines: list[tuple[str, str]]) -> None:
        """
        Lines answered together are answered as each would be alone.
        """
        chunk = "".join([text + end for text, end in lines]).encode()
        answer = echo_chunk(chunk)
        if answer is not None:
            self.assertEqual(answer, "".join([text.upper() + end for text, end in lines]).encode())
        else:
            self.assertTrue(any(text.startswith("//") for text, _ in lines))

    @reproducible
    @given(STREAMS.map(lambda stream: stream + b"\n"))
    def test_never_answers_what_is_not_plain(self, chunk: bytes) -> None:
        """
        No command, no ``CLOSE SOCKET`` and nothing that is not UTF-8 is ever answered as part of a chunk.
        """
        if echo_chunk(chunk) is None:
            return
        chunk.decode()
        self.assertNotIn(b"CLOSE SOCKET", chunk)
        self.assertFalse([line for line in cut_whole(chunk) if isinstance(line, tuple) and line[0].startswith(b"/")])


class HttpRequestTests(SynchronousTestCase):
    """
    A browser is told from a person.
    """

    def test_request_lines(self) -> None:
        """
        Every method, target and version is known, also those that browsers do not use yet.
        """
        for line in (
            b"GET / HTTP/1.1",
            b"POST /topics/lobby?x=%2F HTTP/1.0",
            b"OPTIONS * HTTP/1.1",
            b"CONNECT example.org:443 HTTP/1.1",
            b"PRI * HTTP/2.0",
            b"M-SEARCH http://example.org/ HTTP/3",
            b"get / HTTP/1.1",
            "GET /straße HTTP/1.1".encode(),
        ):
            self.assertTrue(is_http_request(line), line)

    def test_what_people_write(self) -> None:
        """
        Talking about HTTP is allowed.
        """
        for line in (
            b"",
            b"GET",
            b"GET /",
            b"GET / http/1.1",
            b"see GET / HTTP/1.1",
            b"GET / HTTP/1.1 is what browsers send",
            b"HTTP/1.1",
            b"GET  HTTP/1.1",
            b"GET / HTTP/11.1",
        ):
            self.assertFalse(is_http_request(line), line)

    def test_host(self) -> None:
        """
        The field with which a browser's header begins is known, in any letter case.
        """
        for line in (b"Host: example.org", b"host:a", b"HOST:"):
            self.assertTrue(is_http_host(line), line)
        for line in (b"", b"Host", b"Hosts: many", b" Host: a", b"//Host: a"):
            self.assertFalse(is_http_host(line), line)

    @reproducible
    @given(WORDS)
    def test_never_raises(self, text: str) -> None:
        """
        Whatever the first line is, there is an answer.
        """
        self.assertFalse(is_http_request(text.encode()) and " HTTP/" not in text)
