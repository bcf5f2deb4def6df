"""
Tests for :mod:`echochat.wire.proxy`.
"""

import contextlib
import struct
from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.wire.proxy import (
    CHECKSUM,
    CRC32C,
    MAX_V2_BLOCK,
    Address,
    ProxyHeader,
    ProxyHeaderError,
    ProxyHeaderReader,
    SocketAddress,
    Tlv,
    UnixPath,
    encode_local,
    encode_v1,
    encode_v2,
)
from tests.wire.examples import reproducible, segmented

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

NOBODY: Final = ProxyHeader()
"""
What a header says that does not say from where the connection comes.
"""

V4 = (SocketAddress("192.0.2.1", 56_324), SocketAddress("198.51.100.11", 443))
V6 = (SocketAddress("2001:db8::1", 1), SocketAddress("2001:db8::2", 65_535))
V4_BLOCK = bytes([192, 0, 2, 1, 198, 51, 100, 11]) + struct.pack("!HH", 56_324, 443)
V6_BLOCK = bytes.fromhex("20010db8000000000000000000000001 20010db8000000000000000000000002 0001 ffff")


def v2(command: int, family: int, block: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(block).to_bytes(2) + block


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2) + value


def path(name: bytes) -> bytes:
    return name.ljust(108, b"\0")


def ssl(*parts: bytes) -> bytes:
    return tlv(0x20, b"\x01\0\0\0\0" + b"".join(parts))


CHECKED = SIGNATURE + b"\x21\x11" + (19).to_bytes(2) + V4_BLOCK + b"\x03\0\x04" + bytes.fromhex("9fff9608")
"""
A header with a checksum that another implementation of CRC32c made than ours, bit by bit.
"""

