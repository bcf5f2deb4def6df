"""
Version 2: a fixed part of 16 bytes, two addresses, and whatever else there is to say as TLVs (section 2.2).
"""

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from echochat.wire.proxy.crc32c import crc32c
from echochat.wire.proxy.header import Address, ProxyHeader, ProxyHeaderError, SocketAddress, Tlv, UnixPath, is_ipv6

MAX_V2_BLOCK: Final = 4_096
"""
The most bytes behind the first 16 of a version 2 header. The format could say 65,535; real ones are below 1,000.
"""

CRC32C: Final = 0x03
"""
The type of the TLV with the header's checksum.
"""

CHECKSUM: Final[Tlv] = (CRC32C, bytes(4))
"""
Give this to :func:`encode_v2` for a header with a checksum: the value is filled in.
"""

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
FIXED: Final = 16

_UNIQUE_ID: Final = 0x05
_SSL: Final = 0x20
_MAX_UNIQUE_ID: Final = 128
_UNIX_PATH: Final = 108
# The seven values of the 14th byte that are expected (section 2.2), and the length of the addresses behind them.
_ADDRESSES: Final = {0x00: 0, 0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216}


def encode_v2(source: Address | None, destination: Address | None, tlvs: tuple[Tlv, ...] = ()) -> bytes:
    """
    A version 2 header for a connection that is relayed; without addresses one that does not say for whom.

    :param tlvs: with :data:`CHECKSUM` among them, that is made right.
    :raises ValueError: the addresses are of two kinds or none, a path is longer than 108 bytes, or all together is too
        long.
    """
    if source is None or destination is None:
        family, addresses = 0x00, b""
    elif isinstance(source, UnixPath) and isinstance(destination, UnixPath):
        family, addresses = 0x31, _pad(source.path) + _pad(destination.path)
    elif isinstance(source, SocketAddress) and isinstance(destination, SocketAddress):
        family = 0x21 if is_ipv6(source, destination) else 0x11
        packed = IPv6Address if family == 0x21 else IPv4Address
        ports = struct.pack("!HH", source.port, destination.port)
        addresses = packed(source.host).packed + packed(destination.host).packed + ports
    else:
        raise ValueError("one end has a path and the other has not")
    block = addresses + b"".join(struct.pack("!BH", kind, len(value)) + value for kind, value in tlvs)
    if len(block) > MAX_V2_BLOCK:
        raise ValueError(f"more than {MAX_V2_BLOCK} bytes")
    header = SIGNATURE + struct.pack("!BBH", 0x21, family, len(block)) + block
    return _fill_in_checksum(header, FIXED + len(addresses), tlvs)


def encode_local() -> bytes:
    """
    The version 2 header of a connection that the proxy makes for itself, such as a health check.
    """
    return SIGNATURE + struct.pack("!BBH", 0x20, 0x00, 0)


def decode_v2(header: bytes) -> ProxyHeader:
    """
    Read what begins with :data:`SIGNATURE` and is as long as it says.

    :raises ProxyHeaderError: it is no header.
    """
    if header[12] == 0x20:
        # LOCAL: what follows is to be ignored, whatever it is.
        return ProxyHeader()
    family = header[13]
    length = _ADDRESSES.get(family)
    if length is None:
        raise ProxyHeaderError("the header's address family or protocol is unknown")
    if len(header) < FIXED + length:
        raise ProxyHeaderError("the header is too short for its addresses")
    tlvs = _split_tlvs(header, FIXED + length)
    _check_tlvs(header, FIXED + length, tlvs)
    addresses = header[FIXED : FIXED + length]
    if family in (0x11, 0x21):
        width = (length - 4) // 2
        kind = IPv4Address if family == 0x11 else IPv6Address
        source_port, destination_port = struct.unpack("!HH", addresses[-4:])
        return ProxyHeader(
            SocketAddress(str(kind(addresses[:width])), source_port),
            SocketAddress(str(kind(addresses[width:-4])), destination_port),
            tlvs,
        )
    if family == 0x31:
        return ProxyHeader(_read_path(addresses[:_UNIX_PATH]), _read_path(addresses[_UNIX_PATH:]), tlvs)
    # Datagrams do not come over a stream: as the text has it for what a receiver does not serve, there is no address.
    return ProxyHeader(tlvs=tlvs)


def _read_path(padded: bytes) -> UnixPath:
    if padded.startswith(b"\0"):
        return UnixPath(padded.rstrip(b"\0"))
    return UnixPath(padded.partition(b"\0")[0])


def _split_tlvs(data: bytes, start: int) -> tuple[Tlv, ...]:
    tlvs: list[Tlv] = []
    while start < len(data):
        if start + 3 > len(data):
            raise ProxyHeaderError("the header ends within a TLV")
        end = start + 3 + int.from_bytes(data[start + 1 : start + 3])
        if end > len(data):
            raise ProxyHeaderError("a TLV of the header is longer than the header")
        tlvs.append((data[start], data[start + 3 : end]))
        start = end
    return tuple(tlvs)


def _check_tlvs(header: bytes, start: int, tlvs: tuple[Tlv, ...]) -> None:
    """
    Check what the text says of TLVs; those that it does not know are left alone.
    """
    checksums = [value for kind, value in tlvs if kind == CRC32C]
    if len(checksums) > 1 or any(len(value) != 4 for value in checksums):
        raise ProxyHeaderError("the header has more than one checksum, or one that is not of 4 bytes")
    if checksums and _fill_in_checksum(header, start, tlvs) != header:
        raise ProxyHeaderError("the header's checksum is wrong")
    for kind, value in tlvs:
        if kind == _UNIQUE_ID and len(value) > _MAX_UNIQUE_ID:
            raise ProxyHeaderError(f"the header's unique id has more than {_MAX_UNIQUE_ID} bytes")
        if kind == _SSL:
            if len(value) < 5:
                raise ProxyHeaderError("the header's TLS part is too short")
            _split_tlvs(value, 5)


def _fill_in_checksum(header: bytes, start: int, tlvs: tuple[Tlv, ...]) -> bytes:
    """
    The header with the value of its checksum, if it has one, as it ought to be.

    :param start: where the first TLV begins.
    """
    for kind, value in tlvs:
        start += 3
        if kind == CRC32C:
            blank = header[:start] + bytes(4) + header[start + 4 :]
            return header[:start] + struct.pack("!I", crc32c(blank)) + header[start + 4 :]
        start += len(value)
    return header


def _pad(path: bytes) -> bytes:
    if len(path) > _UNIX_PATH:
        raise ValueError(f"a path of more than {_UNIX_PATH} bytes")
    return path.ljust(_UNIX_PATH, b"\0")
