"""
PROXY headers: how a proxy tells, in front of a connection's first byte, from where the connection really comes.

Both versions are read and written, as HAProxy's *The PROXY protocol, versions 1 & 2* (2020/03/05) has them: 1 is a
line of text, 2 is binary. The reader is strict where the text leaves a choice, since whoever may send a header may say
anything in it: what is no header ends the connection.
"""

from echochat.wire.proxy.header import Address, ProxyHeader, ProxyHeaderError, SocketAddress, Tlv, UnixPath
from echochat.wire.proxy.reader import ProxyHeaderReader
from echochat.wire.proxy.v1 import MAX_V1, encode_v1
from echochat.wire.proxy.v2 import CHECKSUM, CRC32C, MAX_V2_BLOCK, encode_local, encode_v2

__all__ = [
    "CHECKSUM",
    "CRC32C",
    "MAX_V1",
    "MAX_V2_BLOCK",
    "Address",
    "ProxyHeader",
    "ProxyHeaderError",
    "ProxyHeaderReader",
    "SocketAddress",
    "Tlv",
    "UnixPath",
    "encode_local",
    "encode_v1",
    "encode_v2",
]
