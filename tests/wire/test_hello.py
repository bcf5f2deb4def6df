"""
Tests for :mod:`echochat.wire.hello`.
"""

import contextlib
import ssl
from unittest import TestCase

from hypothesis import example, given, settings
from hypothesis import strategies as st

from echochat.wire.hello import server_name
from tests.wire.examples import reproducible

LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=20)
NAMES = st.lists(LABEL, min_size=1, max_size=5).map(".".join)
BLOCKS = st.binary(max_size=60)
EXTENSIONS = st.lists(st.tuples(st.integers(1, 65_535), BLOCKS), max_size=5)


def prefixed(content: bytes, size: int) -> bytes:
    """
    A block behind its length.
    """
    return len(content).to_bytes(size, "big") + content


def extension(kind: int, content: bytes) -> bytes:
    """
    One extension.
    """
    return kind.to_bytes(2, "big") + prefixed(content, 2)


def naming(name: bytes, kind: int = 0) -> bytes:
    """
    The extension with a name.
    """
    return extension(0, prefixed(bytes([kind]) + prefixed(name, 2), 2))


def hello(
    extensions: bytes, session: bytes = b"s" * 32, ciphers: bytes = b"\x13\x01", compression: bytes = b"\0"
) -> bytes:
    """
    A ClientHello in its record.
    """
    body = b"\3\3" + bytes(32) + prefixed(session, 1) + prefixed(ciphers, 2) + b"\1\0"
    return b"\x16\3\1" + prefixed(b"\1" + prefixed(body + prefixed(extensions, 2), 3), 2)


def said_by_openssl(name: str | None) -> bytes:
    """
    What a real client begins with.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


class ServerNameTests(TestCase):
    """
    The name is found where there is one, and nothing else ever is.
    """

    def test_many_extensions(self) -> None:
        """
        Who sends more extensions than anybody has is not searched for long.
        """
        self.assertEqual(server_name(hello(extension(10, b"") * 63 + naming(b"chat.example"))), "chat.example")
        self.assertEqual(server_name(hello(extension(10, b"") * 64 + naming(b"chat.example"))), "")

    def test_real_client(self) -> None:
        """
        What OpenSSL's client sends has its name, in small letters; without a name, or with an address, it has none.
        """
        self.assertEqual(server_name(said_by_openssl("Chat.Example")), "chat.example")
        self.assertEqual(server_name(said_by_openssl(None)), "")
        self.assertEqual(server_name(said_by_openssl("192.0.2.1")), "")

    @settings(reproducible, max_examples=100)
    @given(NAMES, EXTENSIONS, EXTENSIONS, st.binary(max_size=32), st.binary(min_size=2, max_size=200), st.data())
    def test_any_cut(
        self,
        name: str,
        before: list[tuple[int, bytes]],
        after: list[tuple[int, bytes]],
        session: bytes,
        ciphers: bytes,
        drawn: st.DataObject,
    ) -> None:
        """
        Wherever the name stands it is found; wherever the first bytes end, it is the whole name or none, and what
        follows makes no difference.
        """
        extensions = (
            [extension(*each) for each in before] + [naming(name.encode())] + [extension(*each) for each in after]
        )
        whole = hello(b"".join(extensions), session, ciphers)
        self.assertEqual(server_name(whole), name)
        self.assertEqual(server_name(whole + drawn.draw(BLOCKS)), name)
        cut = drawn.draw(st.integers(0, len(whole)))
        self.assertIn(server_name(whole[:cut]), ("", name))

    @settings(reproducible, max_examples=100)
    @given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda rest: b"\x16\3\1\xff\xff\1" + rest)))
    @example(b"")
    @example(b"\x16")
    @example(b"GET / HTTP/1.1\r\n\r\n")
    def test_anything(self, data: bytes) -> None:
        """
        Whatever comes, nothing is raised, and a name is one that a log can have.
        """
        self.assertRegex(server_name(data), r"\A[a-z0-9_.-]{0,253}\Z")

    @settings(reproducible, max_examples=100)
    @given(st.binary(min_size=1, max_size=300), st.integers(0, 255))
    @example(b"a\nconnection 7 from nowhere", 0)
    @example(b"-", 0)
    @example(b"a" * 254, 0)
    @example("bücher.example".encode(), 0)
    def test_no_name(self, name: bytes, kind: int) -> None:
        """
        What cannot be a host's name is none, and neither is a name of another kind.
        """
        found = server_name(hello(naming(name, kind)))
        self.assertIn(found, ("", name.decode("latin-1").lower()) if not kind else ("",))
        self.assertRegex(found, r"\A([a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?)?\Z")

    @settings(reproducible, max_examples=100)
    @given(st.data())
    def test_spoilt(self, drawn: st.DataObject) -> None:
        """
        A hello with any of its bytes changed, lengths included, raises nothing.
        """
        whole = bytearray(hello(extension(10, b"abc") + naming(b"chat.example")))
        for _ in range(drawn.draw(st.integers(1, 4))):
            whole[drawn.draw(st.integers(0, len(whole) - 1))] = drawn.draw(st.integers(0, 255))
        self.assertRegex(server_name(bytes(whole)), r"\A[a-z0-9_.-]*\Z")
