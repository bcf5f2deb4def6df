"""
Telling where a header ends, and which version it is of.
"""

from typing import Final

from echochat.wire.proxy.header import ProxyHeader, ProxyHeaderError
from echochat.wire.proxy.v1 import MAX_V1, START, decode_v1
from echochat.wire.proxy.v2 import FIXED, MAX_V2_BLOCK, SIGNATURE, decode_v2

_COMMANDS: Final = (0x20, 0x21)


class ProxyHeaderReader:
    """
    Read the header at the beginning of a connection, however it is cut. It holds at most a header and the segment in
    which that ends.
    """

    __slots__ = ("_received", "_rest")

    def __init__(self) -> None:
        self._received = b""
        self._rest = b""

    @property
    def rest(self) -> bytes:
        """
        What came behind the header, in the same segment.
        """
        return self._rest

    def feed(self, data: bytes) -> ProxyHeader | None:
        """
        Take the next bytes. Do not call it again once it has given a header or raised.

        :return: the header as soon as it is complete.
        :raises ProxyHeaderError: there is none; close the connection. It is raised at the first byte that shows it.
        """
        received = self._received = self._received + data
        length = _length(received)
        if length is None:
            return None
        self._received, self._rest = b"", received[length:]
        header = received[:length]
        return decode_v1(header) if header.startswith(START) else decode_v2(header)


def _length(received: bytes) -> int | None:
    """
    How long the header is that begins like this; None while that is not known.
    """
    if received.startswith(START):
        end = received.find(b"\n", 0, MAX_V1)
        if end < 0 and len(received) >= MAX_V1:
            raise ProxyHeaderError(f"the header has no end within {MAX_V1} bytes")
        return end + 1 if end >= 0 else None
    if not (START.startswith(received) or received[:12] == SIGNATURE[: len(received)]):
        raise ProxyHeaderError("what came first is no PROXY header")
    if len(received) > 12 and received[12] not in _COMMANDS:
        raise ProxyHeaderError("the header's version or command is unknown")
    if len(received) < FIXED:
        return None
    block = int.from_bytes(received[14:16])
    if block > MAX_V2_BLOCK:
        raise ProxyHeaderError(f"the header has more than {FIXED + MAX_V2_BLOCK} bytes")
    return FIXED + block if len(received) >= FIXED + block else None