GOOD: Final[list[tuple[bytes, ProxyHeader]]] = [
    (b"PROXY TCP4 192.0.2.1 198.51.100.11 56324 443\r\n", ProxyHeader(*V4)),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", ProxyHeader(*V6)),
    (b"PROXY TCP6 2001:DB8:0:0:0:0:0:1 2001:0db8::0002 1 65535\r\n", ProxyHeader(*V6)),
    (
        b"PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n",
        ProxyHeader(SocketAddress("255.255.255.255", 65_535), SocketAddress("0.0.0.0", 0)),
    ),
    (
        b"PROXY TCP6 " + b" ".join([b"ffff:" * 7 + b"ffff"] * 2) + b" 65535 65535\r\n",
        ProxyHeader(SocketAddress("ffff:" * 7 + "ffff", 65_535), SocketAddress("ffff:" * 7 + "ffff", 65_535)),
    ),
    (
        b"PROXY TCP6 :: ::1 0 1\r\n",
        ProxyHeader(SocketAddress("::", 0), SocketAddress("::1", 1)),
    ),
    (b"PROXY UNKNOWN\r\n", NOBODY),
    (b"PROXY UNKNOWN \r\n", NOBODY),
    (b"PROXY UNKNOWN ffff::1 \xff\0 what ever\r\n", NOBODY),
    (b"PROXY UNKNOWN a\rb\r\n", NOBODY),
    (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", NOBODY),
    (v2(0x21, 0x11, V4_BLOCK), ProxyHeader(*V4)),
    (v2(0x21, 0x21, V6_BLOCK), ProxyHeader(*V6)),
    (v2(0x21, 0x12, V4_BLOCK), NOBODY),
    (v2(0x21, 0x22, V6_BLOCK), NOBODY),
    (v2(0x21, 0x31, path(b"/a") + path(b"/b")), ProxyHeader(UnixPath(b"/a"), UnixPath(b"/b"))),
    (v2(0x21, 0x31, path(b"") + path(b"\0name")), ProxyHeader(UnixPath(b""), UnixPath(b"\0name"))),
    (v2(0x21, 0x31, b"x" * 216), ProxyHeader(UnixPath(b"x" * 108), UnixPath(b"x" * 108))),
    (v2(0x21, 0x31, path(b"/a\0rest") + path(b"/b")), ProxyHeader(UnixPath(b"/a"), UnixPath(b"/b"))),
    (v2(0x21, 0x32, bytes(216)), NOBODY),
    (v2(0x21, 0x00, b""), NOBODY),
    (v2(0x21, 0x00, tlv(0x04, b"x")), ProxyHeader(tlvs=((0x04, b"x"),))),
    (v2(0x20, 0x00, b""), NOBODY),
    (v2(0x20, 0x11, V4_BLOCK), NOBODY),
    (v2(0x20, 0x11, b"any"), NOBODY),
    (v2(0x20, 0xFF, bytes(MAX_V2_BLOCK)), NOBODY),
    (v2(0x21, 0x11, V4_BLOCK + tlv(0x04, b"")), ProxyHeader(*V4, ((0x04, b""),))),
    (v2(0x21, 0x11, V4_BLOCK + tlv(0xEE, b"\xff") * 2), ProxyHeader(*V4, ((0xEE, b"\xff"),) * 2)),
    (v2(0x21, 0x11, V4_BLOCK + tlv(0x05, b"i" * 128)), ProxyHeader(*V4, ((0x05, b"i" * 128),))),
    (
        v2(0x21, 0x11, V4_BLOCK + ssl(tlv(0x21, b"TLSv1.3"), tlv(0x22, b"alice"))),
        ProxyHeader(*V4, ((0x20, ssl(tlv(0x21, b"TLSv1.3"), tlv(0x22, b"alice"))[3:]),)),
    ),
    (v2(0x21, 0x21, V6_BLOCK + ssl()), ProxyHeader(*V6, ((0x20, b"\x01\0\0\0\0"),))),
    (
        v2(0x21, 0x11, V4_BLOCK + tlv(0x04, bytes(MAX_V2_BLOCK - 15))),
        ProxyHeader(*V4, ((0x04, bytes(MAX_V2_BLOCK - 15)),)),
    ),
    (CHECKED, ProxyHeader(*V4, ((CRC32C, bytes.fromhex("9fff9608")),))),
]

BAD: Final[list[bytes]] = [
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01",
    b"hello\n",
    b"proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
    b" PROXY UNKNOWN\r\n",
    b"PROXYTCP4 1.1.1.1 2.2.2.2 1 2\r\n",
    b"PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
    b"PROXY\tTCP4 1.1.1.1 2.2.2.2 1 2\r\n",
    b"PROXY \r\n",
    b"PROXY unknown\r\n",
    b"PROXY UNKNOWNX\r\n",
    b"PROXY UNKNOWN\n",
    b"PROXY UNKNOWN 1\n2\r\n",
    b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    b"PROXY UNKNOWN " + b"x" * 200,
    b"PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n",
    b"PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n",
    b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
    b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r \r\n",
    b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
    b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
    b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
    b"PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n",
    b"PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n",
    b"PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n",
    b"PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n",
    b"PROXY TCP4 1.1.1.1/32 2.2.2.2 1 2\r\n",
    b"PROXY TCP4 \xb2.1.1.1 2.2.2.2 1 2\r\n",
    b"PROXY TCP4 localhost 2.2.2.2 1 2\r\n",
    b"PROXY TCP4 ::1 ::1 1 2\r\n",
    b"PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n",
    b"PROXY TCP6 ::1 2.2.2.2 1 2\r\n",
    b"PROXY TCP6 1::2::3 ::1 1 2\r\n",
    b"PROXY TCP6 [::1] ::1 1 2\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
    b"PROXY TCP6 12345::1 ::1 1 2\r\n",
    b"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
    b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n",
    b"PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n",
    b"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n",
    b"PROXY TCP4 1.1.1.1 2.2.2.2 1 \xb2\r\n",
    b"PROXY TCP4 1.1.1.1 2.2.2.2 1 123456\r\n",
    b"PROXY TCP4 1.1.1.1 2.2.2.2 1 \r\n",
    b"\r\n\r\n\0\r\nQUIT\r",
    b"\r\n\r\n\0\r\nQUIX",
    b"\r\nhello",
    v2(0x11, 0x11, V4_BLOCK),
    v2(0x22, 0x11, V4_BLOCK),
    v2(0x2F, 0x11, V4_BLOCK),
    v2(0x31, 0x11, V4_BLOCK),
    v2(0x21, 0x01, b""),
    v2(0x21, 0x10, V4_BLOCK),
    v2(0x21, 0x13, V4_BLOCK),
    v2(0x21, 0x41, V4_BLOCK),
    v2(0x21, 0x11, V4_BLOCK[:-1]),
    v2(0x21, 0x11, b""),
    v2(0x21, 0x21, V4_BLOCK),
    v2(0x21, 0x31, path(b"/a")),
    SIGNATURE + b"\x21\x11" + (MAX_V2_BLOCK + 1).to_bytes(2),
    SIGNATURE + b"\x20\x00\xff\xff",
    v2(0x21, 0x11, V4_BLOCK + b"\x04"),
    v2(0x21, 0x11, V4_BLOCK + b"\x04\0"),
    v2(0x21, 0x11, V4_BLOCK + b"\x04\0\x01"),
    v2(0x21, 0x11, V4_BLOCK + tlv(0x04, b"x") + b"\x04\xff\xffx"),
    v2(0x21, 0x00, b"x"),
    v2(0x21, 0x11, V4_BLOCK + tlv(0x05, b"i" * 129)),
    v2(0x21, 0x11, V4_BLOCK + tlv(0x20, b"\x01\0\0\0")),
    v2(0x21, 0x11, V4_BLOCK + ssl(b"\x21\0\x01")),
    v2(0x21, 0x11, V4_BLOCK + tlv(CRC32C, b"")),
    v2(0x21, 0x11, V4_BLOCK + tlv(CRC32C, b"12345")),
    v2(0x21, 0x11, V4_BLOCK + tlv(CRC32C, bytes(4))),
    CHECKED[:-1] + b"\x09",
    CHECKED.replace(b"\xc0\0\x02\x01", b"\xc0\0\x02\x02"),
    CHECKED[:14] + (26).to_bytes(2) + CHECKED[16:] + CHECKED[-7:],
]


def read(segments: list[bytes]) -> tuple[ProxyHeader, bytes] | None:
    """
    What a reader makes of segments: the header, and all that came behind it; None when there is no whole one.
    """
    reader = ProxyHeaderReader()
    for number, segment in enumerate(segments):
        header = reader.feed(segment)
        if header is not None:
            return header, reader.rest + b"".join(segments[number + 1 :])
    return None


class TableTests(SynchronousTestCase):
    """
    Headers that proxies send, and what is none.
    """

    def test_enough(self) -> None:
        """
        The tables keep what was promised.
        """
        self.assertGreaterEqual(len(GOOD) + len(BAD), 70)

    def test_good(self) -> None:
        """
        A header says what it says, and nothing of what follows is lost.
        """
        for sent, header in GOOD:
            self.assertEqual(read([sent]), (header, b""), sent)
            self.assertEqual(read([sent + b"\r\nhello\n"]), (header, b"\r\nhello\n"), sent)

    def test_incomplete(self) -> None:
        """
        Every beginning of a header is waited with.
        """
        for sent, _ in GOOD:
            for end in range(len(sent)) if len(sent) < 300 else (0, 11, 12, 15, 16, 300, len(sent) - 1):
                self.assertIsNone(read([sent[:end]]), (sent, end))

    def test_bad(self) -> None:
        """
        Whatever is no header is told at once, with a reason in words.
        """
        for sent in BAD:
            error = self.assertRaises(ProxyHeaderError, read, [sent])
            self.assertRegex(str(error), r"^(the header|an address|a port|a TLV|what came first)")

    def test_bad_is_told_early(self) -> None:
        """
        A stranger is not waited for: the first byte that cannot be a header's ends it.
        """
        for sent in (b"G", b"PX", b"PROXYT", b"\r\n\r\nX", SIGNATURE + b"\x10"):
            self.assertIsNone(read([sent[:-1]]))
            self.assertRaises(ProxyHeaderError, read, [sent])


ADDRESSES = st.tuples(
    st.one_of(
        st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)),
        st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6)),
    ),
    st.integers(0, 65_535),
    st.integers(0, 65_535),
).map(lambda drawn: (SocketAddress(str(drawn[0][0]), drawn[1]), SocketAddress(str(drawn[0][1]), drawn[2])))

# A name that ends with NULs cannot be told from one that does not, and NULs within are an abstract name's only.
PATHS = st.one_of(
    st.binary(max_size=108).map(lambda name: name.replace(b"\0", b"/")),
    st.binary(min_size=1, max_size=107).map(lambda name: b"\0" + name.replace(b"\0", b"/")),
).map(UnixPath)

ENDS: st.SearchStrategy[tuple[Address, Address]] = st.one_of(ADDRESSES, st.tuples(PATHS, PATHS))

TLVS: st.SearchStrategy[list[Tlv]] = st.lists(
    st.tuples(st.integers(0, 255).filter(lambda kind: kind not in (CRC32C, 0x05, 0x20)), st.binary(max_size=40)),
    max_size=4,
)

HEADERS = st.one_of(
    ADDRESSES.map(lambda ends: encode_v1(*ends)),
    st.just(encode_v1(None, None)),
    st.just(encode_local()),
    st.tuples(ENDS, TLVS).map(lambda drawn: encode_v2(drawn[0][0], drawn[0][1], (*drawn[1], CHECKSUM))),
)


class PropertyTests(SynchronousTestCase):
    """
    However a header is cut and whatever it says.
    """

    @given(segmented(st.one_of(HEADERS, st.sampled_from(BAD), st.sampled_from([sent for sent, _ in GOOD]))))
    @reproducible
    def test_segments(self, segments: list[bytes]) -> None:
        """
        Segments do not matter: neither to what a header says, nor to whether it is one.
        """
        whole = b"".join(segments)
        try:
            expected = read([whole]) if whole else None
        except ProxyHeaderError:
            self.assertRaises(ProxyHeaderError, read, segments)
        else:
            self.assertEqual(read(segments), expected)

    @given(st.one_of(st.binary(max_size=300), HEADERS), st.integers(0, 300), st.integers(0, 255))
    @example(b"", 0, 0)
    @reproducible
    def test_anything(self, stream: bytes, place: int, value: int) -> None:
        """
        Anything at all, and headers with one byte changed, are read, waited with or refused; nothing else happens.
        """
        changed = stream[:place] + bytes([value]) + stream[place + 1 :]
        with contextlib.suppress(ProxyHeaderError):
            read([changed])

    @given(ADDRESSES)
    @reproducible
    def test_roundtrip_v1(self, ends: tuple[SocketAddress, SocketAddress]) -> None:
        """
        What is written is what is read, and no longer than it may be.
        """
        written = encode_v1(*ends)
        self.assertLessEqual(len(written), 104)
        self.assertEqual(read([written]), (ProxyHeader(*ends), b""))

    @given(ENDS, TLVS, st.booleans())
    @reproducible
    def test_roundtrip_v2(self, ends: tuple[Address, Address], tlvs: list[Tlv], checked: bool) -> None:
        """
        What is written is what is read, with a checksum and without.
        """
        result = read([encode_v2(*ends, (*tlvs, CHECKSUM) if checked else tuple(tlvs))])
        assert result is not None
        header, rest = result
        self.assertEqual((header.source, header.destination, rest), (*ends, b""))
        self.assertEqual(list(header.tlvs[: len(tlvs)]), tlvs)
        self.assertEqual([kind for kind, _ in header.tlvs[len(tlvs) :]], [CRC32C] if checked else [])

    @given(ADDRESSES, st.data())
    @reproducible
    def test_checksum_finds_a_changed_bit(self, ends: tuple[SocketAddress, SocketAddress], data: st.DataObject) -> None:
        """
        No single bit of a header with a checksum can be changed without notice, but those that say that there is one:
        what makes it LOCAL, where all that follows is to be ignored, and the type of the checksum's TLV.
        """
        written = bytearray(encode_v2(*ends, (CHECKSUM,)))
        unguarded = (12 * 8, *range(len(written) * 8 - 7 * 8, len(written) * 8 - 6 * 8))
        bit = data.draw(st.integers(0, len(written) * 8 - 1).filter(lambda bit: bit not in unguarded))
        written[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(ProxyHeaderError):
            self.assertIsNone(read([bytes(written)]))


class WriterTests(SynchronousTestCase):
    """
    What cannot be said in a header is told to the caller.
    """

    def test_nobody(self) -> None:
        """
        There are headers for connections whose ends are not known, and for the proxy's own.
        """
        for written in (encode_v1(None, None), encode_v2(None, None), encode_local()):
            self.assertEqual(read([written]), (NOBODY, b""))
        self.assertEqual(read([encode_v2(None, V4[0], ((4, b""),))]), (ProxyHeader(tlvs=((4, b""),)), b""))

    def test_zone(self) -> None:
        """
        A link-local address is told without its interface, which means nothing on another machine.
        """
        ends = (SocketAddress("fe80::1%eth0", 1), SocketAddress("fe80::2", 2))
        for written in (encode_v1(*ends), encode_v2(*ends)):
            self.assertEqual(read([written]), (ProxyHeader(SocketAddress("fe80::1", 1), ends[1]), b""))

    def test_impossible(self) -> None:
        """
        Ends of two kinds, names instead of addresses, and too much of anything.
        """
        for call in (
            lambda: encode_v1(V4[0], V6[1]),
            lambda: encode_v2(V6[0], V4[1]),
            lambda: encode_v2(V4[0], UnixPath(b"")),
            lambda: encode_v2(UnixPath(b"x" * 109), UnixPath(b"")),
            lambda: encode_v1(SocketAddress("localhost", 1), V4[1]),
            lambda: encode_v2(SocketAddress("localhost", 1), V4[1]),
            lambda: encode_v2(*V4, ((4, bytes(MAX_V2_BLOCK - 14)),)),
        ):
            self.assertRaises(ValueError, call)
